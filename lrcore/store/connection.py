"""How to reach Redis: one URL, in the two dialects of redis-py and kombu.

The one door to redis-py: the rest of the tree takes its types and errors from here. Nothing else knows whether a URL
names a server, or Sentinels, which are asked for the primary at each new connection.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from redis import ConnectionPool, Redis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.sentinel import SentinelConnectionPool as AsyncSentinelConnectionPool
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
from redis.sentinel import Sentinel

from lrcore.store import redis_url
from lrcore.store.redis_url import SentinelUrl

__all__ = [
    "AsyncRedis",
    "AuthenticationError",
    "BusyLoadingError",
    "OutOfMemoryError",
    "PubSub",
    "Redis",
    "RedisConnectionError",
    "RedisError",
    "RedisTimeoutError",
    "ResponseError",
    "broker_settings",
    "check_url",
    "connect",
    "connect_async",
    "connect_counter",
    "connect_pubsub",
    "connect_reader",
]

COMMAND_SECONDS = 2.0  # with the one retry, a frozen Redis is noticed after 4 s
READ_SECONDS = 5.0  # of a client that reads streams
SENTINEL_SECONDS = 1.0  # for each Sentinel to answer
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


def _no_primary(service: str, errors: Iterable[str]) -> RedisConnectionError:
    if why := ", ".join(dict.fromkeys(errors)):
        return RedisConnectionError(f"no Sentinel names the primary of {service!r}: {why}")
    return RedisConnectionError(f"the Sentinels know no living primary of the name {service!r}")


def _living(primary: dict[str, Any] | None) -> tuple[str, int] | None:
    """Host and port of a primary, if a Sentinel knows it and does not take it for dead."""
    if primary is None or primary["is_sdown"] or primary["is_odown"] or not primary["is_master"]:
        return None
    return primary["ip"], primary["port"]


class _Sentinels(Sentinel):
    """Sentinels to which no connection is kept, asked by one thread at a time, first the one that answered last."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._lock = threading.Lock()

    def discover_master(self, service_name: str) -> tuple[str, int]:
        errors = []
        with self._lock:
            for sentinel in list(self.sentinels):
                try:
                    known: Any = sentinel.sentinel_masters()
                except RedisError as error:
                    errors.append(str(error))
                    continue
                finally:
                    sentinel.close()
                if address := _living(known.get(service_name)):
                    self.sentinels.sort(key=lambda each: each is not sentinel)
                    return address
        raise _no_primary(service_name, errors)


class _AsyncSentinels(AsyncSentinel):
    """The same for asyncio."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        self._lock = asyncio.Lock()

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        errors = []
        async with self._lock:
            for sentinel in list(self.sentinels):
                try:
                    known: Any = await sentinel.sentinel_masters()
                except RedisError as error:
                    errors.append(str(error))
                    continue
                finally:
                    await sentinel.aclose()
                if address := _living(known.get(service_name)):
                    self.sentinels.sort(key=lambda each: each is not sentinel)
                    return address
        raise _no_primary(service_name, errors)


class _BlockingSentinelPool(AsyncSentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary, for which callers wait if all are in use."""


def _to_sentinels(url: SentinelUrl) -> dict[str, Any]:
    """How to reach the Sentinels themselves, as redis-py and kombu take it."""
    tls = {"ssl": True, **url.tls} if url.tls else {}
    timeouts = {"socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS}
    return timeouts | url.sentinel_credentials | tls


def _to_server(url: SentinelUrl) -> dict[str, Any]:
    """How to log in to the primary."""
    tls = {"ssl": True, **url.tls} if url.tls else {}
    return {"db": url.database, **url.credentials, **tls}


def connect(url: str) -> Redis:
    """A client for short commands, safe to share between threads.

    redis-py's defaults retry for a minute and stop at 100 connections: both are set here.
    """
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": COMMAND_SECONDS,
        "socket_connect_timeout": COMMAND_SECONDS,
        "health_check_interval": 30,
        "retry": Breaker(),
        "retry_on_error": [RedisConnectionError, RedisTimeoutError],
        "max_connections": MAX_CONNECTIONS,
    }
    if not url.startswith("unix:"):
        options["socket_keepalive"] = True
    if not redis_url.is_sentinel(url):
        return Redis.from_url(url, **options)
    where = redis_url.parse_sentinel(url)
    once = _to_sentinels(where) | {"retry": Retry(NoBackoff(), 0)}
    sentinels: Any = _Sentinels(where.sentinels, sentinel_kwargs=once)
    client: Redis = sentinels.master_for(where.service, **options, **_to_server(where))
    return client


def connect_async(url: str, blocking_seconds: float) -> AsyncRedis:
    """Return a client for asyncio whose commands may block for so long."""
    return _connect_async(
        url,
        decode_responses=True,
        socket_timeout=blocking_seconds + COMMAND_SECONDS,
        socket_connect_timeout=COMMAND_SECONDS,
        retry=AsyncRetry(NoBackoff(), 1),
        max_connections=MAX_CONNECTIONS,
    )


def connect_reader(url: str) -> AsyncRedis:
    """Return a client for asyncio whose callers wait for one of a few connections."""
    return _connect_async(
        url,
        blocking=True,
        decode_responses=True,
        socket_timeout=READ_SECONDS,
        retry=AsyncRetry(NoBackoff(), 1),
        max_connections=8,
        timeout=READ_SECONDS,
    )


def connect_pubsub(url: str) -> AsyncRedis:
    """Return a client for asyncio without retries: a listener has to subscribe again."""
    return _connect_async(url, decode_responses=True, socket_timeout=READ_SECONDS, retry=AsyncRetry(NoBackoff(), 0))


def connect_counter(url: str, seconds: float) -> AsyncRedis:
    """Return a client for asyncio whose answers are bytes, and which waits no longer than so for one of them."""
    return _connect_async(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=AsyncRetry(NoBackoff(), 1))


def _connect_async(url: str, *, blocking: bool = False, **options: Any) -> AsyncRedis:
    """`blocking`: callers wait while all connections are in use."""
    if not redis_url.is_sentinel(url):
        if blocking:
            return AsyncRedis.from_pool(BlockingConnectionPool.from_url(url, **options))
        return AsyncRedis.from_url(url, **options)
    where = redis_url.parse_sentinel(url)
    once = _to_sentinels(where) | {"retry": AsyncRetry(NoBackoff(), 0)}
    client: AsyncRedis = _AsyncSentinels(where.sentinels, sentinel_kwargs=once).master_for(
        where.service,
        connection_pool_class=_BlockingSentinelPool if blocking else AsyncSentinelConnectionPool,
        **options,
        **_to_server(where),
    )
    return client


def check_url(url: str) -> None:
    """Raise ValueError if the URL is wrong, with the part that is, and how to write it. Connects to nothing."""
    redis_url.check(url)
    if redis_url.is_sentinel(url):
        return
    pool = ConnectionPool.from_url(url)
    kinds = pool.connection_class.__mro__[:-1]
    known = {name for kind in kinds for name in inspect.signature(kind.__init__).parameters} - {"self", "kwargs"}
    for name in parse_qs(urlsplit(url).query):
        if name not in known | {"max_connections"}:
            raise ValueError(redis_url.unknown_option(name, urlsplit(url).scheme, sorted(known)))
    try:
        pool.make_connection()
    except RedisError as error:  # a value that redis-py does not know
        raise ValueError(str(error)) from None


def broker_settings(url: str) -> dict[str, Any]:
    """Return Celery's settings for the same Redis, in kombu's dialect: it has other URLs of sockets and Sentinels."""
    options = {
        "socket_timeout": 5,  # a frozen Redis must not hold a publisher for ever
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
    }
    if not redis_url.is_sentinel(url):
        return {"broker_url": _broker_url(url), "broker_transport_options": options}
    where = redis_url.parse_sentinel(url)
    credentials = "".join(urlsplit(url).netloc.rpartition("@")[:2])
    addresses = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in where.sentinels]
    once = _to_sentinels(where) | {"retry": Retry(NoBackoff(), 0)}
    return {
        "broker_url": ";".join(f"sentinel://{credentials}{address}/{where.database}" for address in addresses),
        "broker_transport_options": options | {"master_name": where.service, "sentinel_kwargs": once},
        **({"broker_use_ssl": where.tls} if where.tls else {}),
    }


def _broker_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"redis+socket://{credentials}{parts.path}?virtual_host={database}"
