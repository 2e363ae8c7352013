"""From a logged series of rates back to the schedule."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
from fastapi import APIRouter, Depends
from pydantic import Field, model_validator

from lrcore.family import Items, Spec, Whole
from lrcore.fit import MAX_LENGTH, StepError, fit
from lrcore.schedules._base import MAX_STEP, Count, Index, Rate

from ..dependencies import json_body
from ..documented import DocumentedRoute
from ..large_requests.offload import own_process
from ..problems import Invalid

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/schedules", tags=["schedules"])


class FitRequest(Spec):
    """Logged rates, and the steps at which they were logged: 0, 1, 2, … unless given."""

    lr: Annotated[tuple[Rate, ...], Field(fail_fast=True), Items(MAX_LENGTH, least=2)]
    step: Annotated[tuple[Index, ...], Field(fail_fast=True), Items(MAX_LENGTH, least=2)] | None = Field(
        None, description="the step of each rate, rising; or give start and stride"
    )
    start: Index = Field(0, description="the step of the first rate")
    stride: Count = Field(1, description="steps from one rate to the next")
    limit: Annotated[int, Whole(ge=1, le=20)] = Field(5, description="how many schedules come back")

    @model_validator(mode="after")
    def _one_way_to_give_steps(self) -> Self:
        if self.step is not None and not (self.start == 0 and self.stride == 1):
            raise ValueError("give either step, or start and stride")
        if self.start + self.stride * (len(self.lr) - 1) > MAX_STEP:
            raise ValueError(f"the last step would be more than {MAX_STEP}: give a smaller start or stride")
        return self

    @property
    def steps(self) -> Any:
        """The step of each rate."""
        if self.step is not None:
            return np.array(self.step, dtype=np.int64)
        return self.start + self.stride * np.arange(len(self.lr))


class FittedSchedule(Spec):
    """A schedule, and how near it comes."""

    schedule: dict[str, Any]
    base_lr: float = Field(description="the initial rate to request its curve with")
    max_error: float = Field(description="largest difference at the logged steps, as a share of the largest rate")
    rms_error: float = Field(description="root of the mean squared difference, as the same share")
    exact: bool = Field(description="whether max_error is at most 1e-9")
    diverges_at: Index | None = Field(
        description="the first step after the log at which the rate differs from that of the first schedule, where "
        "both agree on the log; null for the first one, for those that differ on the log already, and for those "
        "that agree as far again as the log is long, or until one of them ends"
    )


class FitResponse(Spec):
    """Schedules that draw the series, best first."""

    fits: list[FittedSchedule]


@router.post(
    "/fit",
    summary="Find the schedule behind logged rates",
    dependencies=[Depends(own_process), Depends(json_body)],
)
def fit_schedule(request: FitRequest) -> FitResponse:
    """The schedules that reproduce a logged series, in steps, each with its error over all logged steps."""
    try:
        found = fit(request.lr, step=request.steps, limit=request.limit)
    except StepError as error:
        raise Invalid((("body", "step"), str(error))) from None
    except ValueError as error:
        raise Invalid((("body", "lr"), str(error))) from None
    return FitResponse(fits=[FittedSchedule.model_validate(vars(each)) for each in found])
