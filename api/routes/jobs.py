"""Training jobs: submit, look, wait, cancel, pause, resume, retry, clone, delete."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from lrcore.curve import Curve, CurveRequest
from lrcore.jobs.job import Epoch, Job, JobOptions, Label
from lrcore.jobs.range_test import RangeTestSpec
from lrcore.jobs.states import State
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.lint import warnings
from lrcore.numerics.grid import Grid, extent
from lrcore.reports.figure import draw_job
from lrcore.reports.metrics import as_csv
from lrcore.store.client import ClientStore
from lrcore.store.operator import OperatorStore

from ..dependencies import CurrentJob, CurrentReaper, Operator, Store, json_body
from ..documented import DocumentedRoute, documented
from ..encoding.json import dumps
from ..encoding.negotiate import choose
from ..large_requests.offload import leave_loop, own_process
from ..requests import JobRequest
from ..responses import (
    IdempotencyKey,
    JobResponse,
    ListedJob,
    Prefer,
    created,
    doubts_of_store,
    linked,
    listed,
    submitted,
    waited,
)
from . import _actions

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/jobs", tags=["jobs"])

METRICS = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
PICTURES = {"png": "image/png", "svg": "image/svg+xml"}
FEW = 200  # epochs that are read beside the event loop
FEW_JOBS = 5  # likewise, with their specs
CLIENT_ID = r"^[a-z0-9][a-z0-9._-]{0,63}$"  # no capitals: some file systems take them for small letters


Cursor = Annotated[str | None, Query(pattern=r"^[0-9]{1,15}$", description="next_cursor of the page before")]
Fields = Annotated[
    str,
    Query(
        pattern="^(spec|result|spec,result|result,spec)?$",
        description="what else each job is to have, which may be long: spec, result, or both with a comma between",
    ),
]


class JobPage(BaseModel):
    """Some jobs, newest first."""

    jobs: list[ListedJob]
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


@router.post(
    "",
    status_code=202,
    summary="Submit a training job",
    response_model=JobResponse,
    dependencies=[Depends(json_body)],
    responses={200: {"description": "With dry_run: what the job would do", "model": DryRun}},
)
async def submit_job(
    job: JobRequest,
    request: Request,
    store: Store,
    operator: Operator,
    reaper: CurrentReaper,
    idempotency_key: IdempotencyKey = "",
    dry_run: Annotated[
        bool, Query(description="validate, and answer with the whole rate curve; no job is made")
    ] = False,
) -> Any:
    """Accepted once it is in the store; a worker takes it as soon as one is free.

    With an Idempotency-Key, a request whose answer got lost can be sent again: the same job comes back, for a day.
    The same key with another body is refused.
    """
    if dry_run:
        body = await run_in_threadpool(_dry_run, job.spec, job.options, store, operator)
        return Response(body, media_type="application/json")
    return await submitted(job, idempotency_key, request, reaper)


@router.put(
    "/{job_id}",
    status_code=202,
    summary="Submit a training job under an id of your own",
    response_model=JobResponse,
    dependencies=[Depends(json_body)],
    responses=documented(409, _200={"description": "It was submitted before", "model": JobResponse}),
)
def submit_job_with_id(
    job_id: Annotated[str, Path(pattern=CLIENT_ID)], job: JobRequest, store: Store, reaper: CurrentReaper
) -> Any:
    """202 if the job is new, 200 if this very request has made it before; 409 if the id belongs to another job."""
    made, new = store.put(job_id, job.spec, job.options)
    return created(made, reaper, 202 if new else 200)


def _dry_run(spec: TrainingSpec, options: JobOptions, store: ClientStore, operator: OperatorStore) -> bytes:
    base_lrs, lr = spec.optimizer.base_lrs, spec.tables().lr
    doubts = []
    if lr is not None:
        asked = CurveRequest.model_construct(
            start=0, stride=1, steps=spec.intervals, total_steps=None, base_lr=base_lrs, schedule=spec.rate_schedule
        )
        extents = tuple(map(extent, lr))
        doubts = warnings(asked, Curve(Grid(0, 1, spec.intervals), lr, None, extents))
    unserved = doubts_of_store(spec, options, store, operator)
    return planned(spec, lr, [doubt._asdict() for doubt in doubts] + unserved)


def planned(spec: TrainingSpec | RangeTestSpec, lr: Any, doubts: list[dict[str, Any]]) -> bytes:
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


@router.get("", summary="List jobs")
def list_jobs(
    store: Store,
    request: Request,
    state: Annotated[State | None, Query(description="only jobs in this state")] = None,
    label: Annotated[Label | None, Query(description="only jobs with this label")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Cursor = None,
    fields: Fields = "",
) -> JobPage:
    """Newest first."""
    more = long_fields(fields, limit, request)
    jobs, next_cursor = store.page(state=state, label=label, limit=limit, cursor=cursor, whole=bool(more))
    return JobPage(jobs=[listed(job, more) for job in jobs], next_cursor=next_cursor)


def long_fields(fields: str, limit: int, request: Request) -> Collection[str]:
    """Return what a list is to have besides. With more than a few jobs it leaves the event loop: OverBudget."""
    if fields and limit > FEW_JOBS:
        leave_loop(request)
    return fields.split(",") if fields else ()


@router.get("/{job_id}", summary="One job")
async def get_job(
    job: CurrentJob,
    store: Store,
    request: Request,
    response: Response,
    prefer: Prefer = "",
) -> JobResponse:
    """State, progress, the last epoch's metrics and the best epoch."""
    return linked(await waited(job, prefer, store, request, response))


@router.get(
    "/{job_id}/metrics",
    summary="Every epoch's metrics",
    response_model=Metrics,
    responses=documented(406, _200={"content": {"text/csv": {}}}),
)
def get_job_metrics(
    job: CurrentJob,
    store: Store,
    request: Request,
    form: Annotated[Literal["json", "csv"] | None, Query(alias="format", description="goes before Accept")] = None,
) -> Any:
    """One row an epoch. `lr` is the rate at the epoch's first step: the curve, at the same steps, to the last bit."""
    if job.progress.epoch > FEW:
        leave_loop(request)
    epochs = store.epochs(job.key)
    if choose(request, METRICS) == "json":
        return Metrics(id=job.id, epochs=epochs)
    return Response(as_csv(epochs), media_type=METRICS["csv"], headers={"Vary": "Accept"})


def _picture(job: Job, store: Store, form: str) -> Response:
    return Response(draw_job(job, store, form), media_type=PICTURES[form])


@router.get(
    "/{job_id}/plot.png",
    summary="The job's figure, PNG",
    dependencies=[Depends(own_process)],
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
)
def get_job_plot_png(job: CurrentJob, store: Store) -> Response:
    """Loss, accuracy and rate over the epochs so far; of a range test, the losses over the rate."""
    return _picture(job, store, "png")


@router.get(
    "/{job_id}/plot.svg",
    summary="The job's figure, SVG",
    dependencies=[Depends(own_process)],
    response_class=Response,
    responses={200: {"content": {"image/svg+xml": {}}}},
)
def get_job_plot_svg(job: CurrentJob, store: Store) -> Response:
    """Loss, accuracy and rate over the epochs so far; of a range test, the losses over the rate."""
    return _picture(job, store, "svg")


router.include_router(_actions.router)
