"""What the store's records hold, as objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lrcore.jobs.ids import NOBODY, display
from lrcore.jobs.job import Best, Epoch, GroupingView, Job, JobError, JobOptions, JobSummary, rfc3339
from lrcore.jobs.job_spec import JobSpec
from lrcore.jobs.states import RunState, State
from lrcore.store.queue import QUEUE, hardware_of

ENOUGH_MESSAGES = 100  # on the broker, to keep its workers busy between two rounds


class NewJob(NamedTuple):
    """A job to create: the arguments of ClientStore.create. Without a tenant it is the store's.

    `trace` is the W3C traceparent of whoever wants it, if that is traced.
    """

    spec: JobSpec
    options: JobOptions
    key: str = ""
    tenant: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Claim:
    """A job in a worker's hands."""

    id: str
    token: str
    attempt: int
    spec: JobSpec
    queue: str = QUEUE
    more: bool = False  # of an experiment there are runs that nobody has yet
    trace: str = ""  # W3C traceparent of the request that made it, if that was traced
    waited: tuple[int, int] = (0, 0)  # of a traced job, from when to when, in ms since 1970 by Redis' clock


class RunEpoch(NamedTuple):
    """A finished epoch of a run of an experiment."""

    run: int
    epoch: Epoch
    best: Best


class RunEnd(NamedTuple):
    """How a run of an experiment ended."""

    run: int
    state: RunState
    error: JobError | None = None
    training: GroupingView | None = None


class Judgement(NamedTuple):
    """Whether some runs of an experiment go on.

    Attributes:
        key: names the question.
    """

    key: str
    runs: range
    goes_on: bool


@dataclass(frozen=True)
class RunView:
    """A run of an experiment: where it is, its last epoch and its best one, why it failed, and how it was trained."""

    state: RunState
    metrics: Epoch | None = None
    best: Best | None = None
    error: JobError | None = None
    training: GroupingView | None = None


@dataclass(frozen=True)
class Queue:
    """A queue's waiting jobs and living workers.

    Attributes:
        waiting: jobs.
        workers: that serve the queue and live.
        messages: on the broker.
    """

    name: str
    waiting: int
    workers: int
    messages: int

    @property
    def missing_notifications(self) -> int:
        """Messages that must be sent so that every waiting job is announced, or as many as can matter."""
        return max(0, min(self.waiting, max(ENOUGH_MESSAGES, 2 * self.workers)) - self.messages)


def milliseconds(seconds: float) -> int:
    """Return seconds in the unit of the scripts."""
    return round(seconds * 1000)


def job_from(view: Sequence[Any]) -> Job:
    """Parse what lua/common/views.lua returns."""
    return Job(**_summary(view), spec=_parsed(view, "spec"), result=_parsed(view, "result"))


def summary_from(view: Sequence[Any]) -> JobSummary:
    """Parse what lua/common/views.lua returns without the fields that are long."""
    return JobSummary(**_summary(view))


def _parsed(view: Sequence[Any], field: str) -> Any:
    """A field that is JSON; None if there is none."""
    fields = view[0][::2]
    return json.loads(view[0][2 * fields.index(field) + 1]) if field in fields else None


def _summary(view: Sequence[Any]) -> dict[str, Any]:
    """The fields of a JobSummary."""
    parts, rank, workers, pace = (*view, None, None, None)[:4]
    record = dict(zip(parts[::2], parts[1::2], strict=True))

    def parsed(field: str) -> Any:
        return json.loads(record[field]) if field in record else None

    return dict(
        id=display(record["id"]),
        key=record["id"],
        tenant=record.get("tenant", NOBODY),
        kind=record["kind"],
        title=record.get("title", record["kind"]),  # older records have none
        state=State(record["state"]),
        labels=parsed("labels"),
        priority=int(record["priority"]),
        hardware=hardware_of(record["queue"]),
        plugins=parsed("plugins") or {},
        max_attempts=int(record["max_attempts"]),
        max_seconds=int(record["max_ms"]) / 1000 if "max_ms" in record else None,
        requested=record.get("want"),
        position=rank,
        starts_in_seconds=round((rank + 1) * float(pace) / 1000 / workers, 1) if pace and workers else None,
        attempt=int(record["attempt"]),
        losses=int(record["losses"]),
        progress=parsed("progress"),
        metrics=parsed("metrics"),
        best=parsed("best"),
        error=parsed("error"),
        created_at=rfc3339(int(record["created_at"])) or "",
        started_at=rfc3339(parsed("started_at")),
        finished_at=rfc3339(parsed("finished_at")),
    )
