"""Factors that last a number of steps and then leave the rate alone: constant, linear, polynomial."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.schedules._base import Fraction, Rate, Rates, StepCount, TorchSchedule


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

    def closed_form(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return grid.constant_segments(out, t, (self.total_iters,), (base_lr * self.factor, base_lr))

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

    def closed_form(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        start, end = base_lr * self.start_factor, base_lr * self.end_factor
        return grid.line_then_flat(out, t, self.total_iters, start, end)

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
        return polynomial_cost(load, self.power)

    def closed_form(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return polynomial(out, t, self.total_iters, base_lr, 0.0, self.power)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return polynomial_formula(t, self.total_iters, base_lr, 0.0, self.power)


def polynomial(out: Rates, t: Grid, length: float, start: float, end: float, power: float) -> Extent:
    """end + (start - end) * (1 - t / length) ** power up to step `length`, then `end`."""
    if power == 1:
        return grid.line_then_flat(out, t, length, start, end)

    def falling(out: Rates, t: Grid) -> Extent:
        extents = []
        for where, part in t.chunks():
            values = out[where]
            np.subtract(length, part.floats(), out=values)
            np.divide(values, length, out=values)
            np.multiply(grid.raised(values, power), start - end, out=values)
            if end:
                np.add(values, end, out=values)
            extents.append(grid.extent(values))
        return grid.spanning(extents)

    last = end if power else start  # 0 ** 0 is 1
    fills = (falling, lambda o, t: grid.constant(o, last))
    return grid.piecewise(out, t, (math.ceil(length),), fills)


def polynomial_cost(load: Load, power: float) -> float:
    """What `polynomial` takes."""
    return cost.plain(load) + (0.0 if power == 1 else load.values * cost.POWER)


def polynomial_formula(t: Value, length: float, start: float, end: float, power: float) -> Value:
    """`polynomial` as a formula."""
    if power == 1:
        return formulas.line_then_flat(t, length, start, end)
    left = length - formulas.call("min", t, length)  # 1 - t / length need not be 0 at the end in float32
    return (start - end) * (left / length) ** power + end
