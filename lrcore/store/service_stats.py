"""Statistics of the service as a whole: its jobs, queues and workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from lrcore.jobs.states import State


class WorkerStats(BaseModel, frozen=True, extra="ignore"):  # a newer worker may report more
    """Statistics that a worker reports every few seconds. They are dropped when it dies.

    Attributes:
        host: the machine: workers on one machine share a disk.
        plugins: loaded ones, each as name==version.
        device: the card's name, or cpu.
        busy: whether it has a job.
        steps_per_second, images_per_second: of training since the report before; all runs of a shard together.
        memory_used, memory_total: bytes of the device, by all processes on it; None for a CPU.
    """

    version: str
    host: str = ""
    hardware: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    device: str = ""
    torch: str = ""
    busy: bool = False
    steps_per_second: float = 0.0
    images_per_second: float = 0.0
    memory_used: int | None = None
    memory_total: int | None = None


@dataclass(frozen=True)
class ServiceStats:
    """The service at one moment, over all tenants.

    Attributes:
        at: seconds since 1970 by Redis' clock.
        counters: how often things have happened since the store was made: submitted, retried, ended:STATE,
            lost:lease|restart|stalled, webhooks:delivered|retry|failed|gone|dropped.
        jobs: of all types, experiments included, by state.
        experiments: by state.
        queues: jobs that wait and workers that live, by queue.
        oldest: seconds that the oldest job of a queue has waited; nothing for a queue in which none waits.
        workers: by name, those that report statistics.
    """

    at: float
    counters: dict[str, int]
    jobs: dict[State, int]
    experiments: dict[State, int]
    queues: dict[str, tuple[int, int]]
    oldest: dict[str, float]
    workers: dict[str, WorkerStats]


def readable(reports: Iterable[tuple[str, str]]) -> dict[str, WorkerStats]:
    """Parse the workers' reports, and leave out those that this version cannot read."""
    found = {}
    for worker, text in reports:
        try:
            found[worker] = WorkerStats.model_validate_json(text)
        except ValidationError:
            continue
    return found
