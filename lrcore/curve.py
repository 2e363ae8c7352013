"""A schedule sampled at evenly spaced steps: what this gives is what the API serves and what a job trains with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from lrcore.dialects._foreign import in_own_names
from lrcore.errors import CurveError
from lrcore.family import Items, Number, Spec, Whole, is_none
from lrcore.numerics import cost, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.grid import Extent, Grid
from lrcore.numerics.lengths import RunLength, SharesOf
from lrcore.schedules import AnySchedule, Rates, Schedule
from lrcore.schedules._base import MAX_STEP, Count, GroupRates, Index, Rate
from lrcore.schedules.plateau import MetricSchedule
from lrcore.service import budget

MAX_VALUES = 10**7  # rates in one answer, all parameter groups together

Metrics = Annotated[tuple[Number, ...], Field(fail_fast=True), Items(1_000_000)]


def run_of(known: dict[str, Any]) -> RunLength:
    """What lengths are shares of, by those fields of a request that are valid."""
    run = known.get("total_steps")
    if run is None and {"start", "stride", "steps"} <= known.keys():
        run = known["start"] + known["stride"] * known["steps"]
    return RunLength(run, known.get("steps_per_epoch"))


def _validated(data: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    with SharesOf(run_of(info.data)):
        return validate(in_own_names(data))


class CurveRequest(Spec):
    """Which part of which schedule: the rates at start, start + stride, …, `steps` values of them."""

    start: Index = 0
    stride: Count = 1
    steps: Annotated[int, Whole(ge=1, le=MAX_VALUES)] = Field(description="how many values come back")
    total_steps: Count | None = Field(
        None,
        description="steps of the whole run, for lengths in percent and for warnings; "
        "start + stride * steps if left out",
        exclude_if=is_none,
    )
    steps_per_epoch: Count | None = Field(None, description="for lengths in epochs, such as 5ep", exclude_if=is_none)
    where: Rate | None = Field(
        None,
        description="a rate: the answer names the first of its steps with a rate at most that, and the first such step "
        "after the peak",
        exclude_if=is_none,
    )
    base_lr: GroupRates | None = Field(
        None,
        description="the optimizer's initial rate; a list is one rate a parameter group. "
        "Needed unless the schedule brings its own.",
    )
    metrics: Metrics | None = Field(
        None,
        description="for a schedule that follows a metric: its value after each interval, from interval 0",
        exclude_if=is_none,
    )
    schedule: Annotated[AnySchedule, WrapValidator(_validated)]  # last: its lengths need the others

    @property
    def run(self) -> int:
        """Steps of the whole run."""
        return self.total_steps or self.start + self.stride * self.steps

    @property
    def last(self) -> int:
        """The last step."""
        return self.start + self.stride * (self.steps - 1)

    @property
    def cost(self) -> float:
        """What the curve and its text take at most, in nanoseconds of one core."""
        t = Grid(self.start, self.stride, self.steps)
        return self.writing + table_cost(self.schedule, len(self.base_lrs), t)

    @property
    def writing(self) -> float:
        """What its text takes."""
        return len(self.base_lrs) * self.steps * (1 + self.schedule.cycles_momentum) * cost.WRITTEN

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.check()
        return self

    def check(self) -> None:
        """Raise CurveError if the fields do not fit together."""
        schedule, last = self.schedule, self.last
        if last > MAX_STEP:
            raise CurveError(("steps",), f"the last step would be {last}, more than {MAX_STEP}")
        length = schedule.length
        if length is not None and last >= length:
            raise CurveError(("steps",), f"the last step would be {last}, but the schedule ends after {length} steps")
        groups = self._check_groups()
        values = self.steps * groups
        if values > MAX_VALUES:
            raise CurveError(("steps",), f"{values} rates are more than {MAX_VALUES}")
        if (message := cost.excess(self.cost)) is not None:
            raise CurveError(("steps",), f"{message}: ask for fewer or nearer steps, or for a simpler schedule")
        if schedule.metric_driven and len(self.metrics or ()) < last:
            raise CurveError(
                ("metrics",),
                f"{schedule.type} needs the metric of every interval before the last one: "
                f"{last} values, not {len(self.metrics or ())}",
            )
        if self.metrics is not None and not schedule.metric_driven:
            raise CurveError(("metrics",), f"{schedule.type} does not take metrics")

    def _check_groups(self) -> int:
        """How many parameter groups there are."""
        if self.base_lr is None and self.schedule.own_base_lr is None:
            raise CurveError(("base_lr",), f"{self.schedule.type} needs the initial rate")
        wanted, given = self.schedule.groups, len(self.base_lrs)
        if wanted is not None and wanted != given:
            raise CurveError(
                ("base_lr",), f"the schedule is for {wanted} parameter groups, but base_lr has {given}: give a list"
            )
        return given

    @property
    def base_lrs(self) -> tuple[float, ...]:
        """Initial rates, one a parameter group."""
        if isinstance(self.base_lr, float):
            return (self.base_lr,)
        base_lr = self.schedule.own_base_lr if self.base_lr is None else self.base_lr
        if isinstance(base_lr, tuple):
            return base_lr
        return (base_lr or 0.0,) * (1 if self.base_lr is not None else self.schedule.groups or 1)

    @property
    def grouped(self) -> bool:
        """Whether the answer has an axis of parameter groups."""
        return isinstance(self.base_lr, tuple) or (self.base_lr is None and self.schedule.groups is not None)


@dataclass(slots=True)  # never changed, see Grid
class Curve:
    """Rates at evenly spaced steps.

    Attributes:
        t: the n steps.
        lr: shape (groups, n), float64.
        momentum: shape (groups, n), float64, NaN where it is left to the optimizer; None if it always is.
        extents: the smallest and the largest rate of each group.
    """

    t: Grid
    lr: Rates
    momentum: Rates | None
    extents: tuple[Extent, ...]

    @property
    def steps(self) -> NDArray[np.int64]:
        """The steps, shape (n,)."""
        return self.t.integers()


def sample(request: CurveRequest, out: Rates | None = None) -> Curve:
    """The curve asked for.

    Args:
        out: takes the rates, contiguous, shape (groups, steps); a new array if None.

    Raises:
        CurveError: a rate would not be finite, or negative, or the schedule has no value at a step.
        OverBudget: it is more work than may be done here.
    """
    t = Grid(request.start, request.stride, request.steps)
    if isinstance(request.schedule, MetricSchedule):
        budget.spend(request.cost)
        metrics = np.asarray((request.metrics or ())[: t.last], dtype=np.float64)
        lr = request.schedule.follow(request.base_lrs, metrics)[:, t.start : t.last + 1 : t.stride]
        if out is not None:
            out[:] = lr
        return Curve(t, lr if out is None else out, None, tuple(map(grid.extent, lr)))
    budget.spend(request.writing)
    return table(request.schedule, request.base_lrs, t, out)


def table(schedule: Schedule, base_lrs: tuple[float, ...], t: Grid, out: Rates | None = None) -> Curve:
    """Rates and momenta at the steps `t`, for each parameter group.

    Args:
        base_lrs: initial rates of the groups; the first one stands for the optimizer's own.

    Raises:
        CurveError: a rate would be negative or not finite, a momentum infinite, or the schedule has no value at a step.
    """
    budget.spend(table_cost(schedule, len(base_lrs), t))
    if len(base_lrs) > 1:
        schedule = schedule.relative_to(base_lrs[0])
    both = np.empty(((out is None) + schedule.cycles_momentum, len(base_lrs), t.count))  # one block: malloc keeps it
    lr, momentum = both[0] if out is None else out, both[-1] if schedule.cycles_momentum else None
    with np.errstate(all="ignore"):  # what overflows is refused below, by its step
        extents = tuple(schedule.fill(lr[group], t, base_lr, group) for group, base_lr in enumerate(base_lrs))
        if momentum is not None:
            for group, values in enumerate(momentum):
                schedule.fill_momentum(values, t, group)
                _refuse_infinite(values, t)
    for rates, (low, high) in zip(lr, extents, strict=True):
        if not (low >= 0 and high < np.inf):
            _refuse(rates, t)
    return Curve(t, lr, momentum, extents)


def table_cost(schedule: Schedule, groups: int, t: Grid) -> float:
    """What `table` takes at most, in nanoseconds of one core."""
    return cost.CALL + groups * (1 + schedule.cycles_momentum) * schedule.cost(Load.of(t))


def _refuse(lr: Rates, t: Grid) -> None:
    for wrong, what in ((~np.isfinite(lr), "not a finite number"), (lr < 0, "negative")):
        if wrong.any():
            i = int(wrong.argmax())
            raise CurveError(("schedule",), f"the rate at step {t.start + t.stride * i} would be {lr[i]:g}, {what}")


def _refuse_infinite(momenta: Rates, t: Grid) -> None:
    """Raise CurveError for a momentum that overflows; NaN is one that is left to the optimizer."""
    wrong = np.isinf(momenta)
    if wrong.any():
        i = int(wrong.argmax())
        raise CurveError(("schedule",), f"the momentum at step {t.start + t.stride * i} would be {momenta[i]:g}")


def summary(lr: Rates, extent: Extent, stride: int = 1) -> dict[str, float]:
    """Facts of one group's curve, shape (n,).

    initial, final, min, max and mean rate, and the integral: the sum of the rates over all steps that the curve
    stands for, each held for `stride` of them.
    """
    total = np.add.reduce(lr, dtype=np.longdouble)  # so that the mean is the nearest float64, not one of rounded sums
    return {
        "initial": float(lr[0]),
        "final": float(lr[-1]),
        "min": extent[0],
        "max": extent[1],
        "mean": float(total / len(lr)),
        "integral": float(total * stride),
    }


def first_at_most(curve: Curve, rate: float) -> list[int | None]:
    """For each parameter group, the first of the curve's steps with a rate of at most `rate`; None if there is none."""
    return [_first_step(curve, lr, rate) for lr in curve.lr]


def first_at_most_after_peak(curve: Curve, rate: float) -> list[int | None]:
    """The same, of the steps after the group's highest rate, or after the first of them if several are as high."""
    return [_first_step(curve, lr, rate, int(lr.argmax()) + 1) for lr in curve.lr]


def _first_step(curve: Curve, lr: Rates, rate: float, begin: int = 0) -> int | None:
    low = lr[begin:] <= rate
    at = int(low.argmax()) if len(low) else 0
    return curve.t.start + curve.t.stride * (begin + at) if low[at : at + 1].any() else None
