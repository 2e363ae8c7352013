"""A running lrserve for the benchmarks of jobs, and what its processes use."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lrcore.jobs.job import JobOptions
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.service.settings import Settings
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
        self.port = stack.port
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
        pages = int(Path(f"/proc/{self.pids['api']}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def service(home: Path, workers: int) -> Iterator[Service]:
    """What `lrserve up` starts, in `home`. If something goes wrong, the end of its output is shown."""
    with (home / "log").open("wb") as log:
        stack = ProcessSupervisor(Settings(home=home), "127.0.0.1", free_port(), workers, say=print, log=log)
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


def shares(used: Counter[str], unit: float) -> str:
    """What each process used, a unit."""
    return ", ".join(f"{name} {seconds / unit:.2f}" for name, seconds in used.items())


def elapsed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ms(seconds: list[float]) -> str:
    """Median and 99th percentile."""
    ordered = sorted(seconds)
    return f"p50 {statistics.median(ordered) * 1e3:7.2f} ms  p99 {ordered[len(ordered) * 99 // 100] * 1e3:7.2f} ms"


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"
