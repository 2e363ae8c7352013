"""How to reach Redis: one URL, in the two dialects of redis-py and kombu."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

COMMAND_SECONDS = 2.0  # with the one retry, a frozen Redis is noticed after 4 s


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
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
        max_connections=1000,
        **tcp,
    )


def broker_url(url: str) -> str:
    """The same Redis in kombu's dialect, which writes unix sockets differently."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"redis+socket://{credentials}{parts.path}?virtual_host={database}"
