"""A warm-up before, over or on a schedule."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formula_values import value_at
from lrcore.numerics.formulas import PI, Node, Value
from lrcore.schedules._base import Factor, Fraction, StepCount, of_group
from lrcore.schedules.algebra._around import Around


class WarmUp(Around):
    """Ramp up for warmup_steps before, over or on the schedule g.

    | mode | the ramp, up to step warmup_steps | from there on |
    |---|---|---|
    | shift | from start * g(0) to g(0) | g(t - warmup_steps) |
    | overlay | from start * g(0) to g(warmup_steps): detectron2's WarmupParamScheduler | g(t) |
    | overlay_to_base | from start * base_lr to base_lr: timm's warmup_prefix=False | g(t) |
    | multiply | from start to 1, times g(t) | g(t) |

    shift is the rule of transformers, fastai (cosine), Composer and Megatron as well.

    Between its ends, at u = t / warmup_steps, the ramp is linear; constant at its start; cosine, along
    (1 - cos(pi * u)) / 2; exponential, by a constant factor per step; power, along u ** power, which is darknet's
    burn_in with overlay_to_base; or log, along log(1 + t) / log(max(2, warmup_steps)), which reaches its end at step
    warmup_steps - 1: DeepSpeed's WarmupLR.
    """

    summary = "a warm-up before, over or on any schedule"
    formula = "ramp(t / warmup_steps) for t < warmup_steps, then g; with multiply ramp(t / warmup_steps) * g(t)"
    origin = (
        "timm's warmup_t and warmup_prefix, detectron2's WarmupParamScheduler, DeepSpeed's WarmupLR, darknet's burn_in"
    )
    example = {"type": "WarmUp", "warmup_steps": 5, "schedule": {"type": "CosineAnnealingLR", "T_max": 45}}

    type: Literal["WarmUp"]
    warmup_steps: StepCount
    start: Fraction = Field(0.0, description="factor at step 0")
    shape: Literal["linear", "constant", "cosine", "exponential", "power", "log"] = "linear"
    power: Factor = Field(4.0, description="of shape power")
    mode: Literal["shift", "overlay", "overlay_to_base", "multiply"] = "shift"

    @model_validator(mode="after")
    def _exponential_starts_above_zero(self) -> Self:
        if self.shape == "exponential" and self.start == 0:
            raise ValueError("an exponential warm-up cannot start at 0: give start")
        return self

    @property
    def length(self) -> int | None:
        inner = self.schedule.length
        return inner if inner is None or self.mode != "shift" else inner + self.warmup_steps

    @property
    def horizon(self) -> int | None:
        inner = self.schedule.horizon
        return inner if inner is None or self.mode != "shift" else inner + self.warmup_steps

    @property
    def joins(self) -> tuple[int, ...]:
        shift = self.warmup_steps if self.mode == "shift" else 0
        return (self.warmup_steps, *(join + shift for join in self.schedule.joins if join + shift > self.warmup_steps))

    def cost(self, load: Load) -> float:
        steps = self.warmup_steps
        own = cost.formula(load, cost.ARITHMETIC) + cost.formula(load.part(0, steps), cost.POWER + 3 * cost.ARITHMETIC)
        if self.mode == "multiply":
            return own + self.schedule.cost(load)
        shift = steps if self.mode == "shift" else 0
        after = load.part(steps).shifted(-shift)
        ends = [0, steps] if self.mode == "overlay" else [0] if self.mode == "shift" else []
        if load.first >= steps or not ends:
            return own + self.schedule.cost(after)
        calls = load.calls * len(ends)
        return own + self.schedule.cost(Load(ends[0], max(ends[-1], after.last), after.values + calls,
                                             after.calls + calls, load.dense))  # fmt: skip

    def formula_at(self, t: Node, base_lr: float) -> Value:
        within, steps = self._formula(base_lr), self.warmup_steps
        if self.mode == "multiply":
            ramp = self._ramp(t, self.start, 1.0)
            return formulas.written(
                formulas.piecewise(t, [steps], [ramp * within, within]),
                lambda: formulas.piecewise(t, [steps], [ramp, 1.0]) * formulas.apart(within, t),
            )

        ramp = formulas.later(lambda: self._ramp(t, *self._ends(within, base_lr)))
        after = formulas.apart(within, t - steps if self.mode == "shift" else t)
        return formulas.piecewise(t, [steps], [ramp, after])

    def _ends(self, within: Node, base_lr: float) -> tuple[float, float]:
        """The rates between which the ramp runs, except for multiply."""
        if self.mode == "overlay_to_base":
            own = self.schedule.own_base_lr
            end = base_lr if own is None else of_group(own, 0)
            return self.start * end, end
        first = value_at(within, 0)
        return self.start * first, first if self.mode == "shift" else value_at(within, self.warmup_steps)

    def momentum_at(self, t: Node) -> Value:
        inside, steps = super().momentum_at(t), self.warmup_steps
        if self.mode != "shift":
            return inside
        return formulas.piecewise(t, [steps], [math.nan, formulas.apart(inside, t - steps)])

    def _ramp(self, t: Node, low: float, high: float) -> Value:
        """From one rate to another."""
        u = t / self.warmup_steps
        match self.shape:
            case "linear":
                return low + (high - low) * u
            case "constant":
                return low
            case "cosine":
                sine = formulas.call("sin", PI / 2 * u)
                return formulas.written(low + (high - low) * sine**2, lambda: formulas.half_cosine(u, low, high))
            case "exponential":
                product = low ** (1 - u) * high**u
                return formulas.written(product, lambda: low * (high / low) ** u if low else low)
            case "power":
                return low + (high - low) * formulas.raised(u, self.power)
        whole = math.log(max(2, self.warmup_steps))
        return formulas.written(
            low + (high - low) * (formulas.call("log1p", t) / whole),
            lambda: low + (high - low) * (formulas.call("log", 1 + t) / whole),
        )
