"""A schedule with other rates, bounds or steps."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrcore.family import Number
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import Rate, Schedule, SignedSteps
from lrcore.schedules.algebra._around import Around


class BaseLR(Around):
    """g with a base rate of its own, whatever the optimizer's is."""

    summary = "any schedule with its own base rate"
    formula = "g(t), from base_lr"
    origin = "the learning_rate argument of Paddle's schedules, init_value of optax's"
    example = {"type": "BaseLR", "base_lr": 0.3, "schedule": {"type": "StepLR", "step_size": 5}}

    type: Literal["BaseLR"]
    base_lr: Rate

    @property
    def own_base_lr(self) -> float:
        return self.base_lr

    def relative_to(self, default_lr: float) -> Schedule:
        return self  # every group has the same rate

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self._formula(self.base_lr)


class Scale(Around):
    """factor times the schedule's rate."""

    summary = "any schedule times a constant"
    formula = "factor * g(t)"
    origin = "timm's lr_scale"
    example = {"type": "Scale", "factor": 0.1, "schedule": {"type": "ExponentialLR", "gamma": 0.9}}

    type: Literal["Scale"]
    factor: Annotated[Number, Field(ge=0)]

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self.factor * self._formula(base_lr)


class Clamp(Around):
    """min(max, max(min, g(t))): cuts the curve off, where eta_min and its like squeeze it."""

    summary = "any schedule with a floor and a ceiling"
    formula = "min(max, max(min, g(t)))"
    origin = "optax exponential_decay's end_value, min_lr of fairseq's step schedule"
    example = {"type": "Clamp", "min": 0.001, "schedule": {"type": "ExponentialLR", "gamma": 0.9}}

    type: Literal["Clamp"]
    min: Rate = 0.0
    max: Rate | None = None

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max ({self.max:g}) must be at least min ({self.min:g})")
        return self

    def formula_at(self, t: Node, base_lr: float) -> Value:
        bounded = formulas.call("max", self.min, self._formula(base_lr))
        return bounded if self.max is None else formulas.call("min", self.max, bounded)


class Shift(Around):
    """g(t + by). With a negative `by` g begins late, and its first rate holds until then."""

    summary = "any schedule begun earlier or later"
    formula = "g(max(0, t + by))"
    origin = "optax's transition_begin"
    example = {"type": "Shift", "by": -10, "schedule": {"type": "ExponentialLR", "gamma": 0.9}}

    type: Literal["Shift"]
    by: SignedSteps

    @property
    def length(self) -> int | None:
        inner = self.schedule.length
        return None if inner is None else max(0, inner - self.by)

    @property
    def horizon(self) -> int | None:
        inner = self.schedule.horizon
        return None if inner is None else max(0, inner - self.by)

    @property
    def joins(self) -> tuple[int, ...]:
        return tuple(join - self.by for join in self.schedule.joins if join > self.by)

    def cost(self, load: Load) -> float:
        shifted = load.shifted(self.by)
        return cost.formula(load, cost.COPY) + self.schedule.cost(shifted.also(0) if load.first < -self.by else shifted)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.apart(self._formula(base_lr), self._shifted(t))

    def momentum_at(self, t: Node) -> Value:
        return formulas.apart(super().momentum_at(t), self._shifted(t))

    def _shifted(self, t: Node) -> Node:
        return formulas.call("max", 0, t + self.by) if self.by < 0 else t + self.by
