"""Redis, API and workers as processes of one machine: started together, watched, ended together."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from lrcore.service.exits import how_it_ended
from lrcore.service.machine import cores
from lrcore.service.settings import Settings
from lrcore.store.connection import RedisError, connect
from lrcore.store.operator import OperatorStore
from lrserve.client import ApiError, Client
from lrserve.embedded import EmbeddedRedis

STOP_SECONDS = 10.0
REDIS_URL = "redis.url"  # file in HOME: where the embedded Redis is, for `lrserve keys`
START_SECONDS = 90.0
THREADS = "OMP_NUM_THREADS"
HEALTHY_SECONDS = 10.0  # a process that lived that long may start again at once
MOST_FAILURES = 5  # in a row, of what nothing works without; and of a worker that never was ready
LONGEST_PAUSE = 30.0  # less than a lease, so that a worker finds the job of which its process died
NICE = 5  # of workers: the API answers at once on a machine with no free core, too
OOM_SCORE = "500"  # of a worker: where memory runs out, the system ends it before Redis and the API

PR_SET_PDEATHSIG = 1


class SupervisorError(Exception):
    """The processes cannot be started or kept running."""


@dataclass
class Service:
    """One process that shall be running.

    Attributes:
        essential: whether nothing works without it.
        status: that its last process ended with.
    """

    name: str
    command: list[str]
    environment: dict[str, str]
    essential: bool = True
    status: int | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    not_before: float = 0.0


@dataclass
class ProcessSupervisor:
    """The processes of one `lrserve up`.

    Args:
        say: takes a line for the user when something unexpected happens.
        log: where the processes write; the terminal if None.
    """

    settings: Settings
    host: str
    port: int
    workers: int
    say: Callable[[str], None]
    log: IO[bytes] | None = None
    services: list[Service] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the API listens."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Start everything and wait until it answers; end everything on the way out.

        Raises:
            SupervisorError, NoRedis: something does not start.
        """
        if self.workers:
            check_torch("`lrserve up --workers 0` starts everything else")
        with ExitStack() as ending:
            ending.enter_context(_only_one(self.settings.home_folder))
            _check_free(self.host, self.port)
            environment = dict(os.environ)
            if "LRSERVE_REDIS_URL" not in os.environ:
                redis = EmbeddedRedis(self.settings.home_folder / "redis")
                ending.callback(redis.remove_socket)
                environment["LRSERVE_REDIS_URL"] = redis.url
                (self.settings.home_folder / REDIS_URL).write_text(redis.url)
                self._add(ending, service := Service("redis", redis.command, environment))
                assert service.process is not None
                redis.wait(service.process)
            environment["LRSERVE_HOME"] = str(self.settings.home_folder)
            environment["LRSERVE_DATA_ROOT"] = str(self.settings.data_folder)
            environment["LRSERVE_ARTIFACT_ROOT"] = self.settings.artifact_url
            python = [sys.executable, "-m"]
            serve = [*python, "lrserve.api", "--host", self.host, "--port", str(self.port)]
            self._add(ending, Service("api", serve, environment))
            devices = gpus()
            for i in range(self.workers):
                own = environment | (
                    {"CUDA_VISIBLE_DEVICES": devices[i % len(devices)]} if devices else share_of_cores(self.workers)
                )
                name = f"{socket.gethostname()}-{self.port}-{i}"  # two services on one machine have two ports
                command = [*python, "lrserve.worker", "--name", name]
                self._add(ending, Service(f"worker {i}", command, own, essential=False))
            self._wait_until_ready(environment["LRSERVE_REDIS_URL"])
            yield

    def watch(self) -> None:
        """Start again what ends by itself, a worker for ever. Returns never.

        Raises:
            SupervisorError: Redis or the API ends again and again.
        """
        while True:
            self.keep_running()
            time.sleep(0.2)

    def keep_running(self) -> None:
        """One look at every process."""
        now = time.monotonic()
        for service in self.services:
            if service.process is not None and service.process.poll() is not None:
                service.status = service.process.returncode
                service.failures = 0 if now - service.started > HEALTHY_SECONDS else service.failures + 1
                if service.essential:
                    _give_up_on(service)
                pause = min(2.0 ** (service.failures - 1), LONGEST_PAUSE) if service.failures > 0 else 0.0
                self.say(f"{service.name} ended {how_it_ended(service.status)} and is started again" + _after(pause))
                service.process, service.not_before = None, now + pause
            if service.process is None and now >= service.not_before:
                self._start(service)

    def _add(self, ending: ExitStack, service: Service) -> None:
        self._start(service)
        self.services.append(service)
        ending.callback(self._stop, service)

    def _start(self, service: Service) -> None:
        service.started = time.monotonic()
        before = {} if service.status is None else {"LRSERVE_PREVIOUS_STATUS": str(service.status)}
        service.process = subprocess.Popen(
            service.command,
            env=service.environment | before,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log and subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal reaches this process alone, which then ends them in order
            preexec_fn=_die_with_parent if service.essential else _yield_to_others,
        )

    def _stop(self, service: Service) -> None:
        self.services.remove(service)
        for each in [service, *self.services]:
            # API and workers get the signal together and end side by side; Redis outlives them
            if each.process and (each is service or each.name != "redis"):
                each.process.terminate()
        if service.process is None:
            return
        try:
            service.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.say(f"{service.name} did not end within {STOP_SECONDS:g} s and is killed")
            service.process.kill()
            service.process.wait()

    def _wait_until_ready(self, redis_url: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        # the API counts workers only for those who have a key where keys are asked for, which this one may not have
        with connect(redis_url) as redis, Client(self.url, timeout=5, retries=0) as client:
            store = OperatorStore(redis)
            while time.monotonic() < deadline:
                self.keep_running()
                for service in self.services:
                    _give_up_on(service)
                with suppress(ApiError, RedisError):
                    client.health()
                    if store.workers() >= self.workers:
                        return
                time.sleep(0.1)
        raise SupervisorError(f"API and workers were not ready within {START_SECONDS:g} s")


def share_of_cores(workers: int) -> dict[str, str]:
    """What gives each of several workers on the CPU its share of the cores: else each would take all, and they wait
    for each other more than they work. As a change of their environment."""
    if workers < 2 or THREADS in os.environ:
        return {}
    return {THREADS: str(max(1, cores() // workers))}


def gpus() -> list[str]:
    """The machine's NVIDIA GPUs by their names in CUDA_VISIBLE_DEVICES, which also restricts them. Loads no torch."""
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    there = [str(i) for i, line in enumerate(listing.stdout.splitlines()) if line.startswith("GPU ")]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return there if visible is None else [name for name in visible.split(",") if name.strip() not in ("", "-1")]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_torch(otherwise: str) -> None:
    """See to it that workers can run here. Raises SupervisorError with what to do, or what to do otherwise."""
    if find_spec("torch") is None:
        raise SupervisorError(
            f"a worker needs torch, which is not installed: pip install 'lrserve[worker]'; {otherwise}"
        )


def _check_free(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SupervisorError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port"
            ) from None


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SupervisorError(
                f"another lrserve uses {home}; set LRSERVE_HOME or --home to another folder"
            ) from None
        yield


def _give_up_on(service: Service) -> None:
    """Raise SupervisorError if the service has ended too often."""
    if service.failures >= MOST_FAILURES:
        assert service.status is not None
        how = how_it_ended(service.status)
        raise SupervisorError(f"{service.name} ended {MOST_FAILURES} times in a row, the last time {how}")


def _after(pause: float) -> str:
    return f" in {pause:g} s" if pause else ""


def _yield_to_others() -> None:
    """Do what _die_with_parent does, at a lower priority, and be the first that the system ends if memory runs out."""
    _die_with_parent()
    os.nice(NICE)
    with suppress(OSError):  # no Linux
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)


def _die_with_parent() -> None:
    """Linux: ask for SIGTERM when the parent dies, even by kill -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
