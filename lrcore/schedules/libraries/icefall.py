"""Eden, the scheduler of icefall."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import Factor, Fraction, Schedule, StepCount, StepIndex


class Eden(Schedule):
    """base_lr * w(t) * (1 + (t / lr_batches) ** 2) ** -0.25 * (1 + (epoch / lr_epochs) ** 2) ** -0.25.

    epoch is floor(t / steps_per_epoch). w rises along a line from warmup_start to 1 in warmup_batches steps.
    """

    summary = "falls with the root of the step and of the epoch once they are large, after a short warm-up"
    formula = "base_lr * w(t) * (1 + (t / lr_batches) ** 2) ** -0.25 * (1 + (epoch / lr_epochs) ** 2) ** -0.25"
    origin = "icefall, Eden"
    example = {"type": "Eden", "lr_batches": 5000, "lr_epochs": 6.0, "steps_per_epoch": 1000}

    type: Literal["Eden"]
    lr_batches: StepCount = Field(description="steps after which the rate begins to fall")
    lr_epochs: Factor = Field(description="epochs after which it falls faster")
    steps_per_epoch: StepCount
    warmup_batches: StepIndex = Field(500, description="steps of the warm-up")
    warmup_start: Fraction = Field(0.5, description="factor at step 0")

    def cost(self, load: Load) -> float:
        return cost.formula(load, 2 * cost.POWER + cost.REMAINDER + 8 * cost.ARITHMETIC)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        epoch = t // self.steps_per_epoch
        by_step = (1 + (t / self.lr_batches) ** 2) ** -0.25
        by_epoch = (1 + (epoch / self.lr_epochs) ** 2) ** -0.25
        warm = formulas.line_then_flat(t, self.warmup_batches, base_lr * self.warmup_start, base_lr)
        return warm * by_step * by_epoch
