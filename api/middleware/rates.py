"""Requests of a tenant per minute, over all API processes, with the RateLimit headers of
draft-ietf-httpapi-ratelimit-headers-11."""

from __future__ import annotations

import logging
import math
import time
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from lrcore.store.connection import RedisError, connect_counter

if TYPE_CHECKING:
    from limits.aio.strategies import SlidingWindowCounterRateLimiter

log = logging.getLogger("lrserve.api")

PATIENCE = 0.5  # seconds for Redis to answer; nobody is refused because it does not
PAUSE = 5.0  # seconds without asking, after it did not


class Rate(NamedTuple):
    """What is left of a minute.

    Attributes:
        allowed: whether this request is within the bound.
        reset: seconds until there is room again.
    """

    allowed: bool
    most: int
    left: int
    reset: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """For the answer."""
        policy, now = f'"default";q={self.most};w=60', f'"default";r={self.left};t={self.reset}'
        return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", now.encode())]


class Rates:
    """Counts requests in Redis.

    Attributes:
        redis: the client that does it.
    """

    def __init__(self, redis_url: str) -> None:
        self.redis = connect_counter(redis_url, PATIENCE)
        self._again_at = 0.0

    @cached_property
    def _limiter(self) -> SlidingWindowCounterRateLimiter:
        from limits.aio.storage import RedisStorage  # noqa: PLC0415  # only where there are limits
        from limits.aio.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415

        return SlidingWindowCounterRateLimiter(
            RedisStorage(
                "async+redis://",  # where Redis is, the pool knows
                implementation="redispy",
                key_prefix="lrserve:rates",
                connection_pool=self.redis.connection_pool,  # type: ignore[arg-type]  # its types forget it
            )
        )

    async def hit(self, tenant: str, per_minute: int) -> Rate | None:
        """Count a request; None if Redis does not answer."""
        if time.monotonic() < self._again_at:
            return None
        from limits import RateLimitItemPerMinute  # noqa: PLC0415

        item = RateLimitItemPerMinute(per_minute)
        try:
            allowed = await self._limiter.hit(item, tenant)
            reset_at, left = await self._limiter.get_window_stats(item, tenant)
        except (RedisError, OSError) as error:
            log.warning("requests are not counted for a while: %s", error)
            self._again_at = time.monotonic() + PAUSE
            return None
        return Rate(allowed, per_minute, left, max(1, math.ceil(reset_at - time.time())))
