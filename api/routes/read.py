"""From the configuration of a framework to a schedule."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from lrcore.configs import Framework, read
from lrcore.family import Spec
from lrcore.schedules._base import Count, Rate

from ..dependencies import json_body
from ..documented import DocumentedRoute
from ..large_requests.offload import own_process
from .curves import Summary

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/schedules", tags=["schedules"])


class ReadRequest(Spec):
    """A configuration as its framework has it."""

    framework: Framework | None = Field(None, alias="from", description="whose configuration it is; guessed if missing")
    config: dict[str, Any] | list[Any] | str = Field(
        description="the configuration as JSON, whole or its part about the learning rate; or the flags of a command "
        "line as one text"
    )
    base_lr: Rate | None = Field(None, description="the optimizer's rate, in place of that of the configuration")
    total_steps: Count | None = Field(None, description="steps of the run, in place of those of the configuration")
    steps_per_epoch: Count | None = Field(None, description="for what the configuration counts in epochs")


class Facts(Summary):
    """Facts of the curve over the run."""

    steps: int = Field(description="of the run")


class ReadResponse(BaseModel):
    """The configuration's schedule, in lrserve's own names."""

    framework: Framework = Field(serialization_alias="from", description="whose configuration it is")
    schedule: dict[str, Any]
    base_lr: float | list[float] = Field(description="the initial rate; a list is one rate a parameter group")
    interval: Literal["step", "epoch"] = Field(description="what a step of the schedule is")
    facts: Facts | list[Facts] | None = Field(
        description="a list for parameter groups; null if the rate follows a metric, or the run's length is not known"
    )
    notes: list[str] = Field(description="what was assumed and what was left out")


@router.post(
    "/read",
    summary="Read a framework's configuration",
    dependencies=[Depends(own_process), Depends(json_body)],
)
def read_config(request: ReadRequest) -> ReadResponse:
    """The schedule that a framework makes of its own configuration. Nothing in it is executed."""
    lengths = {"total_steps": request.total_steps, "steps_per_epoch": request.steps_per_epoch}
    found = read(request.framework, request.config, base_lr=request.base_lr, **lengths)
    return ReadResponse.model_validate(vars(found))
