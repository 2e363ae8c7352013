"""From a logged series of rates back to the schedule."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from api.deps import json_body
from api.offload import own_process
from api.problems import Invalid, documented
from lrcore.family import Items, Spec, Whole
from lrcore.fit import MAX_LENGTH, fit
from lrcore.schedules._base import Rate

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])


class FitRequest(Spec):
    """A logged rate for each step, from step 0."""

    lr: Annotated[tuple[Rate, ...], Field(fail_fast=True), Items(MAX_LENGTH, least=2)]
    limit: Annotated[int, Whole(ge=1, le=20)] = Field(5, description="how many schedules come back")


class FittedSchedule(Spec):
    """A schedule, and how near it comes."""

    schedule: dict[str, Any]
    base_lr: float = Field(description="the initial rate to ask its curve with")
    max_error: float = Field(description="largest difference, as a share of the largest logged rate")
    rms_error: float = Field(description="root of the mean squared difference, as the same share")
    exact: bool = Field(description="whether max_error is at most 1e-9")


class FitAnswer(Spec):
    """Schedules that draw the series, best first."""

    fits: list[FittedSchedule]


@router.post(
    "/fit",
    summary="Find the schedule behind logged rates",
    dependencies=[Depends(own_process), Depends(json_body)],
    responses=documented(400, 413, 415, 422, 503),
)
def fit_schedule(request: FitRequest) -> FitAnswer:
    """The schedules that reproduce a logged series, each with its error over the whole of it."""
    try:
        found = fit(request.lr, limit=request.limit)
    except ValueError as error:
        raise Invalid((("body", "lr"), str(error))) from None
    return FitAnswer(fits=[FittedSchedule.model_validate(vars(each)) for each in found])
