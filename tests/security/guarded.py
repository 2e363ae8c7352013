"""A Redis with the users of docs/deploy/redis.acl, and everything that it holds."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from redis import Redis
from redis.exceptions import RedisError

from lrserve.supervisor import free_port
from tests.conftest import until

ROOT = Path(__file__).parents[2]
PASSWORDS = {name: f"{name}-pass-of-a-test" for name in ("operator", "api", "worker")}
TOLERANCE = 5.0  # seconds between two times at which a key expires, or between an expiry and a look at the key


class Guarded:
    """A server that keeps an append-only file, as the deployment files start it."""

    def __init__(self, server: Path, folder: Path) -> None:
        self.port, self._folder = free_port(), folder
        acl = (ROOT / "docs" / "deploy" / "redis.acl").read_text()
        for name, password in PASSWORDS.items():
            acl = acl.replace(f"{name.upper()}_PASSWORD", password)
        (folder / "users.acl").write_text(acl)
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "")
        self._command = [str(server), *options, "--appendonly", "yes", "--aclfile", str(folder / "users.acl")]
        self._process = self._started()

    def restart(self) -> None:
        """End the server in order, and start it again over what it has left on the disk."""
        self.stop()
        self._process = self._started()

    def stop(self) -> None:
        """End the server in order."""
        self._process.terminate()
        self._process.wait(60)

    def url(self, user: str) -> str:
        return f"redis://{user}:{PASSWORDS[user]}@127.0.0.1:{self.port}/0"

    def client(self, user: str) -> Redis:
        return Redis.from_url(self.url(user), decode_responses=True)

    def refused(self) -> list[tuple[str, str, str]]:
        """User, reason and what was refused, of everything that was."""
        log: Any = self.client("operator").acl_log()
        found = [(entry["username"], entry["reason"], entry["object"]) for entry in log]
        return [entry for entry in found if not entry[2].startswith("client")]  # redis-py does without its answer

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until(self._answers)
        return process

    def _answers(self) -> bool:
        try:
            return bool(self.client("operator").ping())
        except RedisError:
            return False


@contextmanager
def guarded_redis(server: Path, folder: Path) -> Iterator[Guarded]:
    """A guarded server, ended on the way out."""
    redis = Guarded(server, folder)
    try:
        yield redis
    finally:
        redis.stop()


class Entry(NamedTuple):
    """A key of Redis.

    Attributes:
        value: all of it, without the order where it has none.
        expires_at: seconds since 1970; None for a key that stays.
    """

    type: str
    value: Any
    expires_at: float | None


def contents(redis: Redis) -> dict[str, Entry]:
    """All that Redis holds, by key."""
    return {key: _entry(redis, key) for key in redis.scan_iter()}


def _entry(redis: Redis, key: str) -> Entry:
    with redis.pipeline() as pipe:  # a transaction: what is left, and when
        pipe.time().pttl(key).type(key)
        (seconds, microseconds), left, kind = pipe.execute()
    expires_at = seconds + microseconds / 1e6 + left / 1e3 if left >= 0 else None
    return Entry(kind, _value(redis, key, kind), expires_at)


def _value(redis: Redis, key: str, kind: str) -> Any:
    found: Any
    match kind:
        case "string":
            found = redis.get(key)
        case "hash":
            found = redis.hgetall(key)
        case "list":
            found = redis.lrange(key, 0, -1)
        case "set":
            found = redis.smembers(key)
        case "zset":
            found = redis.zrange(key, 0, -1, withscores=True)
        case "stream":
            about: Any = redis.xinfo_stream(key)
            found = (redis.xrange(key), about["last-generated-id"], about["groups"])
        case _:
            raise AssertionError(f"{key} is a {kind}, of which nobody knows how to read it")
    return found


def assert_nothing_was_lost(before: dict[str, Entry], redis: Redis) -> None:
    """Hold what Redis has now against what it had. A key whose time has come, or nearly, may be there or not."""
    after = contents(redis)
    seconds: Any = redis.time()
    soon = seconds[0] + TOLERANCE

    def lasting(found: dict[str, Entry]) -> dict[str, Entry]:
        return {key: each for key, each in found.items() if each.expires_at is None or each.expires_at > soon}

    was, is_now = lasting(before), lasting(after)
    lost, unknown = sorted(was.keys() - after.keys()), sorted(is_now.keys() - before.keys())
    assert lost == [], f"lost: {lost}"
    assert unknown == [], f"written by nobody: {unknown}"
    for key in was.keys() & after.keys():
        assert after[key][:2] == was[key][:2], f"{key} was {was[key]} and is {after[key]}"
        then, now = was[key].expires_at, after[key].expires_at
        assert (then is None) == (now is None), key
        assert then is None or now is None or abs(then - now) < TOLERANCE, key
