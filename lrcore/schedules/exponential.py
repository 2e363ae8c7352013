"""Geometric decay."""

from __future__ import annotations

from typing import Literal

from lrcore.numerics import cost, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.schedules._base import Factor, Rates, TorchSchedule


class ExponentialLR(TorchSchedule):
    """lr(t) = base_lr * gamma ** t."""

    summary = "multiplies the rate by gamma at every step"
    formula = "base_lr * gamma ** t"
    origin = "torch.optim.lr_scheduler.ExponentialLR"
    example = {"type": "ExponentialLR", "gamma": 0.95}

    type: Literal["ExponentialLR"]
    gamma: Factor

    def closed_cost(self, load: Load) -> float:
        return cost.powers(load)

    def closed_form(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return grid.powers(out, t, self.gamma, scale=base_lr)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return base_lr * self.gamma**t
