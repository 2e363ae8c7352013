"""Reading a job's event stream as it grows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis

BLOCK_SECONDS = 5


class Follower:
    """Redis streams for asyncio. Blocking reads have their own client: each holds a connection."""

    def __init__(self, url: str) -> None:
        # a read may rightly be silent for BLOCK_SECONDS: redis-py's default of 5 s would call that a time-out
        self._redis = Redis.from_url(
            url, decode_responses=True, socket_timeout=BLOCK_SECONDS + 10, max_connections=2000
        )

    async def follow(self, stream: str, after: str, *, growing: bool) -> AsyncIterator[tuple[str, str, str]]:
        """Entries (id, type, data) later than `after`; of a growing stream for ever, as they come."""
        block = BLOCK_SECONDS * 1000 if growing else None
        while True:
            answer: Any = await self._redis.xread({stream: after}, count=500, block=block)
            if not (answer or growing):
                return
            for _, entries in answer or []:
                for after, fields in entries:
                    yield after, fields["type"], fields["data"]

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
