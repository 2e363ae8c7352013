"""Webhooks and their deliveries as readers see them. Knows no store: the client reads them, too."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

Event = Literal["job.queued", "job.running", "job.paused", "job.succeeded", "job.failed", "job.cancelled"]


class Webhook(BaseModel, frozen=True):
    """An endpoint, without its secret."""

    id: str
    url: str
    events: list[Event] = Field(description="which changes of state it is notified of")
    label: str | None = Field(description="only jobs with this label; null for all")
    description: str
    enabled: bool
    disabled_reason: str | None = Field(description="why it is disabled, if not by a client")
    created_at: str = Field(description="RFC 3339, UTC")


class Attempt(BaseModel, frozen=True):
    """One try to deliver."""

    at: str = Field(description="RFC 3339, UTC")
    status: int | None = Field(None, description="HTTP status of the answer; null if there was none")
    error: str | None = Field(None, description="why it failed")
    milliseconds: int = Field(description="how long it took")


class Delivery(BaseModel, frozen=True):
    """An event on its way to an endpoint."""

    id: str = Field(description="the header webhook-id, the same in every attempt")
    event: str
    job_id: str | None = Field(description="null for webhook.test")
    state: Literal["pending", "delivered", "failed"]
    attempts: list[Attempt] = Field(description="in order; the last 50")
    next_attempt_at: str | None = Field(
        description="RFC 3339, UTC; null when it is over, is being sent, or waits for an earlier one of its job"
    )
