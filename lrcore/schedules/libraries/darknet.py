"""The policy of darknet that no other framework has."""

from __future__ import annotations

from itertools import accumulate
from operator import mul
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrcore.family import Items
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import Factor, Milestones, Schedule
from lrcore.schedules.step import rising


class DarknetSteps(Schedule):
    """base_lr times the product of the scales whose milestones are at most t."""

    summary = "multiplies the rate by a factor of its own at each of the listed steps"
    formula = "base_lr * product(scales[i] where milestones[i] <= t)"
    origin = "darknet's policy steps"
    example = {"type": "DarknetSteps", "milestones": [40, 60], "scales": [0.1, 0.5]}

    type: Literal["DarknetSteps"]
    milestones: Milestones = Field(min_length=1, description="the first steps of the new rates, rising")
    scales: Annotated[tuple[Factor, ...], Items(10_000, least=1)] = Field(description="one factor for each milestone")

    @model_validator(mode="after")
    def _one_scale_each(self) -> Self:
        rising(self.milestones)
        if len(self.scales) != len(self.milestones):
            raise ValueError(f"{len(self.milestones)} milestones need as many scales, not {len(self.scales)}")
        return self

    def cost(self, load: Load) -> float:
        return cost.listed(load, len(self.milestones))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.lookup(self.milestones, list(accumulate(self.scales, mul, initial=base_lr)), t)
