"""Real components for every test: a Redis server, an API under uvicorn, a Celery worker, all processes of their own."""

from __future__ import annotations

import gc
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from redis import Redis
from xdist.scheduler import LoadFileScheduling

from lrcore.families import FAMILIES
from lrcore.jobs.job import Job
from lrcore.service.settings import Settings
from lrcore.store.connection import connect
from lrserve.client import Client
from lrserve.embedded import EmbeddedRedis, bundled_server, installed_server
from lrserve.supervisor import ProcessSupervisor, free_port
from tests.stores import JobStore

T = TypeVar("T")

# the jobs of the tests are so small that threads would only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")

gc.disable()  # until all is collected: it would look through millions of new objects that all stay

for _family in FAMILIES.values():
    len(_family)  # built now: some tests look at every subclass of a base

SERVERS = {"bundled": bundled_server, "installed": installed_server}


SLOWEST = (  # begins of paths, those that take longest first
    "tests/web",
    "tests/stories",
    "tests/security/test_schema.py",
    "tests/security/test_siege.py",
    "tests/worker/test_recorded_curves.py",
    "tests/worker/test_grouping.py",
    "tests/worker/test_engine.py",
    "tests/lrcore/test_fit.py",
    "tests/lrcore/test_translate.py",
    "tests/lrcore/test_schedule_laws.py",
    "tests/api/test_experiments.py",
    "tests/worker/test_range_test.py",
    "tests/upgrade",
    "tests/worker/test_parity.py",
    "tests/api/test_lifecycle.py",
    "tests/store/test_store_model.py",
    "tests/store/test_experiment_model.py",
    "tests/api/test_webhooks.py",
    "tests/worker/test_artifacts.py",
    "tests/security",
)


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests run in one process, as they share fixtures, and all of the dashboard's, which share a browser."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "tests/web" if file.startswith("tests/web/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """How `pytest -n` gives its processes their work."""
    return Scheduling(config, log)


@pytest.hookimpl(tryfirst=True)  # before the marks decide what runs
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is left to `make test-slow`, and put the slowest files first."""
    cases = Counter[str]()
    for item in items:
        if sampled := item.get_closest_marker("sampled"):
            name = item.nodeid.partition("[")[0]
            if cases[name] % sampled.args[0]:
                item.add_marker(pytest.mark.slowest)
            cases[name] += 1
    # so that none of the processes is left alone with them at the end
    items.sort(
        key=lambda item: next((i for i, path in enumerate(SLOWEST) if item.nodeid.startswith(path)), len(SLOWEST))
    )


def pytest_collection_finish() -> None:
    """Let the collector leave alone what lasts to the end: frameworks and tests, millions of objects."""
    gc.freeze()
    gc.enable()


def until(check: Callable[[], T | None], seconds: float = 60.0) -> T:
    """What `check` returns, once that is true. Fails after `seconds`."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds:
        if found := check():
            return found
        time.sleep(min(max(waited / 10, 0.002), 0.05))  # to check takes the processor from what is waited for
    raise AssertionError(f"not within {seconds:g} s: {check}")


def redis_process(folder: Path, server: Path | None = None) -> AbstractContextManager[str]:
    """A Redis server of its own; the URL it answers at."""
    return EmbeddedRedis(folder, server).running()


@pytest.fixture(scope="session", params=list(SERVERS))
def any_redis(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis server, of each kind that the machine has."""
    server = SERVERS[request.param]()
    if server is None:
        pytest.skip(f"no {request.param} Redis server: see the Makefile's target redis-server")
    with redis_process(tmp_path_factory.mktemp("redis"), server) as url:
        yield url


@pytest.fixture
def redis(any_redis: str) -> Iterator[Redis]:
    """An empty Redis."""
    client = connect(any_redis)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def store(redis: Redis) -> JobStore:
    """An empty job store."""
    return JobStore(redis)


class Service:
    """A running lrserve."""

    def __init__(self, stack: ProcessSupervisor, log: Path) -> None:
        self.stack, self.log, self.url = stack, log, stack.url
        self.client = Client(self.url, retries=0)  # a test sees the first answer
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The process of one service."""
        service = next(s for s in self.stack.services if s.name == name)
        assert service.process is not None
        return service.process

    def kill(self, name: str) -> None:
        """End the process of one service with no warning."""
        self.process(name).kill()
        self.process(name).wait()

    def revive(self, *names: str) -> None:
        """Do what `lrserve up` does about processes that have ended; one that had just begun has to wait a little."""
        for name in names:
            self.process(name).wait(60)

        def alive() -> bool:
            self.stack.keep_running()
            return {s.name for s in self.stack.services if s.process and s.process.poll() is None}.issuperset(names)

        until(alive)

    def ended(self, job_id: str, seconds: float = 240.0) -> Job:
        """The job, once it has ended."""
        prefer = {"Prefer": f"wait={min(int(seconds), 10)}"}

        def check() -> Job | None:
            answer = self.http.get(f"/v1/jobs/{job_id}", headers=prefer).raise_for_status()
            job = Job.model_validate(answer.json())
            return job if job.state.ended else None

        return until(check, seconds)

    def train(self, spec: dict[str, Any]) -> Job:
        """Submit a job and wait for its end."""
        return self.ended(self.client.submit(spec).id)


@contextmanager
def running_service(home: Path, workers: int = 1, **settings: Any) -> Iterator[Service]:
    """An lrserve in `home`. Settings by their names, such as lease_seconds=2."""
    environment = {f"LRSERVE_{name.upper()}": str(value) for name, value in settings.items()}
    log = home / "log"
    with ExitStack() as ending:
        home.mkdir(parents=True, exist_ok=True)
        file = ending.enter_context(log.open("ab"))
        with _environment(environment):  # for the start alone: a service that runs beside it has settings of its own
            stack = ProcessSupervisor(Settings(home=home), "127.0.0.1", free_port(), workers, say=print, log=file)
            ending.enter_context(stack.running())
        service = Service(stack, log)
        ending.callback(service.http.close)
        ending.enter_context(service.client)
        yield service


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An lrserve that all tests share, for tests that leave it as they found it."""
    with running_service(tmp_path_factory.mktemp("service") / "home") as running:
        yield running


@pytest.fixture
def http(service: Service) -> httpx.Client:
    """A plain HTTP client of the shared service."""
    return service.http
