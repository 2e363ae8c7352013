"""One run's worth of decay in other shapes: REX, slanted triangles, flat then cosine, WSD."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrcore.family import Number
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import Factor, Fraction, Rate, Schedule, StepCount, StepIndex


class REX(Schedule):
    """min_lr + (base_lr - min_lr) * (1 - u) / (1 - u / 2), u = min(1, t / total_steps). arXiv:2107.04197."""

    summary = "reflected exponential: falls slowly at first and fast at the end"
    formula = "min_lr + (base_lr - min_lr) * (1 - u) / (1 - u / 2), u = min(1, t / total_steps)"
    origin = "Chen et al., REX, arXiv:2107.04197; pytorch_optimizer.REXScheduler"
    example = {"type": "REX", "total_steps": 100}

    type: Literal["REX"]
    total_steps: StepCount
    min_lr: Rate = 0.0

    @property
    def horizon(self) -> int | None:
        return self.total_steps

    def cost(self, load: Load) -> float:
        return cost.formula(load, 5 * cost.ARITHMETIC)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        u = formulas.let("u", formulas.call("min", t, self.total_steps) / self.total_steps)
        return (base_lr - self.min_lr) * (1 - u) / (1 - u / 2) + self.min_lr


class SlantedTriangular(Schedule):
    """base_lr * (1 + p * (ratio - 1)) / ratio: up in cut_frac of total_steps, down in the rest. arXiv:1801.06146.

    p rises from 0 to 1 in cut = floor(total_steps * cut_frac) steps and falls back to 0 at total_steps.
    """

    summary = "a short line up and a long line down (ULMFiT)"
    formula = "base_lr * (1 + p * (ratio - 1)) / ratio, p = t / cut or 1 - (t - cut) / (total_steps - cut)"
    origin = "Howard and Ruder, ULMFiT, arXiv:1801.06146; AllenNLP slanted_triangular"
    example = {"type": "SlantedTriangular", "total_steps": 100}

    type: Literal["SlantedTriangular"]
    total_steps: StepCount
    cut_frac: Annotated[Fraction, Field(gt=0, lt=1)] = 0.1
    ratio: Annotated[Number, Field(ge=1)] = 32.0

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not 1 <= self._cut < self.total_steps:
            raise ValueError(f"cut_frac * total_steps is {self.cut_frac * self.total_steps:g}, less than a step")
        return self

    @property
    def _cut(self) -> int:
        return int(self.total_steps * self.cut_frac)

    @property
    def horizon(self) -> int | None:
        return self.total_steps

    def formula_at(self, t: Node, base_lr: float) -> Value:
        low, cut = base_lr / self.ratio, self._cut
        falling = formulas.line_then_flat(t - cut, self.total_steps - cut, base_lr, low)
        return formulas.piecewise(t, [cut], [formulas.line(t, cut, low, base_lr), falling])


class FlatCosine(Schedule):
    """Hold base_lr up to s = pct_start * total_steps, then fall along half a cosine to base_lr / div_final.

    The cosine begins at s even where that lies between two steps. It ends at total_steps, and its last rate holds.
    """

    summary = "flat, then half a cosine"
    formula = "base_lr, then lr_end + (base_lr - lr_end) * (1 + cos(pi * (t - s) / (total_steps - s))) / 2"
    origin = "fastai Learner.fit_flat_cos"
    example = {"type": "FlatCosine", "total_steps": 100}

    type: Literal["FlatCosine"]
    total_steps: StepCount
    pct_start: Annotated[Fraction, Field(lt=1)] = 0.75
    div_final: Annotated[Number, Field(ge=1)] = 1e5

    @property
    def horizon(self) -> int | None:
        return self.total_steps

    def formula_at(self, t: Node, base_lr: float) -> Value:
        begin, end = self.pct_start * self.total_steps, base_lr / self.div_final
        falling = formulas.cosine(t - begin, self.total_steps - begin, base_lr, end)
        return formulas.piecewise(t, [math.ceil(begin), self.total_steps], [base_lr, falling, end])


class WSD(Schedule):
    """Linear warm-up from warmup_start * base_lr, base_lr for stable_steps, a cooldown to min_ratio * base_lr.

    cooldown of the share v of decay_steps: linear 1 - v, cosine (1 + cos(pi * v)) / 2, 1-sqrt 1 - v ** 0.5,
    power 1 - v ** power, exp (ratio ** v - ratio) / (1 - ratio). arXiv:2405.18392.
    """

    summary = "warm-up, stable, decay (trapezoid), with the cooldown's shape to choose"
    formula = "base_lr * (min_ratio + (1 - min_ratio) * cooldown((t - warmup_steps - stable_steps) / decay_steps))"
    origin = "Hu et al., MiniCPM, arXiv:2404.06395; Hägele et al., arXiv:2405.18392"
    example = {"type": "WSD", "warmup_steps": 10, "stable_steps": 70, "decay_steps": 20}

    type: Literal["WSD"]
    warmup_steps: StepIndex
    stable_steps: StepIndex
    decay_steps: StepIndex = Field(description="0 for none: the run ends with the stable phase, or with the warm-up")
    cooldown: Literal["linear", "cosine", "1-sqrt", "power", "exp"] = "1-sqrt"
    power: Factor = Field(0.5, description="of cooldown power")
    ratio: Annotated[Number, Field(gt=0, lt=1)] = Field(0.1, description="of cooldown exp")
    min_ratio: Fraction = 0.0
    warmup_start: Fraction = 0.0

    @property
    def horizon(self) -> int | None:
        return self.warmup_steps + self.stable_steps + self.decay_steps

    def cost(self, load: Load) -> float:
        return cost.plain(load) + load.values * cost.POWER

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm, low = self.warmup_steps, base_lr * self.min_ratio
        begin = warm + self.stable_steps
        factor = shapes.decay(self.cooldown, (t - begin) / max(1, self.decay_steps), self.power, self.ratio)
        rising, falling = formulas.line(t, warm, base_lr * self.warmup_start, base_lr), low + (base_lr - low) * factor
        return formulas.piecewise(t, [warm, begin, begin + self.decay_steps], [rising, base_lr, falling, low])
