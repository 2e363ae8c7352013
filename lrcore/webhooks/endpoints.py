"""Where webhooks live: endpoints, and the deliveries that are on their way to them, in the Redis of the jobs.

The script that changes a job's state appends to the stream `outbox`, if `webhooks`, the sorted set of endpoints, is
there. `Outbox.fan_out` makes of each event one delivery for every endpoint that wants it. An endpoint is a hash
`webhook:ID`; its deliveries are listed in `webhook-log:ID`, and each is in one of `webhook-due:ID` (scored by when it
is due), `webhook-sending:ID` (by when its lease runs out), `webhook-over:ID` (by when it ended), or waits in
`webhook-lane:ID:JOB` for one of the same job. A delivery is a hash `delivery:ID` and a list `attempts:ID`.
"""

from __future__ import annotations

import base64
import copy
import json
import secrets
from dataclasses import dataclass
from typing import Any, Self

from lrcore.errors import LrcoreError
from lrcore.jobs.ids import NOBODY, display, new_id
from lrcore.jobs.job import rfc3339
from lrcore.store.connection import Redis
from lrcore.store.records import milliseconds
from lrcore.store.scripts import PREFIX, ScriptRunner
from lrcore.webhooks.records import Delivery, Event, Webhook

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32
OVERLAP_SECONDS = 86_400  # for which a replaced secret goes on signing


@dataclass(frozen=True)
class Bounds:
    """How much of everything there may be.

    Attributes:
        endpoints: of a tenant.
        all_endpoints: every event is held against each of them.
        pending: deliveries of one endpoint: beyond that, a new one fails at once.
        ended: deliveries of one endpoint that are kept.
        ended_seconds: for which they are kept.
        attempts: of one delivery that are kept: it can be asked for again and again.
    """

    endpoints: int = 100
    all_endpoints: int = 1000
    pending: int = 10_000
    ended: int = 1000
    ended_seconds: float = 7 * 86_400
    attempts: int = 50


BOUNDS = Bounds()


class WebhookNotFound(LrcoreError):
    """There is no such endpoint."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"there is no webhook {webhook_id[:80]!r}")


class DeliveryNotFound(LrcoreError):
    """The endpoint has no such delivery, or no longer."""

    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"the webhook has no delivery {delivery_id[:80]!r}")


class WebhookDisabled(LrcoreError):
    """Nothing is sent to the endpoint now."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"webhook {webhook_id} is disabled")


class TooManyWebhooks(LrcoreError):
    """There are as many endpoints as there may be, of the tenant or of all."""

    def __init__(self, bounds: Bounds) -> None:
        most = f"{bounds.endpoints} of a tenant and {bounds.all_endpoints} of all"
        super().__init__(f"there are as many webhooks as there may be, {most}: delete one first")


class WebhookStore:
    """Endpoints and deliveries in Redis. Safe to share between threads.

    Every method raises redis.RedisError if Redis does not answer.
    """

    def __init__(self, redis: Redis, bounds: Bounds = BOUNDS) -> None:
        self._redis, self._bounds = redis, bounds
        self._scripts = ScriptRunner(redis)
        self._tenant = NOBODY

    def of(self, tenant: str) -> Self:
        """Return the store as a tenant sees it."""
        bound = copy.copy(self)
        bound._tenant = tenant
        return bound

    def register(self, url: str, events: list[Event], label: str | None, description: str) -> tuple[Webhook, str]:
        """A new endpoint and its secret, which no other call tells. Raises TooManyWebhooks."""
        secret, webhook_id = new_secret(), new_id()
        fields = {
            "url": url,
            "events": events,
            "label": label,
            "description": description,
            "enabled": True,
        }
        most = self._bounds.endpoints, self._bounds.all_endpoints
        if not self._run("register", webhook_id, self._tenant, *most, "secret", secret, *_flat(fields)):
            raise TooManyWebhooks(self._bounds)
        return self.get(webhook_id), secret

    def get(self, webhook_id: str) -> Webhook:
        """The endpoint as it is now. Raises WebhookNotFound."""
        record: dict[str, str] = self._redis.hgetall(self._key("webhook", webhook_id))  # type: ignore[assignment]
        if not record or record.get("tenant", NOBODY) != self._tenant:
            raise WebhookNotFound(webhook_id)
        return _webhook(record)

    def all(self) -> list[Webhook]:
        """Every endpoint, newest first."""
        ids: list[str] = self._redis.zrange(f"{PREFIX}webhooks", 0, -1, desc=True)  # type: ignore[assignment]
        with self._redis.pipeline(transaction=False) as pipe:
            for webhook_id in ids:
                pipe.hgetall(self._key("webhook", webhook_id))
            found = [record for record in pipe.execute() if record and record.get("tenant", NOBODY) == self._tenant]
        return [_webhook(record) for record in found]

    def change(self, webhook_id: str, changes: dict[str, Any]) -> Webhook:
        """Give the endpoint other values of url, events, label, description or enabled. Raises WebhookNotFound."""
        self.get(webhook_id)
        if "enabled" in changes:
            changes = changes | {"disabled_reason": ""}
        if changes and not self._run("change", webhook_id, *_flat(changes)):
            raise WebhookNotFound(webhook_id)
        return self.get(webhook_id)

    def rotate(self, webhook_id: str) -> tuple[Webhook, str]:
        """Give the endpoint a new secret; for a day the old one signs beside it. Raises WebhookNotFound."""
        self.get(webhook_id)
        secret = new_secret()
        if not self._run("rotate", webhook_id, secret, milliseconds(OVERLAP_SECONDS)):
            raise WebhookNotFound(webhook_id)
        return self.get(webhook_id), secret

    def remove(self, webhook_id: str) -> None:
        """Forget the endpoint with its deliveries. Raises WebhookNotFound."""
        self.get(webhook_id)
        if not self._run("remove", webhook_id):
            raise WebhookNotFound(webhook_id)

    def test(self, webhook_id: str) -> Delivery:
        """Send an event of the type webhook.test. Raises WebhookNotFound and WebhookDisabled."""
        self.get(webhook_id)
        made = self._run("test", webhook_id, self._bounds.pending)
        if made == "missing":
            raise WebhookNotFound(webhook_id)
        if made == "disabled":
            raise WebhookDisabled(webhook_id)
        return self._deliveries([made])[0]

    def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """Send a delivery once more, now, and as often as a new one if that fails.

        Raises WebhookNotFound, DeliveryNotFound and WebhookDisabled.
        """
        self.get(webhook_id)
        outcome = self._run("redeliver", webhook_id, delivery_id)
        if outcome == "disabled":
            raise WebhookDisabled(webhook_id)
        found = [] if outcome == "missing" else self._deliveries([delivery_id])
        if not found:
            self.get(webhook_id)
            raise DeliveryNotFound(delivery_id)
        return found[0]

    def page(self, webhook_id: str, limit: int, cursor: str | None) -> tuple[list[Delivery], str | None]:
        """Deliveries, newest first, and the cursor of the next page or None. Raises WebhookNotFound."""
        self.get(webhook_id)
        below = f"({cursor}" if cursor else "+"
        ids: list[str] = self._redis.zrange(  # type: ignore[assignment]
            self._key("webhook-log", webhook_id), below, "-", desc=True, bylex=True, offset=0, num=limit + 1
        )
        return self._deliveries(ids[:limit]), ids[limit - 1] if len(ids) > limit else None

    def waiting(self) -> tuple[int, float]:
        """Deliveries of all tenants that have not ended; for how many seconds the first one that is due has been."""
        waiting, late = self._run("waiting")
        return int(waiting), int(late) / 1000

    def _deliveries(self, ids: list[str]) -> list[Delivery]:
        with self._redis.pipeline(transaction=False) as pipe:
            for delivery_id in ids:
                pipe.hgetall(self._key("delivery", delivery_id))
                pipe.lrange(self._key("attempts", delivery_id), 0, -1)
            answers = pipe.execute()
            found = [(record, attempts) for record, attempts in zip(answers[::2], answers[1::2], strict=True) if record]
            for record, _ in found:
                pipe.zscore(self._key("webhook-due", record["webhook"]), record["id"])
            times = pipe.execute() if found else []
        return [_delivery(record, attempts, due) for (record, attempts), due in zip(found, times, strict=True)]

    def _key(self, kind: str, name: str) -> str:
        return f"{PREFIX}{kind}:{name}"

    def _run(self, script: str, *arguments: str | int) -> Any:
        return self._scripts.run(f"webhooks/{script}", *arguments)


def new_secret() -> str:
    """A key for signatures, as Standard Webhooks writes it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def _flat(fields: dict[str, Any]) -> list[str]:
    """Fields as Redis takes them, one after another."""
    return [part for name, value in fields.items() for part in (name, _text(value))]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return json.dumps(value) if isinstance(value, list) else value or ""


def _webhook(record: dict[str, str]) -> Webhook:
    return Webhook(
        id=record["id"],
        url=record["url"],
        events=json.loads(record["events"]),
        label=record["label"] or None,
        description=record["description"],
        enabled=record["enabled"] == "1",
        disabled_reason=record.get("disabled_reason") or None,
        created_at=rfc3339(int(record["created_at"])) or "",
    )


def _delivery(record: dict[str, str], attempts: list[str], due: float | None) -> Delivery:
    tried = [json.loads(attempt) for attempt in attempts]
    return Delivery.model_validate(
        {
            "id": record["id"],
            "event": record["event"],
            "job_id": display(record["job"]) if "job" in record else None,
            "state": record["state"],
            "attempts": [attempt | {"at": rfc3339(attempt["at"])} for attempt in tried],
            "next_attempt_at": None if due is None else rfc3339(int(due)),
        }
    )
