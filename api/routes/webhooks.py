"""Webhooks: endpoints that are notified when a job changes its state."""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, Field, HttpUrl

from lrcore.family import Flag, Items, Spec
from lrcore.jobs.job import Label
from lrcore.webhooks.endpoints import BOUNDS, WebhookStore
from lrcore.webhooks.records import Delivery, Event, Webhook

from ..dependencies import json_body, of_app
from ..documented import DocumentedRoute, documented, refuses
from ..problems import Invalid
from ..webhooks.address_policy import AddressPolicy

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/webhooks", tags=["webhooks"])

EVENTS: tuple[Event, ...] = get_args(Event)
FULL = f"There are {BOUNDS.endpoints} webhooks of the tenant already, or {BOUNDS.all_endpoints} of all tenants"


def _without_credentials(url: HttpUrl) -> HttpUrl:
    if url.username is not None or url.password is not None:
        raise ValueError("a webhook's URL carries no user name and no password; its signature proves the sender")
    if url.fragment is not None:
        raise ValueError("a webhook's URL has no fragment")
    return url


Url = Annotated[HttpUrl, AfterValidator(_without_credentials)]
Events = Annotated[tuple[Event, ...], Items(len(EVENTS), least=1)]
Description = Annotated[str, Field(max_length=500, strict=True)]


class WebhookRequest(Spec):
    """An endpoint to notify."""

    url: Url = Field(description="http or https; redirects are not followed")
    events: Events = Field(EVENTS, description="which changes of state it is notified of; all if not given")
    label: Label | None = Field(None, description="only jobs with this label")
    description: Description = ""


def _absent() -> Any:
    """The default of a field that is only looked at if it was given: null itself is refused."""
    return None


class WebhookChange(Spec):
    """What may be changed of an endpoint. What is not named stays; `label: null` takes the filter away."""

    url: Url = Field(default_factory=_absent)
    events: Events = Field(default_factory=_absent)
    label: Label | None = None
    description: Description = Field(default_factory=_absent)
    enabled: Flag = Field(default_factory=_absent)


class NewWebhook(Webhook):
    """An endpoint with its secret."""

    secret: str = Field(description="the key of the signatures; shown this once")


class WebhookList(BaseModel):
    """All endpoints."""

    webhooks: list[Webhook] = Field(description="newest first")


class DeliveryPage(BaseModel):
    """Some deliveries of an endpoint, newest first."""

    deliveries: list[Delivery]
    next_cursor: str | None = Field(description="cursor of the page after this one; null on the last")


@refuses(503)
def _store(request: Request) -> WebhookStore:
    store: WebhookStore = request.app.state.webhooks
    return store.of(request.state.caller.tenant)


Webhooks = Annotated[WebhookStore, Depends(_store)]
CurrentAddressPolicy = Annotated[AddressPolicy, of_app("address_policy")]


def _checked(url: HttpUrl, address_policy: AddressPolicy) -> str:
    if address_policy.refuses_literal(url.host or ""):
        raise Invalid((("body", "url"), "the address is not public, and LRSERVE_WEBHOOK_ALLOW does not name it"))
    return str(url)


@router.post(
    "",
    status_code=201,
    summary="Register a webhook",
    dependencies=[Depends(json_body)],
    responses=documented(_409=FULL),
)
def create_webhook(
    asked: WebhookRequest, store: Webhooks, address_policy: CurrentAddressPolicy, response: Response
) -> NewWebhook:
    """The answer is the only one that shows the secret. Events are sent from now on."""
    url = _checked(asked.url, address_policy)
    made, secret = store.register(url, list(asked.events), asked.label, asked.description)
    response.headers["Location"] = f"/v1/webhooks/{made.id}"
    return NewWebhook(**vars(made), secret=secret)


@router.get("", summary="List webhooks")
def list_webhooks(store: Webhooks) -> WebhookList:
    """All of them."""
    return WebhookList(webhooks=store.all())


@router.get("/{webhook_id}", summary="One webhook", responses=documented(404))
def get_webhook(webhook_id: str, store: Webhooks) -> Webhook:
    """Without its secret."""
    return store.get(webhook_id)


@router.patch(
    "/{webhook_id}",
    summary="Change a webhook",
    dependencies=[Depends(json_body)],
    responses=documented(404),
)
def change_webhook(
    webhook_id: str, change: WebhookChange, store: Webhooks, address_policy: CurrentAddressPolicy
) -> Webhook:
    """While it is disabled nothing is sent and nothing new is kept for it; what waited goes out once it is enabled."""
    changes: dict[str, Any] = {name: getattr(change, name) for name in change.model_fields_set}
    if "url" in changes:
        changes["url"] = _checked(change.url, address_policy)
    if "events" in changes:
        changes["events"] = list(change.events)
    return store.change(webhook_id, changes)


@router.delete("/{webhook_id}", status_code=204, summary="Delete a webhook", responses=documented(404))
def delete_webhook(webhook_id: str, store: Webhooks) -> None:
    """With its deliveries, those that wait included."""
    store.remove(webhook_id)


@router.post("/{webhook_id}/rotate", summary="Give a webhook a new secret", responses=documented(404))
def rotate_webhook_secret(webhook_id: str, store: Webhooks) -> NewWebhook:
    """For 24 hours messages carry a signature of the old secret too."""
    rotated, secret = store.rotate(webhook_id)
    return NewWebhook(**vars(rotated), secret=secret)


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    summary="Send a test event",
    responses=documented(404, _409="The webhook is disabled"),
)
def test_webhook(webhook_id: str, store: Webhooks) -> Delivery:
    """An event of the type `webhook.test`, whatever events the webhook wants; the log shows what became of it."""
    return store.test(webhook_id)


@router.get("/{webhook_id}/deliveries", summary="A webhook's deliveries", responses=documented(404))
def list_webhook_deliveries(
    webhook_id: str,
    store: Webhooks,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=64, description="next_cursor of the page before")] = None,
) -> DeliveryPage:
    """Newest first, with every attempt. Those that are over are kept for 7 days, and the last 1,000 at most."""
    deliveries, next_cursor = store.page(webhook_id, limit, cursor)
    return DeliveryPage(deliveries=deliveries, next_cursor=next_cursor)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    summary="Send a delivery again",
    responses=documented(404, _409="The webhook is disabled"),
)
def redeliver_webhook(webhook_id: str, delivery_id: str, store: Webhooks) -> Delivery:
    """At once, under the same id, and with new retries if it fails. One that is being sent stays as it is."""
    return store.redeliver(webhook_id, delivery_id)
