"""Geometric decay."""

from __future__ import annotations

from typing import Literal

from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import Factor, TorchSchedule


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

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.power(t, self.gamma, base_lr)
