"""Whether Redis has memory for more jobs."""

from __future__ import annotations

import time
from typing import Any

from redis import Redis

from lrcore.store.errors import StoreFull

FULL = 0.9  # of Redis' memory: beyond it no job is accepted, so that those that run can report to their end
SHARE = 0.25  # of Redis' memory: what a tenant's records may take if no limit says otherwise
CHECK_SECONDS = 1.0


class MemoryGuard:
    """Reads Redis' memory, once a second. Safe to share between threads.

    Attributes:
        share: bytes of records that a tenant may have without a limit of its own; 0 if Redis' memory is unknown.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis, self._until = redis, 0.0
        self.share = 0

    def check(self) -> None:
        """Raise StoreFull if what is left is for the jobs that run."""
        if time.monotonic() <= self._until:
            return
        memory: dict[str, Any] = self._redis.info("memory")
        used, most = memory["used_memory"] - memory.get("mem_not_counted_for_evict", 0), memory["maxmemory"]
        self.share = int(SHARE * (most or memory.get("total_system_memory", 0)))
        if most and used > FULL * most:
            raise StoreFull(f"Redis uses {used} of its {most} bytes; what is left is for the jobs that run")
        self._until = time.monotonic() + CHECK_SECONDS
