"""The store as its operator uses it: health, statistics, lost jobs and old ones, over all tenants."""

from __future__ import annotations

import time

from redis import Redis
from redis.exceptions import OutOfMemoryError

from lrcore.jobs.states import State
from lrcore.store.errors import StoreFull
from lrcore.store.memory import MemoryGuard
from lrcore.store.queue import broker_list
from lrcore.store.reader import JobReader
from lrcore.store.records import Queue, milliseconds
from lrcore.store.service_stats import ServiceStats, readable

PROBE_SECONDS = 1.0


class OperatorStore(JobReader):
    """Jobs, queues and workers of the service as a whole."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self._memory = MemoryGuard(redis)
        self._writable_until = 0.0

    def check_writable(self) -> None:
        """Find out, by a write once a second, whether jobs can be stored.

        Raises:
            StoreFull: Redis has no memory left for more jobs.
            redis.RedisError: it is away, a replica, without the replicas it needs, or cannot write to its disk.
        """
        self._memory.check()
        if time.monotonic() > self._writable_until:
            try:
                self._scripts.run("probe")
            except OutOfMemoryError as error:
                raise StoreFull(f"nothing can be stored: {error}") from error
            self._writable_until = time.monotonic() + PROBE_SECONDS

    def reap(self, max_losses: int) -> list[str]:
        """Put running jobs whose lease ran out back in their queue, or end them. Returns their ids."""
        return list(self._scripts.run("reap", max_losses, broker_list("")))

    def take_stale(self, days: float, lease_seconds: float) -> tuple[str, int] | None:
        """Take the oldest of the jobs that ended more than `days` ago; nobody else is given it for `lease_seconds`.

        Returns:
            Its id, and when it ended, in milliseconds since 1970.
        """
        taken = self._scripts.run("take_stale", milliseconds(days * 86_400), milliseconds(lease_seconds))
        return (taken[0], int(taken[1])) if taken else None

    def forget_stale(self, job_id: str, finished_at: int) -> bool:
        """Remove a job that `take_stale` gave, and no later one of its id. Returns whether it was there."""
        return bool(self._scripts.run("forget", job_id, finished_at) == "forgotten")

    def workers(self) -> int:
        """Return how many workers live."""
        return int(self._scripts.run("workers"))

    def queues(self) -> list[Queue]:
        """Return every queue that a job or a worker has named."""
        return [Queue(name, *map(int, counts)) for name, *counts in self._scripts.run("queues", broker_list(""))]

    def service_stats(self) -> ServiceStats:
        """Return what is known of the service as a whole, over all tenants."""
        queues = self.queues()
        now, counters, states, ages, worker_stats = self._scripts.run("service_stats")
        return ServiceStats(
            at=int(now) / 1000,
            counters={name: int(value) for name, value in zip(counters[::2], counters[1::2], strict=True)},
            jobs={State(state): jobs for state, jobs, _ in states},
            experiments={State(state): experiments for state, _, experiments in states},
            queues={queue.name: (queue.waiting, queue.workers) for queue in queues},
            oldest={queue: age / 1000 for queue, age in ages if age >= 0},
            workers=readable(worker_stats),
        )
