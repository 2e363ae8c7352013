"""A schedule in closed form."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lrcore.plugin import Extent, Grid, Node, Rates, Schedule, StepCount, Value, elementwise


class HalfLife(Schedule):
    """lr(t) = base_lr * 2 ** (-t / half_life)."""

    summary = "halves the rate every half_life steps, a little at each of them"
    formula = "base_lr * 2 ** (-t / half_life)"
    origin = "the example plug-in of lrserve"
    example = {"type": "example:HalfLife", "half_life": 10}

    type: Literal["example:HalfLife"]
    half_life: StepCount  # a number of steps, or a share of the run such as "10%"

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return elementwise(out, t, lambda steps: base_lr * np.exp2(-steps / self.half_life))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return base_lr * 2 ** (-t / self.half_life)
