"""Calls about the service itself: whether it is up, webhooks, keys, the audit stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import httpx

from lrcore.webhooks.records import Delivery, Webhook
from lrserve.client.calls import Call, Page, as_json, given, list_of, model, nothing, page_of, path
from lrserve.client.methods import Listing, Method
from lrserve.client.responses import ApiKey, Health, Readiness


def health() -> Call[Health]:
    """Whether the process is up. Raises ApiError at the first failure."""
    return Call("GET", "/healthz", model(Health), eager=True)


def ready() -> Call[Readiness]:
    """Whether jobs can be taken; with a key, by whom, and what waits. Raises ApiError at the first failure."""
    return Call("GET", "/readyz", model(Readiness), eager=True)


def webhooks() -> Call[list[Webhook]]:
    """All webhooks, newest first."""
    return Call("GET", path("webhooks"), list_of(Webhook, "webhooks"))


def webhook(webhook_id: str) -> Call[Webhook]:
    """One webhook."""
    return Call("GET", path("webhooks", webhook_id), model(Webhook))


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
    return Call("PATCH", path("webhooks", webhook_id), model(Webhook), body=as_json(changes))


def delete_webhook(webhook_id: str) -> Call[None]:
    """Delete a webhook with its deliveries."""
    return Call("DELETE", path("webhooks", webhook_id), nothing, repeatable=False)


def rotate_secret(webhook_id: str) -> Call[tuple[Webhook, str]]:
    """Give a webhook a new secret; for 24 hours the old one signs, too."""
    return Call("POST", path("webhooks", webhook_id, "rotate"), _with_secret, repeatable=False)


def test_webhook(webhook_id: str) -> Call[Delivery]:
    """Send an event of the type webhook.test."""
    return Call("POST", path("webhooks", webhook_id, "test"), model(Delivery), repeatable=False)


def deliveries_page(cursor: str | None, webhook_id: str, *, page_size: int = 100) -> Call[Page[Delivery]]:
    """A webhook's deliveries, newest first."""
    return Call(
        "GET",
        path("webhooks", webhook_id, "deliveries"),
        page_of(Delivery, "deliveries"),
        given(limit=page_size, cursor=cursor),
    )


def redeliver(webhook_id: str, delivery_id: str) -> Call[Delivery]:
    """Send a delivery again, at once."""
    return Call(
        "POST", path("webhooks", webhook_id, "deliveries", delivery_id, "redeliver"), model(Delivery), repeatable=False
    )


def _with_secret(response: httpx.Response) -> tuple[Webhook, str]:
    return Webhook.model_validate(response.json()), response.json()["secret"]


def keys() -> Call[list[ApiKey]]:
    """The keys of the caller's tenant, without their secrets."""
    return Call("GET", path("keys"), list_of(ApiKey, "keys"))


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
