"""Training jobs: submit, look, cancel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import AfterValidator, BaseModel, Field

from api.deps import Bell, CurrentJob, Store, json_body
from api.negotiate import choose
from api.problems import documented
from lrcore.jobs.figure import draw_run, title
from lrcore.jobs.job import Epoch, Job
from lrcore.jobs.metrics import as_csv
from lrcore.jobs.queue import QUEUE
from lrcore.jobs.spec import JobSpec
from lrcore.jobs.states import State

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

METRICS = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
PICTURES = {"png": "image/png", "svg": "image/svg+xml"}
EVENT_ID = r"^\d{1,20}(-\d{1,20})?$"


class Links(BaseModel):
    """Where the rest of a job is."""

    self: str
    metrics: str
    events: str
    cancel: str
    artifacts: str
    plot: str


class JobAnswer(Job):
    """A job with its links."""

    links: Links


class JobPage(BaseModel):
    """Some jobs, newest first."""

    jobs: list[JobAnswer]
    next_cursor: str | None = Field(description="cursor of the page after this one; null on the last")


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
        artifacts=f"{path}/artifacts",
        plot=f"{path}/plot.png",
    )
    return JobAnswer(**vars(job), links=links)


@router.post(
    "",
    status_code=202,
    summary="Submit a training job",
    dependencies=[Depends(json_body)],
    responses=documented(400, 413, 415, 422, 503),
)
def create_job(spec: JobSpec, store: Store, bell: Bell, response: Response) -> JobAnswer:
    """Accepted once it is in the store; a worker takes it as soon as one is free."""
    job = store.create(spec)
    bell.try_ring(QUEUE)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return linked(job)


@router.get("", summary="List jobs", responses=documented(422, 503))
def list_jobs(
    store: Store,
    state: Annotated[State | None, Query(description="only jobs in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=64, description="next_cursor of the page before")] = None,
) -> JobPage:
    """Newest first."""
    jobs, next_cursor = store.page(state=state, limit=limit, cursor=cursor)
    return JobPage(jobs=[linked(job) for job in jobs], next_cursor=next_cursor)


@router.get("/{job_id}", summary="One job", responses=documented(404, 503))
def get_job(job: CurrentJob) -> JobAnswer:
    """State, progress, the last epoch's metrics and the best epoch."""
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


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    response_model=JobAnswer,
    responses=documented(404, 409, 503, _202={"description": "The worker was asked to stop", "model": JobAnswer}),
)
def cancel_job(job_id: str, store: Store, response: Response) -> JobAnswer:
    """200 if the job is cancelled, 202 if its worker has yet to stop; 409 if it ended otherwise."""
    job = store.cancel(job_id)
    response.status_code = 200 if job.state is State.CANCELLED else 202
    return linked(job)


def _picture(job: Job, store: Store, form: str) -> Response:
    return Response(draw_run(store.epochs(job.id), title(job.spec), form), media_type=PICTURES[form])


@router.get(
    "/{job_id}/plot.png",
    summary="Loss, accuracy and rate over the epochs, PNG",
    response_class=Response,
    responses=documented(404, 503, _200={"content": {"image/png": {}}}),
)
def get_png(job: CurrentJob, store: Store) -> Response:
    """The job's figure so far."""
    return _picture(job, store, "png")


@router.get(
    "/{job_id}/plot.svg",
    summary="Loss, accuracy and rate over the epochs, SVG",
    response_class=Response,
    responses=documented(404, 503, _200={"content": {"image/svg+xml": {}}}),
)
def get_svg(job: CurrentJob, store: Store) -> Response:
    """The job's figure so far."""
    return _picture(job, store, "svg")


def _of_64_bits(event_id: str) -> str:
    if any(int(number) >= 2**64 for number in event_id.split("-")):
        raise ValueError("no event has so large an id")
    return event_id


@router.get(
    "/{job_id}/events",
    summary="Follow a job",
    response_class=EventSourceResponse,
    responses=documented(404, 422, 503),
)
async def get_events(
    job: CurrentJob,
    store: Store,
    request: Request,
    last_event_id: Annotated[str | None, Header(pattern=EVENT_ID), AfterValidator(_of_64_bits)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events from the job's beginning, or after Last-Event-ID: state, progress, epoch; the last is end."""
    stream, after, growing = store.events_key(job.id), last_event_id or "0", not job.state.ended
    async for event_id, kind, data in request.app.state.follower.follow(stream, after, growing=growing):
        yield ServerSentEvent(id=event_id, event=kind, raw_data=data)
        if kind == "end":
            return
