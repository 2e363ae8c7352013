"""Experiments: submit one, look at its runs, its leaderboard and its picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.job import Epoch, Job, JobOptions, RunRow
from lrcore.jobs.states import State
from lrcore.reports.experiment_report import EpochRow, ExperimentReport
from lrcore.reports.leaderboard import By, Row, as_csv
from lrcore.store.client import ClientStore
from lrcore.store.operator import OperatorStore

from ..dependencies import CurrentJob, CurrentReaper, Operator, Store, json_body
from ..documented import DocumentedRoute, documented
from ..encoding.json import dumps
from ..encoding.negotiate import choose
from ..large_requests.offload import leave_loop, own_process
from ..problems import Invalid
from ..requests import ExperimentRequest
from ..responses import IdempotencyKey, JobResponse, Prefer, doubts_of_store, linked, listed, submitted, waited
from . import _actions
from .jobs import METRICS, PICTURES, Cursor, Fields, JobPage, long_fields

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/experiments", tags=["experiments"])


class ExperimentResponse(JobResponse):
    """An experiment with its runs and its leaderboard."""

    counts: dict[str, int] = Field(description="how many runs are in each state")
    runs: list[RunRow]
    leaderboard: list[Row] = Field(description="a row a configuration, the best one first")


class ExperimentPlan(BaseModel):
    """What an experiment would do."""

    spec: dict[str, Any] = Field(description="the experiment with all its defaults")
    configurations: int
    runs: int
    steps: int = Field(description="optimizer steps, of all runs together")
    steps_per_epoch: int = Field(description="of each run")
    warnings: list[dict[str, Any]] = Field(description="what may not be meant")


class RunResponse(RunRow):
    """A run of an experiment."""

    settings: dict[str, Any] = Field(description="what its configuration sets")
    spec: dict[str, Any] = Field(description="the run as a job: POST /v1/jobs takes it")
    epochs: list[Epoch]


class RunCurve(BaseModel):
    """A figure of a run over its epochs."""

    run: int
    values: list[float] = Field(description="one a finished epoch")


class RunCurves(BaseModel):
    """A figure of every run that has begun."""

    id: str
    figure: str
    runs: list[RunCurve]


class RunMetrics(BaseModel):
    """Every finished epoch of every run."""

    id: str
    epochs: list[EpochRow]


class Leaderboard(BaseModel):
    """The configurations of an experiment, the best one first."""

    id: str
    leaderboard: list[Row]


def _experiment(job: CurrentJob) -> Job:
    if job.kind != ExperimentSpec.kind:
        raise HTTPException(404, f"job {job.id} is no experiment, but of kind {job.kind}")
    return job


Experiment = Annotated[Job, Depends(_experiment)]
FEW_RUNS, FEW_EPOCHS = 100, 1000  # of all runs together, that are read beside the event loop


def _beside_loop(job: Job, request: Request, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Have a large experiment read by a process of its own. Raises OverBudget."""
    if job.progress.epochs > FEW_RUNS * job.spec["base"]["epochs"] or job.progress.epoch > FEW_EPOCHS:
        leave_loop(request, headers)


async def _read_elsewhere(job: Experiment, request: Request) -> None:
    _beside_loop(job, request)


MayBeLarge = Depends(_read_elsewhere)
Ranked = Annotated[By, Query(alias="by", description="the test accuracy that orders: of the last epoch or the best")]
Baseline = Annotated[
    int | None, Query(ge=0, description="configuration that the others are compared with; the leader if left out")
]
Figure = Annotated[
    Literal["test_accuracy", "test_loss", "train_accuracy", "train_loss", "lr"], Query(description="which one")
]
Format = Annotated[Literal["json", "csv"] | None, Query(alias="format", description="goes before Accept")]
CSV: dict[str, Any] = {"content": {"text/csv": {}}}


@router.post(
    "",
    status_code=202,
    summary="Submit an experiment",
    response_model=JobResponse,
    dependencies=[Depends(json_body)],
    responses={200: {"description": "With dry_run: what it would do", "model": ExperimentPlan}},
)
async def submit_experiment(
    experiment: ExperimentRequest,
    request: Request,
    store: Store,
    operator: Operator,
    reaper: CurrentReaper,
    idempotency_key: IdempotencyKey = "",
    dry_run: Annotated[bool, Query(description="validate, and say how much there is to do; nothing is made")] = False,
) -> Any:
    """The runs are the product of the grid's axes; an axis is `schedule`, `seed`, or a field of the base's optimizer.

    Runs train side by side where that pays, several workers share them, and their figures are the same as if each
    were trained alone, up to rounding.
    """
    await run_in_threadpool(experiment.spec.check)
    if dry_run:
        body = await run_in_threadpool(_plan, experiment.spec, experiment.options, store, operator)
        return Response(body, media_type=METRICS["json"])
    return await submitted(experiment, idempotency_key, request, reaper)


def _plan(spec: ExperimentSpec, options: JobOptions, store: ClientStore, operator: OperatorStore) -> bytes:
    return dumps(
        {
            "spec": spec.model_dump(mode="json"),
            "configurations": spec.configurations,
            "runs": spec.runs,
            "steps": spec.runs * spec.base.steps,
            "steps_per_epoch": spec.base.steps_per_epoch,
            "warnings": doubts_of_store(spec, options, store, operator),
        }
    )


@router.get("", summary="List experiments")
def list_experiments(
    store: Store,
    request: Request,
    state: Annotated[State | None, Query(description="only experiments in this state")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Cursor = None,
    fields: Fields = "",
) -> JobPage:
    """Newest first, without their runs."""
    more = long_fields(fields, limit, request)
    jobs, next_cursor = store.page(state=state, experiments=True, limit=limit, cursor=cursor, whole=bool(more))
    return JobPage(jobs=[listed(job, more) for job in jobs], next_cursor=next_cursor)


@router.get("/{job_id}", summary="One experiment", response_model=ExperimentResponse)
async def get_experiment(
    job: Experiment,
    store: Store,
    request: Request,
    response: Response,
    by: Ranked = "final",
    baseline: Baseline = None,
    prefer: Prefer = "",
) -> Any:
    """State, progress, every run, and the leaderboard."""
    job = await waited(job, prefer, store, request, response)
    _beside_loop(job, request, response.headers.raw)
    content = await run_in_threadpool(_whole, job, store, by, baseline)
    return Response(content, headers=dict(response.headers), media_type=METRICS["json"])


def _whole(job: Job, store: ClientStore, by: By, baseline: int | None) -> bytes:
    """An ExperimentResponse as JSON: FastAPI would check ten thousand runs one by one."""
    report = ExperimentReport.of(job, store)
    rows = report.rows()
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.state.value] = counts.get(row.state, 0) + 1
    return dumps(
        linked(job).model_dump(mode="json")
        | {
            "counts": counts,
            "runs": [row.model_dump(mode="json") for row in rows],
            "leaderboard": [row.model_dump(mode="json") for row in _ranked(report, by, baseline)],
        }
    )


def _ranked(report: ExperimentReport, by: By, baseline: int | None) -> list[Row]:
    if baseline is not None and baseline >= report.spec.configurations:
        raise Invalid((("query", "baseline"), f"there are {report.spec.configurations} configurations, from 0 on"))
    return report.leaderboard(by, baseline)


@router.get(
    "/{job_id}/leaderboard",
    summary="The leaderboard",
    response_model=Leaderboard,
    dependencies=[MayBeLarge],
    responses=documented(406, _200=CSV),
)
def get_experiment_leaderboard(
    job: Experiment,
    store: Store,
    request: Request,
    by: Ranked = "final",
    baseline: Baseline = None,
    form: Format = None,
) -> Any:
    """Mean and standard deviation over seeds, and the paired difference to the leader, or to the baseline."""
    rows = _ranked(ExperimentReport.of(job, store), by, baseline)
    if choose(request, METRICS) == "json":
        return Response(
            dumps({"id": job.id, "leaderboard": [row.model_dump(mode="json") for row in rows]}),
            media_type=METRICS["json"],
        )
    return Response(as_csv(rows), media_type=METRICS["csv"], headers={"Vary": "Accept"})


@router.get(
    "/{job_id}/metrics",
    summary="Every epoch of every run",
    response_model=RunMetrics,
    dependencies=[MayBeLarge],
    responses=documented(406, _200=CSV),
)
def get_experiment_metrics(job: Experiment, store: Store, request: Request, form: Format = None) -> Any:
    """One row an epoch, with the run, its configuration and its seed; CSV if nothing else is asked for."""
    chosen, found = choose(request, {"csv": METRICS["csv"]} | METRICS), ExperimentReport.of(job, store)
    rows = found.metrics_json(store) if chosen == "json" else found.metrics_csv(store)
    return StreamingResponse(rows, media_type=METRICS[chosen], headers={"Vary": "Accept"})


@router.get(
    "/{job_id}/curves",
    summary="One figure of every run",
    response_model=RunCurves,
    dependencies=[MayBeLarge],
)
def get_curves(job: Experiment, store: Store, figure: Figure = "test_accuracy") -> Any:
    """Over the finished epochs of each run that has begun; of the rates, those of the first parameter group."""
    found = ExperimentReport.of(job, store).curves(store, figure)
    runs = [{"run": run, "values": values} for run, values in found]
    return Response(dumps({"id": job.id, "figure": figure, "runs": runs}), media_type=METRICS["json"])


@router.get(
    "/{job_id}/runs/{run}",
    summary="One run",
    response_model=RunResponse,
    dependencies=[MayBeLarge],
)
def get_experiment_run(job: Experiment, run: Annotated[int, Path(ge=0)], store: Store) -> Any:
    """What it is, as a job of its own would be described, and every finished epoch."""
    report = ExperimentReport.of(job, store)
    if run >= report.spec.runs:
        raise HTTPException(404, f"there is no run {run}: there are {report.spec.runs}, from 0 on")
    row, spec = report.row(run), report.spec
    (epochs,) = store.run_epochs(job.key, [run])
    return RunResponse(
        **dict(row), settings=spec.plain_settings(row.configuration), spec=spec.run(run).model_dump(), epochs=epochs
    )


@router.get(
    "/{job_id}/plot.{form}",
    summary="The experiment's figure",
    dependencies=[Depends(own_process)],
    response_class=Response,
    responses={200: {"content": {media: {} for media in PICTURES.values()}}},
)
def get_experiment_plot(job: Experiment, form: Literal["png", "svg"], store: Store) -> Response:
    """Test accuracies and rates of the configurations, the leading ones in colour."""
    return Response(ExperimentReport.of(job, store).picture(store, form), media_type=PICTURES[form])


router.include_router(_actions.router, dependencies=[Depends(_experiment)])
