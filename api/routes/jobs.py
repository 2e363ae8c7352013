"""Training jobs: submit, look, wait, cancel, pause, resume, retry, clone, delete."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from redis.exceptions import RedisError

from api.deps import Bell, CurrentJob, Files, Store, json_body
from api.json import dumps
from api.negotiate import choose
from api.problems import Invalid, documented, readable
from api.requests import REQUESTS, JobRequest, RangeTestRequest
from lrcore.curve import Curve, CurveRequest
from lrcore.family import Spec
from lrcore.grid import Grid, extent
from lrcore.jobs.figure import draw_job
from lrcore.jobs.job import Epoch, Job, Label, Priority, Terms
from lrcore.jobs.kinds import kind_of
from lrcore.jobs.metrics import as_csv
from lrcore.jobs.queue import QUEUE
from lrcore.jobs.range_test import RangeTestSpec
from lrcore.jobs.spec import JobSpec
from lrcore.jobs.states import State
from lrcore.jobs.store import IllegalMove, NewJob
from lrcore.lint import warnings

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

METRICS = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
PICTURES = {"png": "image/png", "svg": "image/svg+xml"}
WAIT = re.compile(r"(?:^|[,;\s])wait=([0-9]{1,9})(?:$|[,;\s])")
NOT_STORED = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # the second is for nginx
EVENT_ID = r"^[0-9]{1,20}(-[0-9]{1,20})?$"

CLIENT_ID = r"^[a-z0-9][a-z0-9._-]{0,63}$"  # no capitals: some file systems take them for small letters
MAX_WAIT = 60  # seconds


class JobChange(Spec):
    """What may be changed of a job that has not ended."""

    priority: Priority


class EventStream(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


class Links(BaseModel):
    """Where the rest of a job is."""

    self: str
    metrics: str
    events: str
    cancel: str
    pause: str
    resume: str
    retry: str
    clone: str
    artifacts: str
    plot: str


class JobAnswer(Job):
    """A job with its links."""

    links: Links


class JobPage(BaseModel):
    """Some jobs, newest first."""

    jobs: list[JobAnswer]
    next_cursor: str | None = Field(description="cursor of the page after this one; null on the last")


class DryRun(BaseModel):
    """What a job would do."""

    spec: dict[str, Any] = Field(description="the job with all its defaults")
    steps: int = Field(description="optimizer steps")
    steps_per_epoch: int
    lr: list[list[float]] | None = Field(
        description="the rate of every interval, a list a parameter group; null if it follows a metric"
    )
    warnings: list[dict[str, Any]] = Field(description="what may not be meant, as for a curve")


class Metrics(BaseModel):
    """Every finished epoch of a job."""

    id: str
    epochs: list[Epoch]


def linked(job: Job) -> JobAnswer:
    """The job as the API shows it."""
    path = f"/v1/jobs/{job.id}"
    links = Links(
        self=path,
        metrics=f"{path}/metrics",
        events=f"{path}/events",
        cancel=f"{path}/cancel",
        pause=f"{path}/pause",
        resume=f"{path}/resume",
        retry=f"{path}/retry",
        clone=f"{path}/clone",
        artifacts=f"{path}/artifacts",
        plot=f"{path}/plot.png",
    )
    return JobAnswer(**vars(job), links=links)


@router.post(
    "",
    status_code=202,
    summary="Submit a training job",
    response_model=JobAnswer,
    dependencies=[Depends(json_body)],
    responses=documented(
        400, 413, 415, 422, 503, _200={"description": "With dry_run: what the job would do", "model": DryRun}
    ),
)
async def create_job(
    job: JobRequest,
    request: Request,
    store: Store,
    bell: Bell,
    idempotency_key: Annotated[
        str, Header(max_length=255, description="a name for this request: sent again, it makes no second job")
    ] = "",
    dry_run: Annotated[
        bool, Query(description="validate, and answer with the whole rate curve; no job is made")
    ] = False,
) -> Any:
    """Accepted once it is in the store; a worker takes it as soon as one is free.

    With an Idempotency-Key, a request whose answer got lost can be sent again: the same job comes back, for a day.
    The same key with another body is refused.
    """
    if dry_run:
        return Response(await run_in_threadpool(_dry_run, job.spec, job.terms, store), media_type="application/json")
    return await submitted(job, idempotency_key, request, bell)


async def submitted(asked: JobRequest | RangeTestRequest, key: str, request: Request, bell: Bell) -> Response:
    """Put a new job of any kind into the store. `key`: the request's Idempotency-Key, or an empty string."""
    # a header of the standard's kind is quoted, and people leave the quotes out
    wanted = NewJob(asked.spec, asked.terms, key.strip('"'))
    return created(await request.app.state.submits.create(wanted), bell)


def created(job: Job, bell: Bell, status: int = 202) -> Response:
    """The answer as bytes: FastAPI would check and copy it first, at the cost of all else that a submit takes."""
    bell.wake()
    headers = {"Location": f"/v1/jobs/{job.id}"}
    return Response(linked(job).model_dump_json(), status, headers, media_type="application/json")


@router.put(
    "/{job_id}",
    status_code=202,
    summary="Submit a training job under an id of your own",
    response_model=JobAnswer,
    dependencies=[Depends(json_body)],
    responses=documented(
        400, 409, 413, 415, 422, 503, _200={"description": "It was submitted before", "model": JobAnswer}
    ),
)
def put_job(job_id: Annotated[str, Path(pattern=CLIENT_ID)], job: JobRequest, store: Store, bell: Bell) -> Any:
    """202 if the job is new, 200 if this very request has made it before; 409 if the id belongs to another job."""
    made, new = store.put(job_id, job.spec, job.terms)
    return created(made, bell, 202 if new else 200)


def no_worker(terms: Terms, store: Store) -> list[dict[str, Any]]:
    """A doubt, if nobody would take the job."""
    try:
        served = [queue.name for queue in store.queues() if queue.workers]
    except RedisError:  # then nobody knows, and the curve is none of Redis' business
        return []
    if (terms.hardware or QUEUE) in served:
        return []
    wanted = f"with hardware {terms.hardware!r} " if terms.hardware else ""
    known = ", ".join(name for name in served if name != QUEUE) or "none"
    return [{"code": "no_worker", "message": f"no worker {wanted}lives now; there are: {known}", "step": None}]


def _dry_run(spec: JobSpec, terms: Terms, store: Store) -> bytes:
    base_lrs, lr = spec.optimizer.base_lrs, spec.tables().lr
    doubts = []
    if lr is not None:
        asked = CurveRequest.model_construct(
            start=0, stride=1, steps=spec.intervals, total_steps=None, base_lr=base_lrs, schedule=spec.rate_schedule
        )
        extents = tuple(map(extent, lr))
        doubts = warnings(asked, Curve(Grid(0, 1, spec.intervals), lr, None, extents))
    return planned(spec, lr, [doubt._asdict() for doubt in doubts] + no_worker(terms, store))


def planned(spec: JobSpec | RangeTestSpec, lr: Any, doubts: list[dict[str, Any]]) -> bytes:
    """A DryRun as JSON; `lr` may be arrays."""
    return dumps(
        {
            "spec": spec.model_dump(mode="json"),
            "steps": spec.steps,
            "steps_per_epoch": spec.steps_per_epoch,
            "lr": lr,
            "warnings": doubts,
        }
    )


@router.get("", summary="List jobs", responses=documented(422, 503))
def list_jobs(
    store: Store,
    state: Annotated[State | None, Query(description="only jobs in this state")] = None,
    label: Annotated[Label | None, Query(description="only jobs with this label")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(pattern=r"^[0-9]{1,15}$", description="next_cursor of the page before")] = None,
) -> JobPage:
    """Newest first."""
    jobs, next_cursor = store.page(state=state, label=label, limit=limit, cursor=cursor)
    return JobPage(jobs=[linked(job) for job in jobs], next_cursor=next_cursor)


@router.get("/{job_id}", summary="One job", responses=documented(404, 503))
async def get_job(
    job: CurrentJob,
    store: Store,
    request: Request,
    response: Response,
    prefer: Annotated[
        str, Header(description=f"wait=N: answer when the job has ended, or after N seconds; {MAX_WAIT} at most")
    ] = "",
) -> JobAnswer:
    """State, progress, the last epoch's metrics and the best epoch."""
    if (asked := WAIT.search(prefer)) is None:
        return linked(job)
    seconds = min(int(asked[1]), MAX_WAIT)
    response.headers["Preference-Applied"] = f"wait={seconds}"
    if not job.state.ended:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await request.app.state.follower.wait_for(store.events_key(job.id), "end")
        job = await run_in_threadpool(store.get, job.id)
    return linked(job)


@router.get(
    "/{job_id}/metrics",
    summary="Every epoch's metrics",
    response_model=Metrics,
    responses=documented(404, 406, 422, 503, _200={"content": {"text/csv": {}}}),
)
def get_metrics(
    job: CurrentJob,
    store: Store,
    request: Request,
    form: Annotated[Literal["json", "csv"] | None, Query(alias="format", description="goes before Accept")] = None,
) -> Any:
    """One row an epoch. `lr` is the rate at the epoch's first step: the curve, at the same steps, to the last bit."""
    epochs = store.epochs(job.id)
    if choose(request, METRICS) == "json":
        return Metrics(id=job.id, epochs=epochs)
    return Response(as_csv(epochs), media_type=METRICS["csv"], headers={"Vary": "Accept"})


STOPPING = documented(404, 409, 503, _202={"description": "The worker was asked to stop", "model": JobAnswer})


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    response_model=JobAnswer,
    responses=STOPPING,
)
def cancel_job(job_id: str, store: Store, response: Response) -> JobAnswer:
    """200 if the job is cancelled, 202 if its worker has yet to stop; 409 if it ended otherwise."""
    return _stopping(store.cancel(job_id), State.CANCELLED, response)


@router.post(
    "/{job_id}/pause",
    summary="Pause a job",
    response_model=JobAnswer,
    responses=STOPPING,
)
def pause_job(job_id: str, store: Store, response: Response) -> JobAnswer:
    """200 if the job is paused, 202 if its worker has yet to stop, with a checkpoint; 409 if it has ended."""
    return _stopping(store.pause(job_id), State.PAUSED, response)


def _stopping(job: Job, wanted: State, response: Response) -> JobAnswer:
    response.status_code = 200 if job.state is wanted else 202
    return linked(job)


@router.post("/{job_id}/resume", summary="Resume a paused job", responses=documented(404, 409, 503))
def resume_job(job_id: str, store: Store, bell: Bell) -> JobAnswer:
    """Back into the queue at its old place; it goes on at the step where it was paused. 409 if it has ended."""
    job = store.resume(job_id)
    bell.wake()
    return linked(job)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    summary="Run an ended job again",
    response_model=JobAnswer,
    responses=documented(404, 409, 503),
)
def retry_job(old: CurrentJob, store: Store, bell: Bell) -> Any:
    """A new job, the same as the old one, from the beginning; 409 if the old one has not ended."""
    if not old.state.ended:
        raise IllegalMove(old.id, old.state, "retried")
    return created(store.create(kind_of(old.kind).model_validate(old.spec), old.terms), bell)


@router.post(
    "/{job_id}/clone",
    status_code=202,
    summary="Submit a job like another one, with changes",
    response_model=JobAnswer,
    dependencies=[Depends(json_body)],
    responses=documented(400, 404, 413, 415, 422, 503),
)
def clone_job(
    old: CurrentJob,
    changes: Annotated[dict[str, Any], Body(examples=[{"optimizer": {"lr": 0.1}, "epochs": 20}])],
    store: Store,
    bell: Bell,
) -> Any:
    """A new job from the old one's spec and terms and a JSON merge patch, RFC 7396: null takes a field out."""
    patched = merged(old.spec | old.terms.model_dump(mode="json"), changes)
    try:
        job = REQUESTS[old.kind].model_validate(patched)
    except ValidationError as error:
        raise Invalid(*[(("body", *loc), message) for loc, message in readable(error.errors(), patched)]) from None
    return created(store.create(job.spec, job.terms), bell)


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
    responses=documented(400, 404, 409, 413, 415, 422, 503),
)
def change_job(job_id: str, change: JobChange, store: Store) -> JobAnswer:
    """A queued job moves to its new place at once; a running one keeps the priority for when it comes back."""
    return linked(store.prioritize(job_id, change.priority))


@router.delete(
    "/{job_id}", status_code=204, summary="Delete an ended job and its files", responses=documented(404, 409, 503)
)
def delete_job(job: CurrentJob, store: Store, files: Files) -> None:
    """Record, metrics, events and artifacts; 409 if the job has not ended."""
    if not job.state.ended:
        raise IllegalMove(job.id, job.state, "deleted")
    files.remove(job.id)  # first: what is left after a failure can be deleted again
    store.forget(job.id)


def _picture(job: Job, store: Store, form: str) -> Response:
    return Response(draw_job(job, store.epochs, form), media_type=PICTURES[form])


@router.get(
    "/{job_id}/plot.png",
    summary="The job's figure, PNG",
    response_class=Response,
    responses=documented(404, 503, _200={"content": {"image/png": {}}}),
)
def get_png(job: CurrentJob, store: Store) -> Response:
    """Loss, accuracy and rate over the epochs so far; of a range test, the losses over the rate."""
    return _picture(job, store, "png")


@router.get(
    "/{job_id}/plot.svg",
    summary="The job's figure, SVG",
    response_class=Response,
    responses=documented(404, 503, _200={"content": {"image/svg+xml": {}}}),
)
def get_svg(job: CurrentJob, store: Store) -> Response:
    """Loss, accuracy and rate over the epochs so far; of a range test, the losses over the rate."""
    return _picture(job, store, "svg")


def _of_64_bits(event_id: str) -> str:
    if any(int(number) >= 2**64 for number in event_id.split("-")):
        raise ValueError("no event has so large an id")
    return event_id


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_class=EventStream,
    responses=documented(404, 422, 503, _200={"content": {"text/event-stream": {"schema": {"type": "string"}}}}),
)
async def get_events(
    job: CurrentJob,
    store: Store,
    request: Request,
    last_event_id: Annotated[str | None, Header(pattern=EVENT_ID), AfterValidator(_of_64_bits)] = None,
) -> EventStream:
    """Server-sent events from the job's beginning, or after Last-Event-ID: state, progress, epoch; the last is end."""
    stream, after, growing = store.events_key(job.id), last_event_id or "0", not job.state.ended
    return EventStream(request.app.state.follower.follow(stream, after, growing=growing), headers=NOT_STORED)
