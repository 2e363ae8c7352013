"""Ramps for finding a rate: Smith's range test, arXiv:1506.01186, in both spacings."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lrcore.family import Flag
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.numerics.lengths import Steps
from lrcore.schedules._base import MAX_STEP, Factor, Rate, Rates, Schedule, StepCount


class LRRangeTest(Schedule):
    """min_lr * (1 + step_rate * t / step_size), the quotient floored with staircase; rises for ever."""

    summary = "rises by a multiple of the lowest rate every step_size steps, smoothly or in stairs"
    formula = "lr_range_test_min_lr * (1 + lr_range_test_step_rate * t / lr_range_test_step_size)"
    origin = "deepspeed.runtime.lr_schedules.LRRangeTest"
    example = {"type": "LRRangeTest", "lr_range_test_min_lr": 1e-4, "lr_range_test_step_size": 100}

    type: Literal["LRRangeTest"]
    lr_range_test_min_lr: Rate = 1e-3
    lr_range_test_step_size: StepCount = 2000
    lr_range_test_step_rate: Rate = 1.0
    lr_range_test_staircase: Flag = False

    @property
    def own_base_lr(self) -> float:
        return self.lr_range_test_min_lr

    def cost(self, load: Load) -> float:
        size = self.lr_range_test_step_size
        return cost.runs(load, size) if self.lr_range_test_staircase else cost.formula(load, 2 * cost.ARITHMETIC)

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        if not self.lr_range_test_staircase:
            return super().fill(out, t, base_lr, group)
        low, rate = self.lr_range_test_min_lr, self.lr_range_test_step_rate
        return grid.even_runs(
            out, t, self.lr_range_test_step_size, lambda stair: low + low * rate * stair.astype(np.float64)
        )

    def formula_at(self, t: Node, base_lr: float) -> Value:
        low, size = self.lr_range_test_min_lr, self.lr_range_test_step_size
        return low + low * self.lr_range_test_step_rate * (t // size if self.lr_range_test_staircase else t / size)


class _Ramp(Schedule):
    type: str
    start_lr: Factor = 1e-7
    end_lr: Factor = 10.0
    num_iter: Annotated[int, Steps(ge=2, le=MAX_STEP)] = 100

    @property
    def horizon(self) -> int | None:
        return self.num_iter

    @property
    def own_base_lr(self) -> float:
        return self.start_lr


class LinearRangeTest(_Ramp):
    """A line from start_lr at step 0 to end_lr at step num_iter - 1, then flat."""

    summary = "a line up through the rates to try"
    formula = "start_lr + (end_lr - start_lr) * t / (num_iter - 1)"
    origin = "Smith, arXiv:1506.01186; torch-lr-finder's LinearLR"
    example = {"type": "LinearRangeTest", "start_lr": 1e-4, "end_lr": 1.0, "num_iter": 100}

    type: Literal["LinearRangeTest"]

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return grid.line_then_flat(out, t, self.num_iter - 1, self.start_lr, self.end_lr)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.line_then_flat(t, self.num_iter - 1, self.start_lr, self.end_lr)


class ExponentialRangeTest(_Ramp):
    """Multiply the rate by the same factor at every step: start_lr * (end_lr / start_lr) ** (t / n), then flat.

    fastai's lr_find divides by n = num_iter, so that the last of the num_iter steps stays below end_lr. With endpoint
    n is num_iter - 1, and the last step has end_lr: torch-lr-finder's ExponentialLR.
    """

    summary = "rises by the same factor at every step through the rates to try"
    formula = "start_lr * (end_lr / start_lr) ** (min(t, n) / n), n = num_iter, or num_iter - 1 with endpoint"
    origin = "fastai Learner.lr_find; torch-lr-finder's ExponentialLR"
    example = {"type": "ExponentialRangeTest", "start_lr": 1e-7, "end_lr": 10.0, "num_iter": 100}

    type: Literal["ExponentialRangeTest"]
    endpoint: Flag = Field(False, description="whether step num_iter - 1 has end_lr, not the step after it")

    @property
    def _last(self) -> int:
        return self.num_iter - 1 if self.endpoint else self.num_iter

    def cost(self, load: Load) -> float:
        return cost.plain(load) + cost.powers(load.part(0, self.num_iter))

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        last = self._last
        fills = (
            lambda o, t: grid.powers(o, t, self.end_lr / self.start_lr, scale=self.start_lr, per=last),
            lambda o, t: grid.constant(o, self.end_lr),
        )
        return grid.piecewise(out, t, (last,), fills)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        last = self._last
        return self.start_lr * (self.end_lr / self.start_lr) ** (formulas.call("min", t, last) / last)
