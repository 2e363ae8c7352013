"""Schedules that Paddle coined, by Paddle's names and arguments."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import Count, Rate, Schedule, StepCount
from lrcore.schedules.step import Piecewise


class NoamDecay(Schedule):
    """learning_rate * d_model ** -0.5 * min(t ** -0.5, t * warmup_steps ** -1.5), so that the first rate is 0.

    From Attention Is All You Need, arXiv:1706.03762, which counts steps from 1: that is {"type": "Shift", "by": 1}
    of this.
    """

    summary = "linear warm-up from 0, then falling with the square root of the step, scaled by the model's width"
    formula = "learning_rate * d_model ** -0.5 * min(t ** -0.5, t * warmup_steps ** -1.5)"
    origin = "paddle.optimizer.lr.NoamDecay"
    example = {"type": "NoamDecay", "d_model": 512, "warmup_steps": 4000}

    type: Literal["NoamDecay"]
    d_model: Count = Field(description="width of the model")
    warmup_steps: StepCount
    learning_rate: Rate = 1.0

    @property
    def own_base_lr(self) -> float:
        return self.learning_rate

    def formula_at(self, t: Node, base_lr: float) -> Value:
        scale, warm = self.learning_rate * self.d_model**-0.5, self.warmup_steps
        rising = formulas.line(t, warm, 0.0, scale * warm**-0.5)
        return formulas.piecewise(t, [warm], [rising, scale / formulas.call("sqrt", t)])


class NaturalExpDecay(Schedule):
    """lr(t) = learning_rate * exp(-gamma * t)."""

    summary = "exponential decay by a rate constant"
    formula = "learning_rate * exp(-gamma * t)"
    origin = "paddle.optimizer.lr.NaturalExpDecay"
    example = {"type": "NaturalExpDecay", "learning_rate": 0.5, "gamma": 0.1}

    type: Literal["NaturalExpDecay"]
    learning_rate: Rate
    gamma: Annotated[Rate, Field(gt=0)]

    @property
    def own_base_lr(self) -> float:
        return self.learning_rate

    def cost(self, load: Load) -> float:
        return cost.powers(load)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        power = formulas.power(t, np.e, self.learning_rate, per=-1 / self.gamma)
        return formulas.written(power, lambda: self.learning_rate * formulas.call("exp", -self.gamma * t))


class PiecewiseDecay(Piecewise):
    """values[i], where i is the number of boundaries that are at most t: a boundary already has the new value."""

    summary = "listed rates, changed at each boundary"
    formula = "values[count(boundaries <= t)]"
    origin = "paddle.optimizer.lr.PiecewiseDecay"
    example = {"type": "PiecewiseDecay", "boundaries": [10, 20], "values": [0.1, 0.05, 0.01]}

    type: Literal["PiecewiseDecay"]

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.lookup(self.boundaries, self.values, t)
