"""Several schedules over the same steps."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from lrcore.curve import MAX_VALUES, CurveRequest, Metrics, run_of
from lrcore.dialects._foreign import MAX_TEXT, in_own_names, text_in
from lrcore.errors import CurveError
from lrcore.family import Items, Name, Spec, Whole, is_none
from lrcore.numerics import cost
from lrcore.numerics.lengths import SharesOf
from lrcore.schedules import AnySchedule
from lrcore.schedules._base import Count, GroupRates, Index, Rate


class NamedCurve(Spec):
    """One of the curves to compare."""

    name: Name
    base_lr: GroupRates | None = None
    metrics: Metrics | None = Field(None, exclude_if=is_none)
    schedule: AnySchedule


def _validated(data: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    if not isinstance(data, list | tuple):
        return validate(data)
    if (text := text_in(data)) > MAX_TEXT:
        raise CurveError((), f"the schedules have {text} characters of text, more than {MAX_TEXT}")
    with SharesOf(run_of(info.data)):
        return validate([_in_own_names(each, i) for i, each in enumerate(data)])


def _in_own_names(curve: Any, i: int) -> Any:
    if not (isinstance(curve, dict) and "schedule" in curve):
        return curve
    try:
        return curve | {"schedule": in_own_names(curve["schedule"])}
    except CurveError as error:
        raise CurveError((i, "schedule", *error.field), str(error)) from None


class CompareRequest(Spec):
    """Which steps of which schedules."""

    start: Index = 0
    stride: Count = 1
    steps: Annotated[int, Whole(ge=1, le=MAX_VALUES)] = Field(description="how many values of each come back")
    total_steps: Count | None = Field(None, exclude_if=is_none)
    steps_per_epoch: Count | None = Field(None, exclude_if=is_none)
    where: Rate | None = Field(None, exclude_if=is_none)
    curves: Annotated[tuple[NamedCurve, ...], WrapValidator(_validated), Items(100, least=1)]

    @model_validator(mode="after")
    def _fit(self) -> Self:
        names = [curve.name for curve in self.curves]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise CurveError(("curves", i, "name"), f"there is another curve named {name!r}")
        requests = self.requests()
        values = sum(len(request.base_lrs) for request in requests) * self.steps
        if values > MAX_VALUES:
            raise CurveError(("steps",), f"{values} rates are more than {MAX_VALUES}")
        if (message := cost.excess(sum(request.cost for request in requests))) is not None:
            raise CurveError(("steps",), f"{message}: ask for fewer steps, or for fewer curves at once")
        return self

    def requests(self) -> list[CurveRequest]:
        """A request for each curve, in their order. Raises CurveError, with the path of the field."""
        shared: dict[str, Any] = {
            name: getattr(self, name) for name in CurveRequest.model_fields if name in type(self).model_fields
        }
        made = []
        for i, curve in enumerate(self.curves):
            own: dict[str, Any] = {"schedule": curve.schedule, "base_lr": curve.base_lr, "metrics": curve.metrics}
            request = CurveRequest.model_construct(None, **shared, **own)  # each field has been validated
            try:
                request.check()
            except CurveError as error:
                raise CurveError(("curves", i, *error.field), str(error)) from None
            made.append(request)
        return made
