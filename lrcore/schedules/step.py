"""Drops by a constant factor, at even distances or at listed steps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from lrcore.family import Items
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import Factor, Milestones, Rate, Schedule, StepCount, TorchSchedule


class StepLR(TorchSchedule):
    """lr(t) = base_lr * gamma ** floor(t / step_size)."""

    summary = "multiplies the rate by gamma every step_size steps"
    formula = "base_lr * gamma ** floor(t / step_size)"
    origin = "torch.optim.lr_scheduler.StepLR"
    example = {"type": "StepLR", "step_size": 5, "gamma": 0.5}

    type: Literal["StepLR"]
    step_size: StepCount = Field(description="steps between two drops")
    gamma: Factor = 0.1

    def closed_cost(self, load: Load) -> float:
        return cost.runs(load, self.step_size)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.power(t // self.step_size, self.gamma, base_lr)


class MultiStepLR(TorchSchedule):
    """lr(t) = base_lr * gamma ** (number of milestones <= t).

    Milestones must rise; torch takes them in any order and counts a repeated one twice.
    """

    summary = "multiplies the rate by gamma at each milestone"
    formula = "base_lr * gamma ** count(milestones <= t)"
    origin = "torch.optim.lr_scheduler.MultiStepLR"
    example = {"type": "MultiStepLR", "milestones": [3, 8], "gamma": 0.5}

    type: Literal["MultiStepLR"]
    milestones: Milestones = Field(min_length=1, description="the first steps of the lower rates, rising")
    gamma: Factor = 0.1

    @field_validator("milestones")
    @classmethod
    def _rising(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        return rising(milestones)

    def closed_cost(self, load: Load) -> float:
        return cost.listed(load, len(self.milestones))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return drops(t, self.milestones, base_lr, self.gamma)


class Piecewise(Schedule):
    """Listed rates with boundaries between them; subclasses say to which side a boundary belongs."""

    type: str
    boundaries: Milestones = Field(description="steps between one value and the next, rising")
    values: Annotated[tuple[Rate, ...], Items(10_001, least=1)]

    @model_validator(mode="after")
    def _one_value_more(self) -> Self:
        rising(self.boundaries)
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(f"{len(self.boundaries)} boundaries need {len(self.boundaries) + 1} values")
        return self

    @property
    def own_base_lr(self) -> float:
        return self.values[0]

    def cost(self, load: Load) -> float:
        return cost.listed(load, len(self.values))


def rising(milestones: tuple[int, ...]) -> tuple[int, ...]:
    """The milestones as they are. Raises ValueError if one is not larger than the one before it."""
    for before, after in pairwise(milestones):
        if after <= before:
            raise ValueError(f"milestones must rise, but {after} follows {before}")
    return milestones


def drops(t: Node, edges: Sequence[int], start: float, factor: float) -> Value:
    """start * factor ** (number of the rising edges <= t)."""
    return formulas.lookup(edges, grid.power(np.arange(len(edges) + 1), factor, start).tolist(), t)
