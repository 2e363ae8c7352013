"""Who did what: a stream in Redis, beside the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from redis import Redis

from lrcore.jobs.job import rfc3339
from lrcore.jobs.store import PREFIX

KEPT = 100_000  # entries


@dataclass(frozen=True)
class Entry:
    """Something that was done with success.

    Attributes:
        key: id of the key; cli for the command line of the operator.
        path: what was asked for; for the command line, the command.
        made: path of what was made, or "".
        client: address of the caller.
    """

    tenant: str
    key: str
    method: str
    path: str
    made: str = ""
    client: str = ""


class AuditLog:
    """The stream. Every method raises redis.RedisError if Redis does not answer."""

    def __init__(self, redis: Redis, prefix: str = PREFIX) -> None:
        self._redis, self._stream = redis, f"{prefix}audit"

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        fields: dict[Any, Any] = asdict(entry)
        self._redis.xadd(self._stream, fields, maxlen=KEPT, approximate=True)

    def last(self, count: int, tenant: str | None = None) -> list[dict[str, str]]:
        """The last entries, newest first, each with its time; of one tenant if given."""
        found: list[dict[str, str]] = []
        for entry_id, fields in _newest_first(self._redis, self._stream):
            if tenant in (None, fields["tenant"]):
                found.append({"at": rfc3339(int(entry_id.split("-")[0])) or "", **fields})
            if len(found) == count:
                break
        return found


def _newest_first(redis: Redis, stream: str) -> Iterator[tuple[str, dict[str, str]]]:
    end = "+"
    while True:
        entries: Any = redis.xrevrange(stream, end, count=1000)
        if not entries:
            return
        yield from entries
        end = f"({entries[-1][0]}"
