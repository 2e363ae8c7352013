"""Schedules made of schedules: one after another, or multiplied."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from lrcore.errors import CurveError
from lrcore.family import Items
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, NoFormula, T, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.numerics.lengths import MAX_DEPTH
from lrcore.schedules import AnySchedule
from lrcore.schedules._base import Milestones, Rates, Schedule, TorchSchedule
from lrcore.schedules.step import rising

MAX_SIZE = 1000  # simple formulas, parts of expressions included


def check_nesting(depth: int, size: int) -> None:
    """Raise ValueError if schedules nest too deep, or have too many parts together."""
    if depth > MAX_DEPTH:
        raise ValueError(f"schedules may nest {MAX_DEPTH} deep at most")
    if size > MAX_SIZE:
        raise ValueError(f"the schedule has more than {MAX_SIZE} parts")


def formula_inside(schedule: Schedule, base_lr: float, *path: str | int) -> Node:
    """What a schedule's part fills, as a part of the formula around it, and what stands in code.

    Raises:
        NoFormula: in code, if it has none. `field` begins with the path, that of the field that holds the part.
    """

    def formula() -> Value:
        try:
            return schedule.as_formula(base_lr)
        except NoFormula as error:
            raise NoFormula((*path, *error.field), str(error)) from None

    if type(schedule).fill is Schedule.fill:
        computed = formulas.apart(schedule.formula_at(T, base_lr), T + schedule.ahead)
    else:
        computed = formulas.filled(T, lambda out, t: schedule.fill(out, t, base_lr, 0))
    return formulas.written(computed, formula)


def momentum_inside(schedule: Schedule) -> Node:
    """The momentum of a schedule's part."""

    def fill(out: Rates, t: Grid) -> Extent:
        schedule.fill_momentum(out, t, 0)
        return grid.NOTHING

    return formulas.filled(T, fill)


class _Composite(Schedule):
    type: str
    schedulers: Annotated[tuple[AnySchedule, ...], Items(32, least=1)] = Field(
        description="the parts, schedules themselves"
    )

    @field_validator("schedulers")
    @classmethod
    def _parts_fit(cls, parts: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
        for i, part in enumerate(parts):
            if part.metric_driven:
                raise ValueError(f"{part.type} (at {i}) is driven by a metric and cannot be part of a {cls.name()}")
        check_nesting(1 + max(part.depth for part in parts), sum(part.size for part in parts))
        groups = {part.groups for part in parts} - {None}
        if len(groups) > 1:
            raise ValueError(f"the parts are for different numbers of parameter groups: {sorted(groups, key=str)}")
        return parts

    @property
    def size(self) -> int:
        return sum(part.size for part in self.schedulers)

    @property
    def own_base_lr(self) -> float | tuple[float, ...] | None:
        own = [part.own_base_lr for part in self.schedulers]
        return None if None in own else own[0]

    @property
    def parts(self) -> tuple[Schedule, ...]:
        return self.schedulers

    @property
    def cycles_momentum(self) -> bool:
        return any([part.cycles_momentum for part in self.schedulers])

    def with_parts(self, parts: tuple[Schedule, ...]) -> Self:
        return self.model_copy(update={"schedulers": parts})

    def torch_reference(self) -> tuple[str, dict[str, Any]] | None:
        parts = [part.torch_reference() for part in self.schedulers]
        if None in parts:
            return None
        return self.name(), {"schedulers": parts}

    def _formulas(self, base_lr: float) -> list[Node]:
        return [formula_inside(part, base_lr, "schedulers", i) for i, part in enumerate(self.schedulers)]


class SequentialLR(_Composite, TorchSchedule):
    """Part i from milestone i - 1 up to milestone i, counting from its own 0 and from the base rate.

    The rate may jump where one part hands over to the next; nothing is smoothed. It means the same at any depth:
    torch skips a step of a sequence inside a sequence, refuses a ChainedScheduler as a later part, does not resume
    from last_epoch, and lets a OneCycleLR or CyclicLR change the base rate of the other parts.
    """

    summary = "schedules one after another, switched at milestones"
    formula = "schedulers[i](t - milestones[i - 1]) for milestones[i - 1] <= t < milestones[i]"
    origin = "torch.optim.lr_scheduler.SequentialLR"
    example = {
        "type": "SequentialLR",
        "schedulers": [
            {"type": "LinearLR", "start_factor": 0.1, "total_iters": 5},
            {"type": "CosineAnnealingLR", "T_max": 15},
        ],
        "milestones": [5],
    }

    type: Literal["SequentialLR"]
    milestones: Milestones = Field(description="first step of each part but the first, rising, from 1")

    @field_validator("milestones")
    @classmethod
    def _rising_from_one(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        if milestones and milestones[0] < 1:
            raise ValueError("the first milestone must be at least 1, or the first schedule is never used")
        return rising(milestones)

    @model_validator(mode="after")
    def _parts_reach_their_milestones(self) -> Self:
        needed = len(self.schedulers) - 1
        if len(self.milestones) != needed:
            raise ValueError(f"{needed + 1} schedulers need {needed} milestones, not {len(self.milestones)}")
        for i, (start, end) in enumerate(zip((0, *self.milestones), self.milestones, strict=False)):
            length = self.schedulers[i].length
            if length is not None and length < end - start:
                raise ValueError(f"schedulers[{i}] has {length} steps, but its turn lasts {end - start}")
        return self

    @property
    def length(self) -> int | None:
        last = self.schedulers[-1].length
        return None if last is None else max(0, (0, *self.milestones)[-1] + last - (self.last_epoch + 1))

    @property
    def horizon(self) -> int | None:
        last = self.schedulers[-1].horizon
        return None if last is None else max(0, (0, *self.milestones)[-1] + last - (self.last_epoch + 1))

    @property
    def joins(self) -> tuple[int, ...]:
        starts = (0, *self.milestones)
        inner = (start + join for part, start in zip(self.schedulers, starts, strict=True) for join in part.joins)
        found = sorted(join - (self.last_epoch + 1) for join in {*self.milestones, *inner})
        return tuple(join for join in found if join > 0)[:MAX_SIZE]

    def closed_cost(self, load: Load) -> float:
        turns = zip(self.schedulers, (0, *self.milestones), (*self.milestones, None), strict=True)
        asked = ((part, start, load.part(start, end)) for part, start, end in turns)
        return cost.listed(load, len(self.schedulers)) + sum(
            part.cost(own.shifted(-start)) for part, start, own in asked if own.values
        )

    def momentum_at(self, t: Node) -> Value:
        return self._in_turn(t, map(momentum_inside, self.schedulers))

    def torch_reference(self) -> tuple[str, dict[str, Any]] | None:
        reference = super().torch_reference()
        if reference is not None:
            reference[1]["milestones"] = list(self.milestones)
        return reference

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self._in_turn(t, self._formulas(base_lr))

    def _in_turn(self, t: Node, parts: Iterable[Node]) -> Value:
        turns = [formulas.apart(part, t - start) for part, start in zip(parts, (0, *self.milestones), strict=True)]
        return formulas.piecewise(t, self.milestones, turns)


class ChainedScheduler(_Composite):
    """lr(t) = base_lr * product of the parts' factors, where a part's factor is its rate over the base rate.

    A base rate of 0 stays 0; parts that have rates of their own are refused with it.

    In torch the same holds for parts that only multiply (step, multi-step, constant, linear, exponential,
    polynomial, multiplicative). Torch's other classes overwrite the rate or add to it, so that a chain with one of
    them forgets the parts before it, or drifts from the product (cosine past T_max or with eta_min).
    """

    summary = "the product of several schedules"
    formula = "base_lr * product(schedulers[i](t) / base_lr)"
    origin = "torch.optim.lr_scheduler.ChainedScheduler"
    example = {
        "type": "ChainedScheduler",
        "schedulers": [
            {"type": "LinearLR", "start_factor": 0.1, "total_iters": 5},
            {"type": "ExponentialLR", "gamma": 0.9},
        ],
    }

    type: Literal["ChainedScheduler"]

    @property
    def joins(self) -> tuple[int, ...]:
        return tuple(sorted({join for part in self.schedulers for join in part.joins}))[:MAX_SIZE]

    def cost(self, load: Load) -> float:
        product = len(self.schedulers) * cost.formula(load, 2 * cost.ARITHMETIC)
        return product + sum(part.cost(load) for part in self.schedulers)

    @model_validator(mode="after")
    def _one_momentum(self) -> Self:
        cycling = [part.type for part in self.schedulers if part.cycles_momentum]
        if len(cycling) > 1:
            raise ValueError(f"only one part may cycle momentum, not {' and '.join(cycling)}: set cycle_momentum false")
        return self

    @property
    def length(self) -> int | None:
        return min((part.length for part in self.schedulers if part.length is not None), default=None)

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        found = self.schedulers[0].fill(out, t, base_lr, group)
        if len(self.schedulers) == 1:
            return found
        if base_lr == 0:
            return self._fill_with_zeros(out, t, group, found)
        factor = np.empty(t.count)
        for part in self.schedulers[1:]:
            part.fill(factor, t, base_lr, group)
            np.divide(factor, base_lr, out=factor)
            np.multiply(out, factor, out=out)
        return grid.extent(out)

    def _fill_with_zeros(self, out: Rates, t: Grid, group: int, first: Extent) -> Extent:
        """Write the rates of a group whose base rate is 0, which stays 0 as long as the parts only multiply it."""
        for i, part in enumerate(self.schedulers):
            if (part.fill(out, t, 0.0, group) if i else first) != (0.0, 0.0):
                message = (
                    f"with a base rate of 0 every part must stay at 0, but schedulers[{i}], {part.type}, does not: "
                    "give a base rate above 0"
                )
                raise CurveError(("base_lr",), message)
        return grid.constant(out, 0.0)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        if base_lr == 0 and len(self.schedulers) > 1:
            return float(self.rates(Grid(0), base_lr)[0])
        found, *others = self._formulas(base_lr)
        for part in others:
            found = found * (part / base_lr)
        return found

    def momentum_at(self, t: Node) -> Value:
        return momentum_inside(next((part for part in self.schedulers if part.cycles_momentum), self.schedulers[0]))
