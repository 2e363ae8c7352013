"""Who did what: streams in Redis, beside the jobs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lrcore.jobs.job import rfc3339
from lrcore.store.connection import Redis
from lrcore.store.scripts import PREFIX

KEPT = 100_000  # entries of a tenant


@dataclass(frozen=True)
class Entry:
    """Something that was done with success.

    Attributes:
        key: id of the key; cli for the command line of the operator; api for the key of the first start.
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
    """A stream a tenant: none can fill another one's. Every method raises redis.RedisError if Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add(self, entry: Entry) -> None:
        """Append an entry."""
        fields: dict[Any, Any] = asdict(entry)
        self._redis.xadd(self._stream(entry.tenant), fields, maxlen=KEPT, approximate=True)

    def last(self, count: int, tenant: str) -> list[dict[str, str]]:
        """The last entries of a tenant, newest first, each with its time."""
        entries: Any = self._redis.xrevrange(self._stream(tenant), count=count)
        return [{"at": rfc3339(int(entry_id.split("-")[0])) or "", **fields} for entry_id, fields in entries]

    def _stream(self, tenant: str) -> str:
        return f"{PREFIX}audit:{tenant}"
