"""The schedulers of Dive into Deep Learning, chapter 12.11: plain functions of the step with their own base rate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import Factor, Rate, Schedule, StepCount, StepIndex


class SquareRootScheduler(Schedule):
    """lr(t) = lr * (t + 1) ** -0.5. The schedule's own `lr` takes the place of the optimizer's."""

    summary = "falls with the square root of the step"
    formula = "lr * (t + 1) ** -0.5"
    origin = "d2l.ai 12.11 SquareRootScheduler"
    example = {"type": "SquareRootScheduler", "lr": 0.1}

    type: Literal["SquareRootScheduler"]
    lr: Rate = 0.1

    @property
    def own_base_lr(self) -> float:
        return self.lr

    def cost(self, load: Load) -> float:
        return cost.formula(load, cost.ROOT + cost.ARITHMETIC)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self.lr / formulas.call("sqrt", t + 1)


class FactorScheduler(Schedule):
    """lr(t) = max(stop_factor_lr, base_lr * factor ** (t + 1)).

    The original multiplies a stored rate on every call, the first included, so that interval 0 already has the
    once decayed rate.
    """

    summary = "multiplies the rate by factor from the first step on, down to a floor"
    formula = "max(stop_factor_lr, base_lr * factor ** (t + 1))"
    origin = "d2l.ai 12.11 FactorScheduler"
    example = {"type": "FactorScheduler", "factor": 0.8, "stop_factor_lr": 0.01, "base_lr": 0.6}

    type: Literal["FactorScheduler"]
    factor: Factor = 1.0
    stop_factor_lr: Rate = 1e-7
    base_lr: Rate = 0.1

    @property
    def own_base_lr(self) -> float:
        return self.base_lr

    def cost(self, load: Load) -> float:
        return cost.powers(load) + load.values * cost.COPY

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.call("max", self.stop_factor_lr, formulas.power(t + 1, self.factor, self.base_lr))


class CosineScheduler(Schedule):
    """Linear from warmup_begin_lr to base_lr in warmup_steps, then half a cosine to final_lr at max_update, then flat.

    lr(t) = final_lr + (base_lr - final_lr) * (1 + cos(pi * (t - warmup_steps) / (max_update - warmup_steps))) / 2.
    max_update includes the warm-up. If warmup_steps is at least max_update, base_lr holds after the warm-up.
    """

    summary = "half a cosine to final_lr, with an optional linear warm-up, then flat"
    formula = "final_lr + (base_lr - final_lr) * (1 + cos(pi * (t - warmup_steps) / (max_update - warmup_steps))) / 2"
    origin = "d2l.ai 12.11 CosineScheduler"
    example = {"type": "CosineScheduler", "max_update": 10, "base_lr": 0.2, "final_lr": 0.02, "warmup_steps": 3}

    type: Literal["CosineScheduler"]
    max_update: StepCount = Field(description="the step from which final_lr holds, warm-up included")
    base_lr: Rate = 0.01
    final_lr: Rate = 0.0
    warmup_steps: StepIndex = 0
    warmup_begin_lr: Rate = 0.0

    @property
    def own_base_lr(self) -> float:
        return self.base_lr

    @property
    def horizon(self) -> int | None:
        return self.max_update if self.max_update > self.warmup_steps else None

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm, end = self.warmup_steps, self.max_update
        rising = formulas.line(t, warm, self.warmup_begin_lr, self.base_lr)
        if warm >= end:
            return formulas.piecewise(t, [warm], [rising, self.base_lr])
        falling = formulas.cosine(t - warm, end - warm, self.base_lr, self.final_lr)
        return formulas.piecewise(t, [warm, end], [rising, falling, self.final_lr])
