"""Ramps for finding a rate: Smith's range test, arXiv:1506.01186, in both spacings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lrcore.family import Flag
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.lengths import Steps
from lrcore.schedules._base import MAX_STEP, Factor, Rate, Schedule, StepCount


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

    def formula_at(self, t: Node, base_lr: float) -> Value:
        low, size = self.lr_range_test_min_lr, self.lr_range_test_step_size

        def risen(times: Value) -> Value:
            return low + low * self.lr_range_test_step_rate * times

        return formulas.stairs(t, size, risen) if self.lr_range_test_staircase else risen(t / size)


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

    def formula_at(self, t: Node, base_lr: float) -> Value:
        last, start, factor = self._last, self.start_lr, self.end_lr / self.start_lr
        return formulas.written(
            formulas.piecewise(t, [last], [formulas.power(t, factor, start, last), self.end_lr]),
            lambda: start * factor ** (formulas.call("min", t, last) / last),
        )
