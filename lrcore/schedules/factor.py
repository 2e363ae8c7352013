"""Factors that last a number of steps and then leave the rate alone: constant, linear, polynomial."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lrcore.numerics import formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import Fraction, Rate, StepCount, TorchSchedule


class ConstantLR(TorchSchedule):
    """lr(t) = base_lr * factor for t < total_iters, then base_lr.

    factor 0 is a rate of zero, then base_lr; torch divides by it at the end and stops.
    """

    summary = "a constant fraction of the rate for total_iters steps, then all of it"
    formula = "base_lr * (factor if t < total_iters else 1)"
    origin = "torch.optim.lr_scheduler.ConstantLR"
    example = {"type": "ConstantLR", "factor": 0.5, "total_iters": 4}

    type: Literal["ConstantLR"]
    factor: Fraction = 1 / 3
    total_iters: StepCount = 5

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.piecewise(t, [self.total_iters], [base_lr * self.factor, base_lr])


class LinearLR(TorchSchedule):
    """lr(t) = base_lr * (start_factor + (end_factor - start_factor) * min(t, total_iters) / total_iters)."""

    summary = "a straight line between two fractions of the rate, then flat: the usual warm-up"
    formula = "base_lr * (start_factor + (end_factor - start_factor) * min(t, total_iters) / total_iters)"
    origin = "torch.optim.lr_scheduler.LinearLR"
    example = {"type": "LinearLR", "start_factor": 0.1, "total_iters": 5}

    type: Literal["LinearLR"]
    start_factor: Annotated[Fraction, Field(gt=0)] = 1 / 3
    end_factor: Fraction = 1.0
    total_iters: StepCount = 5

    def formula_at(self, t: Node, base_lr: float) -> Value:
        start, end = base_lr * self.start_factor, base_lr * self.end_factor
        return formulas.line_then_flat(t, self.total_iters, start, end)


class PolynomialLR(TorchSchedule):
    """lr(t) = base_lr * (1 - min(t, total_iters) / total_iters) ** power."""

    summary = "falls to zero in total_iters steps along a power of the distance left"
    formula = "base_lr * (1 - min(t, total_iters) / total_iters) ** power"
    origin = "torch.optim.lr_scheduler.PolynomialLR"
    example = {"type": "PolynomialLR", "total_iters": 20, "power": 2.0}

    type: Literal["PolynomialLR"]
    total_iters: StepCount = 5
    power: Rate = 1.0

    @property
    def horizon(self) -> int | None:
        return max(0, self.total_iters - (self.last_epoch + 1))

    def closed_cost(self, load: Load) -> float:
        return shapes.powered_cost(load, self.power)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return shapes.polynomial(t, self.total_iters, base_lr, 0.0, self.power)
