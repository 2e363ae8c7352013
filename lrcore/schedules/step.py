"""Drops by a constant factor, at even distances or at listed steps."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from lrcore.schedules._base import Factor, Milestones, Rates, StepCount, Steps, TorchSchedule


class StepLR(TorchSchedule):
    """lr(t) = base_lr * gamma ** floor(t / step_size)."""

    summary = "multiplies the rate by gamma every step_size steps"
    formula = "base_lr * gamma ** floor(t / step_size)"
    origin = "torch.optim.lr_scheduler.StepLR"
    example = {"type": "StepLR", "step_size": 5, "gamma": 0.5}

    type: Literal["StepLR"]
    step_size: StepCount = Field(description="steps between two drops")
    gamma: Factor = 0.1

    def closed_form(self, t: Steps, base_lr: float, group: int) -> Rates:
        return base_lr * np.float64(self.gamma) ** (t // self.step_size)


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

    def closed_form(self, t: Steps, base_lr: float, group: int) -> Rates:
        return base_lr * np.float64(self.gamma) ** np.searchsorted(self.milestones, t, side="right")


def rising(milestones: tuple[int, ...]) -> tuple[int, ...]:
    """The milestones as they are. Raises ValueError if one is not larger than the one before it."""
    for before, after in pairwise(milestones):
        if after <= before:
            raise ValueError(f"milestones must rise, but {after} follows {before}")
    return milestones
