"""Schedules by the names and arguments of transformers, in float64: those that end at 0 or not at all."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lrcore.family import Whole
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import Factor, Schedule, StepCount
from lrcore.schedules.transformers._warm import RunSchedule, WarmUpSchedule


class TransformersConstant(Schedule):
    """lr(t) = base_lr."""

    summary = "the same rate at every step"
    formula = "base_lr"
    origin = "transformers.get_scheduler('constant')"
    example = {"type": "constant"}

    type: Literal["constant"]

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return base_lr


class ConstantWithWarmup(WarmUpSchedule):
    """A line from 0 to base_lr in num_warmup_steps, then flat."""

    summary = "linear warm-up from 0, then flat"
    formula = "base_lr * min(1, t / num_warmup_steps)"
    origin = "transformers.get_scheduler('constant_with_warmup')"
    example = {"type": "constant_with_warmup", "num_warmup_steps": 10}

    type: Literal["constant_with_warmup"]

    def after(self, t: Node, base_lr: float) -> Value:
        return base_lr


class InverseSqrt(WarmUpSchedule):
    """A line from 0 to base_lr in num_warmup_steps, then base_lr * sqrt(timescale / (t - warm-up + timescale)).

    timescale is num_warmup_steps if left out, or 10,000 if that is 0.
    """

    summary = "linear warm-up from 0, then falling with the square root of the step"
    formula = "base_lr * (1 + (t - num_warmup_steps) / timescale) ** -0.5"
    origin = "transformers.get_scheduler('inverse_sqrt')"
    example = {"type": "inverse_sqrt", "num_warmup_steps": 10}

    type: Literal["inverse_sqrt"]
    timescale: StepCount | None = None

    def after(self, t: Node, base_lr: float) -> Value:
        scale = self.timescale or self.num_warmup_steps or 10_000
        return base_lr / formulas.call("sqrt", (t - self.num_warmup_steps + scale) / scale)


class TransformersLinear(RunSchedule):
    """A line from 0 to base_lr in num_warmup_steps, then a line to 0 at num_training_steps."""

    summary = "linear warm-up from 0, then a line to 0"
    formula = "base_lr * max(0, (N - t) / (N - num_warmup_steps)), N = num_training_steps"
    origin = "transformers.get_scheduler('linear')"
    example = {"type": "linear", "num_warmup_steps": 10, "num_training_steps": 100}

    type: Literal["linear"]

    def after(self, t: Node, base_lr: float) -> Value:
        if not self._has_decay:
            return 0.0
        return formulas.line_then_flat(t - self.num_warmup_steps, self._decay_steps, base_lr, 0.0)


class TransformersCosine(RunSchedule):
    """After the warm-up, num_cycles waves of a cosine from base_lr down to 0: 0.5 is once down.

    Past num_training_steps the wave goes on, so that the rate rises again.
    """

    summary = "linear warm-up from 0, then waves of a cosine between the rate and 0"
    formula = "base_lr * (1 + cos(2 * pi * num_cycles * (t - w) / (N - w))) / 2"
    origin = "transformers.get_scheduler('cosine')"
    example = {"type": "cosine", "num_warmup_steps": 10, "num_training_steps": 100}

    type: Literal["cosine"]
    num_cycles: Annotated[Factor, Field(le=1e6)] = 0.5

    def cost(self, load: Load) -> float:
        after = load.part(self.num_warmup_steps).shifted(-self.num_warmup_steps)
        return cost.plain(load) + shapes.wave_cost(after, self._decay_steps, 2 * self.num_cycles)

    def after(self, t: Node, base_lr: float) -> Value:
        return shapes.wave(t - self.num_warmup_steps, self._decay_steps, 2 * self.num_cycles, base_lr, 0.0)


class CosineWithRestarts(RunSchedule):
    """After the warm-up, num_cycles half cosines of equal length from base_lr to 0, and 0 from the end on."""

    summary = "linear warm-up from 0, then equal half cosines with hard restarts"
    formula = "base_lr * (1 + cos(pi * ((num_cycles * (t - w) / (N - w)) mod 1))) / 2"
    origin = "transformers.get_scheduler('cosine_with_restarts')"
    example = {"type": "cosine_with_restarts", "num_warmup_steps": 10, "num_training_steps": 100, "num_cycles": 3}

    type: Literal["cosine_with_restarts"]
    num_cycles: Annotated[int, Whole(ge=1, le=10**6)] = 1

    def cost(self, load: Load) -> float:
        after = load.part(self.num_warmup_steps, self.num_training_steps).shifted(-self.num_warmup_steps)
        return cost.plain(load) + shapes.wave_cost(after, self._decay_steps, self.num_cycles)

    def after(self, t: Node, base_lr: float) -> Value:
        warm, length = self.num_warmup_steps, self._decay_steps
        restarts = formulas.cosine((t - warm) * self.num_cycles % length, length, base_lr, 0.0)
        return formulas.piecewise(t, [warm + length], [restarts, 0.0])
