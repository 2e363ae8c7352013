"""Rates set by hand in the middle of a run, as with `optimizer.param_groups[0]["lr"] = 1e-5` in a notebook."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import RatesByStep, Schedule


class Manual(Schedule):
    """values[s] from step s on, for each step that is listed; base_lr before the first of them."""

    summary = "rates set by hand at given steps, each in force until the next"
    formula = "values[the last listed step <= t], base_lr before the first"
    origin = "lrserve; in torch, writing optimizer.param_groups[i]['lr']"
    example = {"type": "manual", "values": {"0": 0.1, "500": 1e-5}}

    type: Literal["manual"]
    values: RatesByStep = Field(min_length=1, description="the rate that is set at each step, by its number")

    @property
    def own_base_lr(self) -> float | None:
        return self.values.get(0)

    def cost(self, load: Load) -> float:
        return cost.listed(load, 2 * len(self.values))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        steps = sorted({0, *self.values})
        return formulas.lookup(steps[1:], [self.values.get(step, base_lr) for step in steps], t)
