"""What can be done with a submitted job of any type."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, ValidationError

from lrcore.family import Spec
from lrcore.jobs.job import Job, Priority
from lrcore.jobs.job_types import kind_of
from lrcore.jobs.states import State
from lrcore.store.errors import IllegalMove

from ..dependencies import CurrentJob, CurrentReaper, Files, Store, Who, json_body
from ..documented import DocumentedRoute, documented
from ..events.streams import until_revoked
from ..problems import Invalid, readable
from ..requests import JOB_TYPES
from ..responses import IdempotencyKey, JobResponse, created, linked

router = APIRouter(route_class=DocumentedRoute)

NOT_STORED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second is for nginx
EVENT_ID = r"^[0-9]{1,20}(-[0-9]{1,20})?$"


class JobChange(Spec):
    """What may be changed of a job that has not ended."""

    priority: Priority


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


JSON_TEXT = {"type": "string", "contentMediaType": "application/json"}
STREAM = {
    "x-itemSchema": {  # one event, by the name that OpenAPI 3.2 has for it
        "type": "object",
        "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": JSON_TEXT},
        "required": ["id", "event", "data"],
    },
}
STOPPING = documented(404, 409, _202={"description": "The worker was asked to stop", "model": JobResponse})


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    response_model=JobResponse,
    responses=STOPPING,
)
def cancel_job(job_id: str, store: Store, response: Response) -> JobResponse:
    """200 if the job is cancelled, 202 if its worker has yet to stop; 409 if it ended otherwise."""
    return _stopping(store.cancel(job_id), State.CANCELLED, response)


@router.post(
    "/{job_id}/pause",
    summary="Pause a job",
    response_model=JobResponse,
    responses=STOPPING,
)
def pause_job(job_id: str, store: Store, response: Response) -> JobResponse:
    """200 if the job is paused, 202 if its worker has yet to stop, with a checkpoint; 409 if it has ended."""
    return _stopping(store.pause(job_id), State.PAUSED, response)


def _stopping(job: Job, wanted: State, response: Response) -> JobResponse:
    response.status_code = 200 if job.state is wanted else 202
    return linked(job)


@router.post("/{job_id}/resume", summary="Resume a paused job", responses=documented(404, 409))
def resume_job(job_id: str, store: Store, reaper: CurrentReaper) -> JobResponse:
    """Back into the queue at its old place; it goes on at the step where it was paused. 409 if it has ended."""
    job = store.resume(job_id)
    reaper.wake()
    return linked(job)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    summary="Run an ended job again",
    response_model=JobResponse,
    responses=documented(409),
)
def retry_job(old: CurrentJob, store: Store, reaper: CurrentReaper, idempotency_key: IdempotencyKey = "") -> Any:
    """A new job, the same as the old one, from the beginning; 409 if the old one has not ended."""
    if not old.state.ended:
        raise IllegalMove(old.id, old.state, "retried")
    spec = kind_of(old.kind).of(old)
    return created(store.create(spec, old.options, key=_of_this("retry", old, idempotency_key)), reaper)


@router.post(
    "/{job_id}/clone",
    status_code=202,
    summary="Submit a job like another one, with changes",
    response_model=JobResponse,
    dependencies=[Depends(json_body)],
)
def clone_job(
    old: CurrentJob,
    changes: Annotated[dict[str, Any], Body(examples=[{"optimizer": {"lr": 0.1}, "epochs": 20}])],
    store: Store,
    reaper: CurrentReaper,
    idempotency_key: IdempotencyKey = "",
) -> Any:
    """A new job from the old one's spec and options and a JSON merge patch, RFC 7396: null takes a field out."""
    request = JOB_TYPES[old.kind].request
    patched = merged(old.spec | old.options.model_dump(mode="json", include=set(request.model_fields)), changes)
    try:
        job = request.model_validate(patched)
    except ValidationError as error:
        raise Invalid(*[(("body", *loc), message) for loc, message in readable(error.errors(), patched)]) from None
    job.spec.check()
    return created(store.create(job.spec, job.options, key=_of_this("clone", old, idempotency_key)), reaper)


def _of_this(action: str, job: Job, key: str) -> str:
    """An Idempotency-Key that no submit has used: the key of the job's own submit would bring back that very job."""
    return f"{action} {job.id} {key}" if key else ""


def merged(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """A JSON object after a merge patch, by RFC 7396. An object with another `type` than before begins anew."""
    result = dict(target)
    for name, value in patch.items():
        before = result.pop(name, None)
        if isinstance(value, dict):
            same = isinstance(before, dict) and value.get("type", before.get("type")) == before.get("type")
            value = merged(before if same else {}, value)
        if value is not None:
            result[name] = value
    return result


@router.patch(
    "/{job_id}",
    summary="Change a job's priority",
    dependencies=[Depends(json_body)],
    responses=documented(404, 409),
)
def change_job(job_id: str, change: JobChange, store: Store) -> JobResponse:
    """A queued job moves to its new place at once; a running one keeps the priority for when it comes back."""
    return linked(store.prioritize(job_id, change.priority))


@router.delete("/{job_id}", status_code=204, summary="Delete an ended job and its files", responses=documented(409))
def delete_job(job: CurrentJob, store: Store, files: Files) -> None:
    """Record, metrics, events and artifacts; 409 if the job has not ended."""
    if not job.state.ended:
        raise IllegalMove(job.id, job.state, "deleted")
    files.remove(job.key)  # first: what is left after a failure can be deleted again
    store.forget(job.key)


def _of_64_bits(event_id: str) -> str:
    if any(int(number) >= 2**64 for number in event_id.split("-")):
        raise ValueError("no event has so large an id")
    return event_id


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_class=EventStream,
    responses={200: {"content": {"text/event-stream": STREAM}}},
)
async def follow_job(
    job: CurrentJob,
    store: Store,
    request: Request,
    who: Who,
    last_event_id: Annotated[str | None, Header(pattern=EVENT_ID), AfterValidator(_of_64_bits)] = None,
) -> EventStream:
    """Server-sent events from the job's beginning, or after Last-Event-ID: state, progress, epoch; the last is end."""
    stream, after, growing = store.events_key(job.key), last_event_id or "0", not job.state.ended
    events = request.app.state.event_broadcaster.follow(stream, after, growing=growing)
    if who.key:
        events = until_revoked(events, request.app.state.keys, who.key)
    return EventStream(events, headers=NOT_STORED)
