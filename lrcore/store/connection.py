"""How to reach Redis: one URL, in the two dialects of redis-py and kombu.

The one door to redis-py: the rest of the tree takes its types and errors from here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis import ConnectionPool, Redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    OutOfMemoryError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

__all__ = [
    "AsyncRedis",
    "AuthenticationError",
    "BusyLoadingError",
    "OutOfMemoryError",
    "PubSub",
    "Redis",
    "RedisConnectionError",
    "RedisError",
    "ResponseError",
    "broker_url",
    "check_url",
    "connect",
    "connect_async",
    "connect_pubsub",
    "connect_reader",
]

COMMAND_SECONDS = 2.0  # with the one retry, a frozen Redis is noticed after 4 s
READ_SECONDS = 5.0  # of a client that reads streams
MAX_CONNECTIONS = 1000
AWAY_SECONDS = 0.5  # between two checks whether it is back


class Breaker(Retry):
    """One retry; and while Redis is away one caller at a time finds out whether it is back: all others fail at once.

    Otherwise each request to a frozen Redis would hold a thread of the API for its whole time-out, and with all of
    them held nothing else would be answered.
    """

    def __init__(self) -> None:
        super().__init__(NoBackoff(), 1)
        self._once = Retry(NoBackoff(), 0)
        self._lock, self._inside = threading.Lock(), threading.local()
        self._away, self._next_check = False, 0.0

    def __deepcopy__(self, memo: dict[int, Any]) -> Breaker:
        return self  # redis-py gives each connection its own copy: here they share what they know

    def call_with_retry(self, do: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
        """Do it. Raises redis.ConnectionError at once if Redis did not answer a moment ago."""
        if getattr(self._inside, "call", False):  # connecting, as a part of a call: that proves nothing yet, and the
            return self._once.call_with_retry(do, *args, **kwargs)  # call has the retry
        self._enter()
        self._inside.call = True
        try:
            result = super().call_with_retry(do, *args, **kwargs)
        except (RedisConnectionError, RedisTimeoutError, OSError):
            self._away, self._next_check = True, time.monotonic() + AWAY_SECONDS
            raise
        except BaseException:
            self._away = False  # an answer, if not a good one
            raise
        finally:
            self._inside.call = False
        self._away = False
        return result

    def _enter(self) -> None:
        if not self._away:
            return
        with self._lock:
            if time.monotonic() < self._next_check:
                raise RedisConnectionError("Redis did not answer a moment ago")
            self._next_check = time.monotonic() + 4 * COMMAND_SECONDS


def connect(url: str) -> Redis:
    """A client for short commands, safe to share between threads.

    redis-py's defaults retry for a minute and stop at 100 connections: both are set here.
    """
    tcp = {} if url.startswith("unix:") else {"socket_keepalive": True}
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=COMMAND_SECONDS,
        socket_connect_timeout=COMMAND_SECONDS,
        health_check_interval=30,
        retry=Breaker(),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        max_connections=MAX_CONNECTIONS,
        **tcp,
    )


def connect_async(url: str, blocking_seconds: float) -> AsyncRedis:
    """Return a client for asyncio whose commands may block for so long."""
    return AsyncRedis.from_url(
        url,
        decode_responses=True,
        socket_timeout=blocking_seconds + COMMAND_SECONDS,
        socket_connect_timeout=COMMAND_SECONDS,
        retry=AsyncRetry(NoBackoff(), 1),
        max_connections=MAX_CONNECTIONS,
    )


def connect_reader(url: str) -> AsyncRedis:
    """Return a client for asyncio whose callers wait for one of a few connections."""
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=True,
        socket_timeout=READ_SECONDS,
        retry=AsyncRetry(NoBackoff(), 1),
        max_connections=8,
        timeout=READ_SECONDS,
    )
    return AsyncRedis.from_pool(pool)


def connect_pubsub(url: str) -> AsyncRedis:
    """Return a client for asyncio without retries: a listener has to subscribe again."""
    return AsyncRedis.from_url(
        url, decode_responses=True, socket_timeout=READ_SECONDS, retry=AsyncRetry(NoBackoff(), 0)
    )


def check_url(url: str) -> None:
    """Raise ValueError if redis-py does not understand the URL. Connects to nothing."""
    ConnectionPool.from_url(url)


def broker_url(url: str) -> str:
    """The same Redis in kombu's dialect, which writes unix sockets differently."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"redis+socket://{credentials}{parts.path}?virtual_host={database}"
