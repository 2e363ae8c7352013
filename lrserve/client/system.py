"""Calls about the service itself: whether it is up, webhooks, keys, the audit stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import httpx

from lrserve.client.calls import Call, Page, as_json, given, model, nothing, path
from lrserve.client.methods import Listing, Method
from lrserve.client.responses import ApiKey, Health, Readiness

if TYPE_CHECKING:
    from lrcore.webhooks.endpoints import Delivery, Webhook


def health() -> Call[Health]:
    """Whether the process is up. Raises ApiError at the first failure."""
    return Call("GET", "/healthz", model(Health), eager=True)


def ready() -> Call[Readiness]:
    """Whether jobs can be taken; with a key, by whom, and what waits. Raises ApiError at the first failure."""
    return Call("GET", "/readyz", model(Readiness), eager=True)


def webhooks() -> Call[list[Webhook]]:
    """All webhooks, newest first."""
    return Call("GET", path("webhooks"), lambda r: [_webhook(each) for each in r.json()["webhooks"]])


def webhook(webhook_id: str) -> Call[Webhook]:
    """One webhook."""
    return Call("GET", path("webhooks", webhook_id), lambda r: _webhook(r.json()))


def create_webhook(
    url: str, events: Sequence[str] | None = None, *, label: str | None = None, description: str = ""
) -> Call[tuple[Webhook, str]]:
    """Register a webhook; with it comes its secret, which no other call tells.

    Args:
        events: such as job.succeeded; all if None.
        label: only jobs with this label.
    """
    body = {"url": url, "description": description} | given(events=events, label=label)
    return Call("POST", path("webhooks"), _with_secret, body=as_json(body), repeatable=False)


def change_webhook(webhook_id: str, **changes: Any) -> Call[Webhook]:
    """Change url, events, label, description or enabled; what is not named stays."""
    return Call("PATCH", path("webhooks", webhook_id), lambda r: _webhook(r.json()), body=as_json(changes))


def delete_webhook(webhook_id: str) -> Call[None]:
    """Delete a webhook with its deliveries."""
    return Call("DELETE", path("webhooks", webhook_id), nothing, repeatable=False)


def rotate_secret(webhook_id: str) -> Call[tuple[Webhook, str]]:
    """Give a webhook a new secret; for 24 hours the old one signs, too."""
    return Call("POST", path("webhooks", webhook_id, "rotate"), _with_secret, repeatable=False)


def test_webhook(webhook_id: str) -> Call[Delivery]:
    """Send an event of the type webhook.test."""
    return Call("POST", path("webhooks", webhook_id, "test"), lambda r: _delivery(r.json()), repeatable=False)


def deliveries_page(cursor: str | None, webhook_id: str, *, page_size: int = 100) -> Call[Page[Delivery]]:
    """A webhook's deliveries, newest first."""
    return Call("GET", path("webhooks", webhook_id, "deliveries"), _page, given(limit=page_size, cursor=cursor))


def redeliver(webhook_id: str, delivery_id: str) -> Call[Delivery]:
    """Send a delivery again, at once."""
    return Call("POST", path("webhooks", webhook_id, "deliveries", delivery_id, "redeliver"), _one, repeatable=False)


def _page(response: httpx.Response) -> Page[Delivery]:
    answer = response.json()
    return Page([_delivery(each) for each in answer["deliveries"]], answer["next_cursor"])


def _one(response: httpx.Response) -> Delivery:
    return _delivery(response.json())


def _delivery(answer: dict[str, Any]) -> Delivery:
    from lrcore.webhooks.endpoints import Delivery

    return Delivery.model_validate(answer)


def _webhook(answer: dict[str, Any]) -> Webhook:
    from lrcore.webhooks.endpoints import Webhook

    return Webhook.model_validate(answer)


def _with_secret(response: httpx.Response) -> tuple[Webhook, str]:
    return _webhook(response.json()), response.json()["secret"]


def keys() -> Call[list[ApiKey]]:
    """The keys of the caller's tenant, without their secrets."""
    return Call("GET", path("keys"), lambda r: [ApiKey.model_validate(each) for each in r.json()["keys"]])


def create_key(
    role: Literal["read", "submit", "admin"], name: str = "", days: float | None = None
) -> Call[tuple[ApiKey, str]]:
    """Make a key for the caller's tenant; with it comes its token, which no other call tells."""
    body = {"role": role, "name": name} | given(days=days)
    return Call("POST", path("keys"), _with_token, body=as_json(body), repeatable=False)


def revoke_key(key_id: str) -> Call[None]:
    """Make a key useless, within five seconds."""
    return Call("DELETE", path("keys", key_id), nothing)


def audit(limit: int = 100) -> Call[list[dict[str, Any]]]:
    """What keys of the tenant have made, changed and deleted, newest first."""
    return Call("GET", path("audit"), lambda r: list(r.json()["entries"]), {"limit": limit})


def _with_token(response: httpx.Response) -> tuple[ApiKey, str]:
    return ApiKey.model_validate(response.json()), response.json()["token"]


class SystemMethods:
    """The methods of both clients for webhooks, keys and the service itself."""

    webhooks = Method(webhooks)
    webhook = Method(webhook)
    create_webhook = Method(create_webhook)
    change_webhook = Method(change_webhook)
    delete_webhook = Method(delete_webhook)
    rotate_secret = Method(rotate_secret)
    test_webhook = Method(test_webhook)
    deliveries = Listing(deliveries_page)
    redeliver = Method(redeliver)
    keys = Method(keys)
    create_key = Method(create_key)
    revoke_key = Method(revoke_key)
    audit = Method(audit)
    health = Method(health)
    ready = Method(ready)
