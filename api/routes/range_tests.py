"""LR range tests: submit one, read its curve. All else about them is done as with any job."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from lrcore.jobs.job import JobOptions
from lrcore.jobs.range_test import RangeTestResult, RangeTestSpec, as_csv
from lrcore.store.client import ClientStore
from lrcore.store.operator import OperatorStore

from ..dependencies import CurrentJob, CurrentReaper, Operator, Store, json_body
from ..documented import DocumentedRoute, documented
from ..encoding.negotiate import choose
from ..requests import RangeTestRequest
from ..responses import IdempotencyKey, JobResponse, doubts_of_store, submitted
from .jobs import METRICS, DryRun, planned

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/lr-range-tests", tags=["range tests"])


class RangeCurve(BaseModel):
    """What came of a range test."""

    id: str
    result: RangeTestResult | None = Field(description="null before the test has succeeded")


@router.post(
    "",
    status_code=202,
    summary="Submit an LR range test",
    response_model=JobResponse,
    dependencies=[Depends(json_body)],
    responses={200: {"description": "With dry_run: what the test would do", "model": DryRun}},
)
async def submit_range_test(
    test: RangeTestRequest,
    request: Request,
    store: Store,
    operator: Operator,
    reaper: CurrentReaper,
    idempotency_key: IdempotencyKey = "",
    dry_run: Annotated[bool, Query(description="validate, and answer with the rates to try; no job is made")] = False,
) -> Any:
    """A job of kind lr_range_test: a training's first steps with a rate that rises at every step, and their losses.

    Its `result` has them, and the rates that they suggest. With `use_for`, a training at one of these is submitted
    once the test has succeeded, exactly once; the result has its id.
    """
    if dry_run:
        body = await run_in_threadpool(_dry_run, test.spec, test.options, store, operator)
        return Response(body, media_type="application/json")
    return await submitted(test, idempotency_key, request, reaper)


def _dry_run(spec: RangeTestSpec, options: JobOptions, store: ClientStore, operator: OperatorStore) -> bytes:
    rates = spec.rates()
    return planned(spec, [rates * ratio for ratio in spec.ratios], doubts_of_store(spec, options, store, operator))


@router.get(
    "/{job_id}/curve",
    summary="Losses over the rate",
    response_model=RangeCurve,
    responses=documented(406, _200={"content": {"text/csv": {}}}),
)
def get_range_test_curve(
    job: CurrentJob,
    request: Request,
    form: Annotated[Literal["json", "csv"] | None, Query(alias="format", description="goes before Accept")] = None,
) -> Any:
    """As CSV one row a step: step, lr, loss, smoothed_loss, and with several seeds loss_seed_N of each seed N.

    Before the test has succeeded, the header alone.
    """
    if job.kind != RangeTestSpec.kind:
        raise HTTPException(404, f"job {job.id} is no LR range test, but of kind {job.kind}")
    found = None if job.result is None else RangeTestResult.model_validate(job.result)
    if choose(request, METRICS) == "json":
        return RangeCurve(id=job.id, result=found)
    return Response(as_csv(found), media_type=METRICS["csv"], headers={"Vary": "Accept"})
