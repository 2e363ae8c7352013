"""A client of Redis that sends a script again, as one does whose answer was lost."""

from __future__ import annotations

import hashlib
from typing import Any

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from lrcore.store.scripts import source


class Repeating(Redis):
    """A client over the connections of another one, which remembers how it sent each script."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sent: dict[str, tuple[tuple[Any, ...], Any]] = {}

    @classmethod
    def of(cls, redis: Redis) -> Repeating:
        """Make one that talks to the same server in the same way."""
        return cls(connection_pool=redis.connection_pool)

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        answer = super().execute_command(*arguments, **options)
        if arguments[0] == "EVALSHA":
            self._sent[arguments[1]] = arguments, answer
        return answer

    def answered(self, script: str) -> Any:
        """Return what Redis answered when it was last sent this script of the store, by its name."""
        return self._sent[_digest(script)][1]

    def again(self, script: str) -> Any:
        """Send it again in the same way, and return what Redis answers now."""
        return super().execute_command(*self._sent[_digest(script)][0])


class Losing(Redis):
    """A client over the connections of another one, whose connection breaks before the first answer of a script."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._lost: set[str] = set()

    @classmethod
    def of(cls, redis: Redis, script: str) -> Losing:
        """Make one that talks to the same server in the same way, but for this script of the store."""
        client = cls(connection_pool=redis.connection_pool)
        client._lost.add(_digest(script))
        return client

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        answer = super().execute_command(*arguments, **options)
        if arguments[0] == "EVALSHA" and arguments[1] in self._lost:
            self._lost.remove(arguments[1])
            raise RedisConnectionError("the connection broke before the answer came")
        return answer


def _digest(script: str) -> str:
    return hashlib.sha1(source(script).encode()).hexdigest()
