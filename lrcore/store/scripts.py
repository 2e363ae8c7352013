"""Run the store's scripts, which lie in lua/, one a file: a write happens whole or not at all, and by Redis' clock.

A script begins with what it does and returns, the parts of lua/common/ that it includes, and its arguments' names.
ARGV[1] is the prefix of all keys. What can only come from records that do not fit together is answered with an error
that begins with FAULT. Scripts use commands of Redis 6.2 and later.
"""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path
from typing import Any

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.client import Pipeline
from redis.exceptions import OutOfMemoryError, ResponseError

from lrcore.store.errors import StoreFault
from lrcore.store.format import FORMAT, StoreFormat

PREFIX = "lrserve:"
LUA = Path(__file__).parent / "lua"
INCLUDE = re.compile(r"^--@include (\w+)\n", re.MULTILINE)


@functools.cache
def source(name: str) -> str:
    """Return a script's text, with each part that it includes once, before what needs it.

    Args:
        name: of its file in lua/, without the ending, such as webhooks/take.
    """
    parts: dict[str, str] = {}

    def add(path: str) -> None:
        text = (LUA / f"{path}.lua").read_text()
        for part in INCLUDE.findall(text):
            if f"common/{part}" not in parts:
                add(f"common/{part}")
        parts[path] = INCLUDE.sub("", text)

    add(name)
    return "".join(parts.values())


def names() -> list[str]:
    """Return the names of all scripts."""
    paths = (path.relative_to(LUA).with_suffix("") for path in LUA.rglob("*.lua"))
    return sorted(str(path) for path in paths if path.parts[0] != "common")


class _Registered:
    """The scripts of a client of Redis, each registered when it is first used, and what is known of the format."""

    def __init__(self, redis: Redis | AsyncRedis) -> None:
        self._redis = redis
        self._format = StoreFormat()
        self._calls: dict[str, Any] = {}

    def _registered(self, name: str) -> Any:
        call = self._calls.get(name)
        if call is None:
            call = self._calls[name] = self._redis.register_script(source(name))
        return call


class ScriptRunner(_Registered):
    """Runs scripts by name, on records of a format that it knows. Safe to share between threads."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)

    def check_format(self) -> None:
        """Migrate older records. Raises StoreTooNew, as `run` does."""
        if self._format.is_due():
            self._format.accept(self._call("format", FORMAT))

    def run(self, name: str, *arguments: str | int, client: Pipeline | None = None) -> Any:
        """Run a script, or put it into a pipeline.

        Raises:
            StoreTooNew: the store was written by a newer version.
            StoreFault: the records do not fit together.
            redis.RedisError: Redis does not answer, or has no memory left.
        """
        self.check_format()
        return self._call(name, *arguments, client=client)

    def _call(self, name: str, *arguments: str | int, client: Pipeline | None = None) -> Any:
        try:
            return self._registered(name)(args=[PREFIX, *arguments], client=client)
        except ResponseError as error:
            raise meaning_of(error) from error


class AsyncScriptRunner(_Registered):
    """The same for asyncio."""

    def __init__(self, redis: AsyncRedis) -> None:
        super().__init__(redis)

    async def run(self, name: str, *arguments: str | int) -> Any:
        """Run a script. Raises what ScriptRunner.run raises."""
        if self._format.is_due():
            self._format.accept(await self._call("format", FORMAT))
        return await self._call(name, *arguments)

    async def _call(self, name: str, *arguments: str | int) -> Any:
        try:
            return await self._registered(name)(args=[PREFIX, *arguments])
        except ResponseError as error:
            raise meaning_of(error) from error


def meaning_of(error: ResponseError) -> Exception:
    """Return what an error of a script stands for."""
    kind, _, message = str(error).partition(" ")
    if kind == "FAULT":
        return StoreFault(message)
    if "-OOM " in message:  # how Redis 6 wraps it
        return OutOfMemoryError(message)
    return error


if __name__ == "__main__":  # python -m lrcore.store.scripts FOLDER: all scripts with their parts, for a linter
    for each in names():
        path = Path(sys.argv[1]) / f"{each}.lua"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source(each))
