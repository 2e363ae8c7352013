"""The base of every schedule and the aliases that give its fields units and bounds."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from lrcore.family import ByShape, Items, Member, Number, Whole
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formula_values import write
from lrcore.numerics.formulas import Node, NoFormula, T, Value
from lrcore.numerics.grid import Array, Extent, Grid
from lrcore.numerics.lengths import Steps

Rates = Array

MAX_STEP = 10**15  # exact in float64, with room for a shift of the same size

Rate = Annotated[Number, Field(ge=0)]
Factor = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Count = Annotated[int, Whole(ge=1, le=MAX_STEP)]
Index = Annotated[int, Whole(ge=0, le=MAX_STEP)]
# lengths and places in steps of the run: these, and no other fields, may be shares of it, such as "10%"
StepCount = Annotated[int, Steps(ge=1, le=MAX_STEP)]
StepIndex = Annotated[int, Steps(ge=0, le=MAX_STEP)]
SignedSteps = Annotated[int, Steps(ge=-MAX_STEP, le=MAX_STEP)]
GroupRates = Annotated[Rate | Annotated[tuple[Rate, ...], Items(64, least=1)], ByShape()]  # one, or one a group

Momentum = Annotated[Number, Field(ge=0)]  # as torch has it; a job needs one below 1
GroupMomenta = Annotated[Momentum | Annotated[tuple[Momentum, ...], Items(64, least=1)], ByShape()]


def _distinct(data: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    found = validate(data)
    if isinstance(data, dict) and len(found) < len(data):
        raise ValueError("two of the keys are the same step")
    return found


StepKey = Annotated[int, Steps(ge=0, le=MAX_STEP, key=True)]
RatesByStep = Annotated[dict[StepKey, Rate], WrapValidator(_distinct), Items(10_000)]
Milestones = Annotated[tuple[StepIndex, ...], Items(10_000)]


class Schedule(Member):
    """The learning rate as a pure function of the step.

    Steps count from 0, and the rate at `t` is the one in force DURING interval `t` (an epoch or an optimizer
    step): what a torch optimizer holds before the t-th `scheduler.step()`.
    """

    formula: ClassVar[str]
    metric_driven: ClassVar[bool] = False
    per_group: ClassVar[tuple[str, ...]] = ()  # fields that may hold a list, one value a parameter group

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        """Write the rates at the steps `t`: by `formula_at`, unless there is a faster or a more exact way to them.

        Args:
            out: takes the rates, contiguous, shape (t.count,).
            t: steps, each in [0, 2e15]. A step has the same rate, to the last bit, on any grid.
            base_lr: the optimizer's initial rate for this parameter group.
            group: index of the parameter group, for fields that hold one value a group.

        Returns:
            The smallest and the largest rate written.

        Raises:
            CurveError: the schedule has no value at one of the steps.
        """
        own = self.narrowed(group) if group else self  # a formula is that of group 0
        return write(own.formula_at(T, base_lr), out, t + self.ahead)

    @property
    def ahead(self) -> int:
        """The step at which the curve starts, as `formula_at` counts them."""
        return 0

    def narrowed(self, group: int) -> Self:
        """Return the schedule with one group's values in place of lists of them."""
        narrow = self
        if self.per_group:
            own = {f: v[group] for f in self.per_group if isinstance(v := getattr(self, f), tuple)}
            narrow = self.model_copy(update=own) if own else self
        return narrow._with_each(lambda part: part.narrowed(group)) if self.parts else narrow

    @property
    def parts(self) -> tuple[Schedule, ...]:
        """The schedules inside."""
        return ()

    def with_parts(self, parts: tuple[Schedule, ...]) -> Self:
        """Return the schedule with others inside."""
        raise NotImplementedError

    def _with_each(self, changed: Callable[[Schedule], Schedule]) -> Self:
        parts = tuple(map(changed, self.parts))
        return self if all(map(operator.is_, parts, self.parts)) else self.with_parts(parts)

    def rates(self, t: Grid, base_lr: float, group: int = 0) -> Rates:
        """What `fill` writes, shape (t.count,)."""
        out = np.empty(t.count)
        self.fill(out, t, base_lr, group)
        return out

    def formula_at(self, t: Node, base_lr: float) -> Value:
        """Return the rate as a formula: what `fill` writes, and what is translated where a framework has no such class.

        Lists of one value a parameter group are taken for group 0.

        Args:
            t: the step.
            base_lr: the optimizer's initial rate.

        Raises:
            NoFormula: the schedule is none, or its parameters make one that is too long.
            CurveError: the schedule has no value from this rate.
        """
        raise NoFormula(("type",), f"{self.type} cannot be written as a formula of the step")

    def as_formula(self, base_lr: float) -> Value:
        """`formula_at` the first group's step formulas.T, in single operations."""
        return formulas.expanded(self.narrowed(0).formula_at(T + self.ahead, base_lr))

    @property
    def cycles_momentum(self) -> bool:
        """Whether the schedule changes momentum (beta1 for Adam) along with the rate."""
        return False

    def momentum_at(self, t: Node) -> Value:
        """Return momentum as `formula_at` does the rate; NaN where it is left to the optimizer."""
        return math.nan

    def fill_momentum(self, out: Rates, t: Grid, group: int) -> None:
        """Write momentum at the steps `t` as `fill` does the rates."""
        own = self.narrowed(group) if group else self
        write(own.momentum_at(T), out, t + self.ahead)

    def momentum(self, t: Grid, group: int = 0) -> Rates | None:
        """What `fill_momentum` writes, shape (t.count,); None if the schedule never touches momentum."""
        if not self.cycles_momentum:
            return None
        out = np.empty(t.count)
        self.fill_momentum(out, t, group)
        return out

    @model_validator(mode="after")
    def _one_value_a_group(self) -> Self:
        lengths = {f: len(v) for f in self.per_group if isinstance(v := getattr(self, f), tuple)}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"one value a parameter group is needed, but the lists have lengths {lengths}")
        return self

    @property
    def groups(self) -> int | None:
        """How many parameter groups the spec's lists are for; None if it fits any number."""
        own = (len(v) for f in self.per_group if isinstance(v := getattr(self, f), tuple))
        return next((n for n in (*own, *(part.groups for part in self.parts)) if n is not None), None)

    @property
    def own_base_lr(self) -> float | tuple[float, ...] | None:
        """The initial rate that the schedule itself brings and that overrides the optimizer's; None if it has none."""
        return None

    @property
    def length(self) -> int | None:
        """How many steps the schedule is defined for; None if it has no end."""
        return None

    @property
    def horizon(self) -> int | None:
        """The step at which a decay has come to its end, after which the rate holds or turns; None if it has none."""
        return self.length

    @property
    def joins(self) -> tuple[int, ...]:
        """The steps at which one part hands over to another and the rate may jump, at most a thousand."""
        return ()

    @property
    def peak(self) -> float | None:
        """The highest rate that the schedule names, if it is there to be reached."""
        return None

    @property
    def depth(self) -> int:
        """Levels of nesting, 1 for a schedule without parts."""
        return 1 + max((part.depth for part in self.parts), default=0)

    @property
    def size(self) -> int:
        """How many simple formulas it has, parts of expressions included."""
        return 1

    @property
    def listed(self) -> int:
        """How many numbers its formula lists at most that are not in the spec."""
        return sum(part.listed for part in self.parts)

    def relative_to(self, default_lr: float) -> Schedule:
        """Return the schedule for an optimizer whose own rate is `default_lr`, whatever those of its groups are.

        Only transformers' schedules depend on it: see `TransformersPolynomial` and `CosineWithMinLr`.
        """
        return self._with_each(lambda part: part.relative_to(default_lr))

    def cost(self, load: Load) -> float:
        """What `fill` takes at most for one parameter group, in nanoseconds; `fill_momentum` takes no more."""
        return cost.plain(load)

    def torch_reference(self) -> tuple[str, dict[str, Any]] | None:
        """Class name and arguments of the same schedule in torch; None if torch has none."""
        return None


class TorchSchedule(Schedule):
    """A schedule under torch's class name and argument names."""

    last_epoch: Annotated[int, Whole(ge=-1, le=MAX_STEP), Field(exclude_if=lambda value: value == -1)] = Field(
        -1, description="index of the last finished interval: the curve starts at step last_epoch + 1"
    )

    @property
    def ahead(self) -> int:
        return self.last_epoch + 1

    def cost(self, load: Load) -> float:
        return self.closed_cost(load.shifted(self.ahead) if self.ahead else load)

    def closed_cost(self, load: Load) -> float:
        """`cost`, with `last_epoch` already added to the steps."""
        return cost.plain(load)

    def torch_reference(self) -> tuple[str, dict[str, Any]] | None:
        return self.name(), self.model_dump(exclude={"type"}, exclude_none=True)


def of_group(value: float | tuple[float, ...], group: int) -> float:
    """A field's value for one parameter group."""
    return value[group] if isinstance(value, tuple) else value
