"""Warm-ups and cycles by the names and arguments of optax, in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Annotated, Literal, Self

from pydantic import model_validator

from lrcore.family import Items, Spec
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, T, Value
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import (
    Factor,
    Fraction,
    Rate,
    Schedule,
    SignedSteps,
    StepCount,
    StepIndex,
)
from lrcore.schedules.optax._parts import (
    OptaxSchedule,
    interpolated,
)
from lrcore.schedules.optax.decays import OptaxExponentialDecay


class WarmupConstantSchedule(OptaxSchedule):
    """A line from init_value to peak_value in warmup_steps, then flat.

    As in optax, it stays at init_value if warmup_steps is not positive.
    """

    summary = "linear warm-up, then flat"
    formula = "init_value + (peak_value - init_value) * min(1, t / warmup_steps)"
    origin = "optax.warmup_constant_schedule"
    example = {"type": "warmup_constant_schedule", "init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10}

    type: Literal["warmup_constant_schedule"]
    peak_value: Rate
    warmup_steps: SignedSteps

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.line_then_flat(t, *self._line())

    def _line(self) -> tuple[int, float, float]:
        if self.warmup_steps <= 0:
            return 1, self.init_value, self.init_value
        return self.warmup_steps, self.init_value, self.peak_value


class SgdrCycle(Spec):
    """The arguments of warmup_cosine_decay_schedule: one cycle of sgdr_schedule."""

    init_value: Rate
    peak_value: Factor
    warmup_steps: StepIndex
    decay_steps: StepCount
    end_value: Rate = 0.0
    exponent: Factor = 1.0

    @model_validator(mode="after")
    def _room_for_the_cosine(self) -> Self:
        if self.warmup_steps >= self.decay_steps:
            raise ValueError(f"decay_steps ({self.decay_steps}) must exceed warmup_steps ({self.warmup_steps})")
        return self


class WarmupCosineDecaySchedule(SgdrCycle, Schedule):
    """A line from init_value to peak_value in warmup_steps, then half a cosine to end_value at decay_steps.

    decay_steps includes the warm-up. The cosine may be raised to a power.
    """

    summary = "linear warm-up, half a cosine, then flat; decay_steps includes the warm-up"
    formula = "end_value + (peak_value - end_value) * ((1 + cos(pi * (t - w) / (decay_steps - w))) / 2) ** exponent"
    origin = "optax.warmup_cosine_decay_schedule"
    example = {
        "type": "warmup_cosine_decay_schedule",
        "init_value": 0.0,
        "peak_value": 0.1,
        "warmup_steps": 10,
        "decay_steps": 100,
    }

    type: Literal["warmup_cosine_decay_schedule"]

    @property
    def own_base_lr(self) -> float:
        return self.init_value

    @property
    def horizon(self) -> int | None:
        return self.decay_steps

    def cost(self, load: Load) -> float:
        return shapes.powered_cost(load, self.exponent)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return _warm_cosine(t, self)


class WarmupExponentialDecaySchedule(OptaxExponentialDecay):
    """A line from init_value to peak_value in warmup_steps, then exponential_decay from there on."""

    summary = "linear warm-up, then exponential decay that begins late and stops at a bound"
    formula = "peak_value * decay_rate ** (max(0, t - warmup_steps - transition_begin) / transition_steps)"
    origin = "optax.warmup_exponential_decay_schedule"
    example = {
        "type": "warmup_exponential_decay_schedule",
        "init_value": 0.0,
        "peak_value": 0.1,
        "warmup_steps": 10,
        "transition_steps": 100,
        "decay_rate": 0.9,
    }

    type: Literal["warmup_exponential_decay_schedule"]  # type: ignore[assignment]
    peak_value: Rate
    warmup_steps: StepIndex

    def cost(self, load: Load) -> float:
        return cost.plain(load) + super().cost(load.part(self.warmup_steps).shifted(-self.warmup_steps))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm, peak = self.warmup_steps, self.peak_value
        rising = formulas.line(t, warm, self.init_value, peak)
        return formulas.piecewise(t, [warm], [rising, self._decay(t - warm, peak)])


class SgdrSchedule(Schedule):
    """Listed cycles one after another, each a warmup_cosine_decay_schedule of decay_steps; the last one holds."""

    summary = "warm restarts with listed cycles, each with its own warm-up, peak and end"
    formula = "warmup_cosine_decay_schedule(**cosine_kwargs[i])(t - sum of the decay_steps before)"
    origin = "optax.sgdr_schedule"
    example = {
        "type": "sgdr_schedule",
        "cosine_kwargs": [
            {"init_value": 0.0, "peak_value": 0.1, "warmup_steps": 5, "decay_steps": 20},
            {"init_value": 0.0, "peak_value": 0.05, "warmup_steps": 5, "decay_steps": 40},
        ],
    }

    type: Literal["sgdr_schedule"]
    cosine_kwargs: Annotated[tuple[SgdrCycle, ...], Items(1000, least=1)]

    @property
    def own_base_lr(self) -> float:
        return self.cosine_kwargs[0].init_value

    @property
    def horizon(self) -> int | None:
        return sum(cycle.decay_steps for cycle in self.cosine_kwargs)

    def cost(self, load: Load) -> float:
        cycles = len(self.cosine_kwargs)
        return cost.listed(load, cycles) + shapes.powered_cost(load.cut(cycles), 0.0)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        starts = [0, *accumulate(cycle.decay_steps for cycle in self.cosine_kwargs[:-1])]
        cycles = [formulas.later(partial(_warm_cosine, T, cycle)) for cycle in self.cosine_kwargs]
        shifted = [formulas.apart(cycle, T - start) for cycle, start in zip(cycles, starts, strict=True)]
        found = formulas.apart(formulas.piecewise(T, starts[1:], shifted), t)
        return formulas.written(found, lambda: self._listed(t, starts))

    def _listed(self, t: Node, starts: list[int]) -> Value:
        i = formulas.let("i", formulas.passed(starts[1:], t))

        def own(value: Callable[[SgdrCycle], float]) -> Value:
            return formulas.pick([value(cycle) for cycle in self.cosine_kwargs], i)

        place = formulas.let("place", t - formulas.pick(starts, i))
        warm, peak = (
            formulas.let("warm", own(lambda c: c.warmup_steps)),
            formulas.let("peak", own(lambda c: c.peak_value)),
        )
        first, last = (
            formulas.let("first", own(lambda c: c.init_value)),
            formulas.let("last", own(lambda c: c.end_value)),
        )
        length = formulas.let("length", own(lambda c: c.decay_steps - c.warmup_steps))
        rising = first + (peak - first) * (place / formulas.call("max", 1, warm))
        u = formulas.call("min", place - warm, length) / length
        falling = formulas.half_cosine(u, peak, last, own(lambda c: c.exponent))
        return formulas.where(formulas.less(place, warm), rising, falling)


class CosineOnecycleSchedule(Schedule):
    """Half cosines from peak_value / div_factor up to peak_value and down to that / final_div_factor."""

    summary = "one cycle of two half cosines with whole steps as knots, then flat"
    formula = "cosine interpolation of peak/div at 0, peak at int(pct_start * n), peak/div/final_div at n"
    origin = "optax.cosine_onecycle_schedule"
    example = {"type": "cosine_onecycle_schedule", "transition_steps": 100, "peak_value": 0.1}

    type: Literal["cosine_onecycle_schedule"]
    transition_steps: StepCount
    peak_value: Rate
    pct_start: Fraction = 0.3
    div_factor: Factor = 25.0
    final_div_factor: Factor = 1e4

    @model_validator(mode="after")
    def _knots_rise(self) -> Self:
        if not self.div_factor * self.final_div_factor:
            raise ValueError("div_factor * final_div_factor is too small for float64")
        scales = self._scales()
        if min(scales) < 1 or len(scales) != self._phases:
            raise ValueError(f"each phase needs a step of its own, but the knots are at {sorted(scales)}")
        return self

    @property
    def own_base_lr(self) -> float:
        return self.peak_value / self.div_factor

    @property
    def _phases(self) -> int:
        return 2

    def _scales(self) -> dict[int, float]:
        n = self.transition_steps
        return {int(self.pct_start * n): self.div_factor, n: 1.0 / (self.div_factor * self.final_div_factor)}

    @property
    def horizon(self) -> int | None:
        return self.transition_steps

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return interpolated(t, "cosine", self.own_base_lr, self._scales())


class LinearOnecycleSchedule(CosineOnecycleSchedule):
    """Lines from peak_value / div_factor up, down to the same at pct_final, and on to that / final_div_factor."""

    summary = "one cycle of three lines with whole steps as knots, then flat"
    formula = "linear interpolation of peak/div at 0, peak, peak/div at int(pct_final * n), peak/div/final_div at n"
    origin = "optax.linear_onecycle_schedule"
    example = {"type": "linear_onecycle_schedule", "transition_steps": 100, "peak_value": 0.1}

    type: Literal["linear_onecycle_schedule"]  # type: ignore[assignment]
    pct_final: Fraction = 0.85

    @property
    def _phases(self) -> int:
        return 3

    def _scales(self) -> dict[int, float]:
        n = self.transition_steps
        rise, fall = int(self.pct_start * n), int(self.pct_final * n)
        if not rise < fall < n:
            return {0: 1.0}
        return {rise: self.div_factor, fall: 1.0 / self.div_factor, n: 1.0 / self.final_div_factor}

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return interpolated(t, "linear", self.own_base_lr, self._scales())


def _warm_cosine(t: Node, spec: WarmupCosineDecaySchedule | SgdrCycle) -> Value:
    warm, peak = spec.warmup_steps, spec.peak_value
    falling = shapes.cosine_then_flat(t - warm, spec.decay_steps - warm, peak, spec.end_value, spec.exponent)
    return formulas.piecewise(t, [warm], [formulas.line(t, warm, spec.init_value, peak), falling])
