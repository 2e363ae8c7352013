"""A running lrserve for the benchmarks of jobs, and what its processes use."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from lrcore.jobs.job import JobOptions
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.service.settings import Settings
from lrserve.embedded import find_server, version
from lrserve.supervisor import ProcessSupervisor, free_port
from tests.stores import JobStore

FIRST_SEED = 10**9  # all seeds have ten digits, so all requests are of one length
LEASE_SECONDS = 600.0

# The article's job, as a client sends it
BODY = (
    '{"model": {"type": "lenet"}, "dataset": {"type": "fashion-mnist"}, "optimizer": {"type": "SGD", "lr": 0.3}, '
    '"schedule": {"type": "CosineAnnealingLR", "T_max": 10}, "epochs": 10, "batch_size": 256, "seed": %d}'
)
ARTICLE = TrainingSpec.model_validate_json(BODY % FIRST_SEED)


class Service:
    """The processes of a stack, by their names: redis, api, worker."""

    def __init__(self, stack: ProcessSupervisor) -> None:
        self.port, self.url = stack.port, stack.url
        self.redis_url = stack.services[0].environment["LRSERVE_REDIS_URL"]
        self.pids = {s.name.partition(" ")[0]: s.process.pid for s in stack.services if s.process}

    def cpu(self) -> Counter[str]:
        """CPU seconds so far of each process, and of this one, which is the client."""
        return Counter({name: cpu_seconds(pid) for name, pid in (self.pids | {"client": os.getpid()}).items()})

    def cpu_since(self, before: Counter[str]) -> Counter[str]:
        """CPU seconds since then."""
        return Counter({name: now - before[name] for name, now in self.cpu().items()})

    def memory(self) -> float:
        """Resident memory of the API in MB."""
        return resident(self.pids["api"])


@contextmanager
def service(home: Path, workers: int, data_root: Path | None = None) -> Iterator[Service]:
    """What `lrserve up` starts, in `home`. If something goes wrong, the end of its output is shown."""
    with (home / "log").open("wb") as log:
        settings = Settings(home=home, data_root=data_root)
        stack = ProcessSupervisor(settings, "127.0.0.1", free_port(), workers, say=print, log=log)
        try:
            with stack.running():
                yield Service(stack)
        except BaseException:
            sys.stderr.write((home / "log").read_text()[-4000:])
            raise


def made(store: JobStore, n: int) -> str:
    """Put the n-th job into the store."""
    # a fifth of the jobs have the label: of the smallest store that is measured, a full page
    labels = ("team=vision",) if n % 5 == 0 else ("team=speech",)
    return store.create(ARTICLE.model_copy(update={"seed": FIRST_SEED + n}), JobOptions(labels=labels)).id


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def served(*command: str, environment: dict[str, str] | None = None) -> Iterator[tuple[int, int]]:
    """A server started as `python -m COMMAND --port N`, once it listens: its port and its process id."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", *command, "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_it_listens(port)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(10)


def _wait_until_it_listens(port: int) -> None:
    for _ in range(200):
        try:
            httpx.get(f"http://127.0.0.1:{port}/docs", timeout=2)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    sys.exit(f"nothing listens on {port}")


def prepare() -> None:
    """Allow as many open files as there may be, forget whose Redis there is, and print what is measured on."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # what is started inherits it
    os.environ.pop("LRSERVE_REDIS_URL", None)  # never someone's own jobs
    redis = ".".join(map(str, version(find_server())))
    print(f"{len(os.sched_getaffinity(0))} cores, redis-server {redis}, Python {platform.python_version()}", flush=True)


def shares(used: Counter[str], unit: float) -> str:
    """What each process used, a unit."""
    return ", ".join(f"{name} {seconds / unit:.2f}" for name, seconds in used.items())


def ms(seconds: list[float]) -> str:
    """Median and 99th percentile."""
    ordered = sorted(seconds)
    return f"p50 {statistics.median(ordered) * 1e3:7.2f} ms  p99 {ordered[len(ordered) * 99 // 100] * 1e3:7.2f} ms"
