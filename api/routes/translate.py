"""A schedule as code of another framework."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

from lrcore.dialects import Framework, translate
from lrcore.dialects._foreign import in_own_names
from lrcore.family import Spec
from lrcore.numerics.lengths import RunLength, SharesOf
from lrcore.schedules import AnySchedule
from lrcore.schedules._base import Count, Rate

from ..dependencies import json_body
from ..documented import DocumentedRoute
from ..large_requests.offload import own_process

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/schedules", tags=["schedules"])


def _validated(data: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    with SharesOf(RunLength(info.data.get("total_steps"), info.data.get("steps_per_epoch"))):
        return validate(in_own_names(data))


class TranslationRequest(Spec):
    """A schedule, and where it is to run."""

    to: Framework
    total_steps: Count | None = Field(None, description="steps of the run, for lengths in percent")
    steps_per_epoch: Count | None = Field(None, description="for lengths in epochs, such as 5ep")
    base_lr: Rate | None = Field(
        None, description="the optimizer's initial rate. Needed unless the schedule brings its own."
    )
    schedule: Annotated[AnySchedule, WrapValidator(_validated)]


class TranslationResponse(BaseModel):
    """Code that runs by itself, and how far it can be trusted."""

    code: str = Field(
        description="Python, or for DeepSpeed JSON: an object with the scheduler block of its configuration. For "
        "torch, transformers and timm it defines make_scheduler(optimizer), for an optimizer whose rate is base_lr; "
        "for optax and Keras schedule, a callable of the step; for Composer schedule, for its Trainer; for MMEngine "
        "the list param_scheduler; for Lightning configure_optimizers(self)."
    )
    exact: bool = Field(
        description="whether the first 201 rates are those of the curve: within 1e-9 of the largest one, or 1e-6 in "
        "optax and Keras, which compute in float32"
    )
    notes: list[str] = Field(description="what differs, what is left out, and how the code is to be used")


@router.post(
    "/translate",
    summary="Translate a schedule into another framework's code",
    dependencies=[Depends(own_process), Depends(json_body)],
)
def translate_schedule(request: TranslationRequest) -> TranslationResponse:
    """The framework's own class where it has one, else the schedule's formula in its terms."""
    found = translate(request.schedule, request.base_lr, request.to)
    return TranslationResponse(code=found.code, exact=found.exact, notes=list(found.notes))
