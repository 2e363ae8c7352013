"""From events to signed messages: what a dispatcher of webhooks asks of the store, for asyncio."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lrcore.jobs.ids import NOBODY, display
from lrcore.jobs.job import rfc3339
from lrcore.store.connection import AsyncRedis
from lrcore.store.records import milliseconds
from lrcore.store.scripts import PREFIX, AsyncScriptRunner
from lrcore.webhooks.endpoints import BOUNDS, SECRET_PREFIX, Bounds
from lrcore.webhooks.records import Attempt

Outcome = Literal["delivered", "failed", "gone", "retry"]

ERROR_CHARACTERS = 4000  # of a job's error: a payload stays far below 20 kB
EVENTS_AT_ONCE = 20  # bounds what one script does while Redis answers nobody else


@dataclass(frozen=True)
class Parcel:
    """A delivery in a dispatcher's hands, for the time of its lease.

    Attributes:
        claim: tells this taking of the delivery from all others.
        at: when it was taken, milliseconds since 1970.
        failures: attempts since it was made or asked for again.
        secrets: the endpoint's, and for a day the one before.
    """

    id: str
    webhook_id: str
    tenant: str
    url: str
    claim: int
    at: int
    failures: int
    body: bytes
    secrets: tuple[str, ...] = field(repr=False)


class Outbox:
    """Events and deliveries in Redis. Any number of dispatchers may use it side by side.

    Every method raises redis.RedisError if Redis does not answer.
    """

    def __init__(self, redis: AsyncRedis, bounds: Bounds = BOUNDS) -> None:
        self._redis, self._bounds = redis, bounds
        self._scripts = AsyncScriptRunner(redis)

    async def wait(self, seconds: float) -> bool:
        """Return once there are events to fan out: True, or False if none came in time."""
        stream = f"{PREFIX}outbox"
        return bool(await self._redis.xread({stream: "0"}, count=1, block=round(seconds * 1000)))

    async def fan_out(self) -> int:
        """Turn the first events, if there are any, into deliveries. Returns how many events."""
        return int(await self._run("fan_out", EVENTS_AT_ONCE, self._bounds.pending))

    async def take(
        self, most: int, most_of_one: int, most_of_tenant: int, lease_seconds: float, held: Mapping[str, int]
    ) -> list[Parcel]:
        """Deliveries that are due. One that is not settled within the lease is due again.

        Args:
            most_of_one: how many may be in flight to one endpoint, whoever sends them.
            most_of_tenant: how many of one tenant the caller may have.
            held: how many of each tenant it has already.
        """
        first = secrets.randbelow(self._bounds.all_endpoints)
        kept = self._bounds.ended, milliseconds(self._bounds.ended_seconds)
        counts = [part for tenant_and_count in held.items() for part in tenant_and_count]
        at, taken = await self._run(
            "take", most, most_of_one, milliseconds(lease_seconds), first, most_of_tenant, *kept, *counts
        )
        return [_parcel(_paired(record), _paired(webhook), int(at)) for record, webhook in taken]

    async def settle(self, parcel: Parcel, attempt: Attempt, outcome: Outcome, delay_seconds: float = 0.0) -> bool:
        """Record an attempt and what follows from it; False if the lease had run out.

        Args:
            outcome: gone disables the endpoint; retry makes the delivery due again after the delay.
        """
        text = attempt.model_copy(update={"at": parcel.at}).model_dump_json(exclude_none=True, warnings=False)
        delay, kept = milliseconds(delay_seconds), self._bounds.attempts
        return bool(await self._run("settle", parcel.id, parcel.claim, text, outcome, delay, kept))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _run(self, script: str, *arguments: str | int) -> Any:
        return await self._scripts.run(f"webhooks/{script}", *arguments)


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature of a message, version 1 of Standard Webhooks. `timestamp` in seconds since 1970."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def _paired(flat: list[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _parcel(record: dict[str, str], webhook: dict[str, str], at: int) -> Parcel:
    old = [webhook["old_secret"]] if at < int(webhook.get("old_until", 0)) else []
    return Parcel(
        id=record["id"],
        webhook_id=webhook["id"],
        tenant=webhook.get("tenant", NOBODY),
        url=webhook["url"],
        claim=int(record["claims"]),
        at=at,
        failures=int(record["failures"]),
        body=_body(record),
        secrets=(webhook["secret"], *old),
    )


def _body(record: dict[str, str]) -> bytes:
    """The payload: the same bytes in every attempt."""
    data: dict[str, Any] = {"webhook": record["webhook"]}
    if "job" in record:
        error = json.loads(record["error"])
        if error:
            error["message"] = error["message"][:ERROR_CHARACTERS]
        data = {
            "id": display(record["job"]),
            "kind": record["kind"],
            "state": record["job_state"],
            "attempt": int(record["attempt"]),
            "labels": json.loads(record["labels"]),
            "error": error,
        }
    payload = {"type": record["event"], "timestamp": rfc3339(int(record["at"])), "data": data}
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
