"""How much a tenant may have: bounds in Redis, set by an operator, kept by the API and by the store's scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lrcore.store.connection import Redis
from lrcore.store.scripts import PREFIX

ALL = "*"  # every tenant that has no bound of its own
LIMITS = {
    "requests_per_minute": "requests of all the tenant's keys together",
    "body_bytes": "of a request; the API's own bound holds as well",
    "steps": "optimizer steps of a job; of an experiment, those of all its runs",
    "runs": "of an experiment",
    "queued": "jobs that no worker has: they wait, or are paused",
    "running": "jobs, and shards of experiments, that run at once",
    "gpu_seconds_per_day": "of running on any device, from midnight UTC; what runs then runs on",
    "stored_bytes": "of ended jobs' files and the others' checkpoints; from then on no job is accepted, or begins",
    "record_bytes": "of jobs' specs, ended ones included, and 2 KiB each; a quarter of Redis' memory if not set",
}


class LimitStore:
    """Bounds by tenant. Every method raises redis.RedisError if Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def of(self, tenant: str) -> dict[str, float]:
        """What holds for a tenant: its own bounds, and those for all where it has none."""
        return self.set_for(ALL) | self.set_for(tenant)

    def set_for(self, tenant: str) -> dict[str, float]:
        """What was set for a tenant itself, or for ALL."""
        found: Any = self._redis.hgetall(f"{PREFIX}limits:{tenant}")
        return {name: float(value) for name, value in found.items()}

    def change(self, tenant: str, limits: Mapping[str, int | None]) -> None:
        """Set bounds; None takes one away."""
        key = f"{PREFIX}limits:{tenant}"
        with self._redis.pipeline() as pipe:
            for name, value in limits.items():
                pipe.hdel(key, name) if value is None else pipe.hset(key, name, str(value))
            pipe.execute()
