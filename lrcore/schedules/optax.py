"""The schedules of optax, by optax's names and arguments, in float64."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import accumulate
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lrcore.family import Flag, Items, Spec
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Fill, Grid
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import (
    Factor,
    Fraction,
    Rate,
    Rates,
    RatesByStep,
    Schedule,
    SignedSteps,
    StepCount,
    StepIndex,
)
from lrcore.schedules.factor import polynomial, polynomial_cost, polynomial_formula
from lrcore.schedules.keras import exponential, exponential_cost, exponential_formula


class _Optax(Schedule):
    type: str
    init_value: Rate

    @property
    def own_base_lr(self) -> float:
        return self.init_value


class LinearSchedule(_Optax):
    """A line from init_value to end_value in transition_steps after transition_begin; flat before and after.

    As in optax, it stays at init_value if transition_steps is not positive, and a negative transition_begin is 0.
    """

    summary = "a straight line between two rates, flat before and after"
    formula = "init_value + (end_value - init_value) * clip(t - transition_begin, 0, n) / n, n = transition_steps"
    origin = "optax.linear_schedule"
    example = {"type": "linear_schedule", "init_value": 0.0, "end_value": 0.1, "transition_steps": 10}

    type: Literal["linear_schedule"]
    end_value: Rate
    transition_steps: SignedSteps
    transition_begin: SignedSteps = 0

    @property
    def horizon(self) -> int | None:
        return max(0, self.transition_begin) + self.transition_steps if self.transition_steps > 0 else None

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return _after(out, t, self, lambda o, t: grid.line_then_flat(o, t, *self._line()))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.line_then_flat(_late_formula(t, self.transition_begin), *self._line())

    def _line(self) -> tuple[int, float, float]:
        if self.transition_steps <= 0:
            return 1, self.init_value, self.init_value
        return self.transition_steps, self.init_value, self.end_value


class PolynomialSchedule(LinearSchedule):
    """(init_value - end_value) * (1 - u) ** power + end_value, u = clip(t - transition_begin, 0, n) / n.

    As in optax, it stays at init_value if transition_steps is not positive, and a negative transition_begin is 0.
    """

    summary = "from one rate to another along a power of the distance left, flat before and after"
    formula = "(init_value - end_value) * (1 - clip(t - transition_begin, 0, n) / n) ** power + end_value"
    origin = "optax.polynomial_schedule"
    example = {
        "type": "polynomial_schedule",
        "init_value": 0.1,
        "end_value": 0.01,
        "power": 2.0,
        "transition_steps": 100,
    }

    type: Literal["polynomial_schedule"]  # type: ignore[assignment]
    power: Factor

    def cost(self, load: Load) -> float:
        return polynomial_cost(load, self.power)

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return _after(out, t, self, lambda o, t: polynomial(o, t, *self._line(), self.power))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return polynomial_formula(_late_formula(t, self.transition_begin), *self._line(), self.power)


class CosineDecaySchedule(_Optax):
    """init_value * ((1 - alpha) * ((1 + cos(pi * u)) / 2) ** exponent + alpha), u = min(1, t / decay_steps)."""

    summary = "half a cosine, to a power, down to a fraction of the rate, then flat"
    formula = "init_value * ((1 - alpha) * ((1 + cos(pi * min(1, t / decay_steps))) / 2) ** exponent + alpha)"
    origin = "optax.cosine_decay_schedule"
    example = {"type": "cosine_decay_schedule", "init_value": 0.1, "decay_steps": 100}

    type: Literal["cosine_decay_schedule"]
    decay_steps: StepCount
    alpha: Fraction = 0.0
    exponent: Factor = 1.0

    @property
    def horizon(self) -> int | None:
        return self.decay_steps

    def cost(self, load: Load) -> float:
        return _cosine_cost(load, self.exponent)

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return _cosine(out, t, self.decay_steps, self.init_value, self.alpha * self.init_value, self.exponent)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return _cosine_formula(t, self.decay_steps, self.init_value, self.alpha * self.init_value, self.exponent)


class OptaxExponentialDecay(_Optax):
    """init_value * decay_rate ** ((t - transition_begin) / transition_steps), flat before transition_begin.

    With staircase the exponent is floored. end_value is a floor if decay_rate is less than 1, else a ceiling.
    As in optax, it stays at init_value if transition_steps is not positive or decay_rate is 0, and a negative
    transition_begin is 0.
    """

    summary = "exponential decay that begins late and stops at a bound, smooth or in stairs"
    formula = "init_value * decay_rate ** (max(0, t - transition_begin) / transition_steps)"
    origin = "optax.exponential_decay"
    example = {"type": "exponential_decay", "init_value": 0.1, "transition_steps": 100, "decay_rate": 0.9}

    type: Literal["exponential_decay"]
    transition_steps: SignedSteps
    decay_rate: Rate
    transition_begin: SignedSteps = 0
    staircase: Flag = False
    end_value: Rate | None = None

    @property
    def _is_constant(self) -> bool:
        return self.transition_steps <= 0 or self.decay_rate == 0

    def cost(self, load: Load) -> float:
        if self._is_constant:
            return cost.plain(load)
        begin = max(0, self.transition_begin)
        late = load.part(begin).shifted(-begin)
        return cost.plain(load) + exponential_cost(late, self.transition_steps, self.staircase)

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return self._decay(out, t, self.init_value)

    def _decay(self, out: Rates, t: Grid, start: float) -> Extent:
        def decay(out: Rates, t: Grid) -> Extent:
            return exponential(out, t, start, self.transition_steps, self.decay_rate, self.staircase)

        if self._is_constant:
            return grid.constant(out, start)
        found = _late(out, t, self.transition_begin, start, decay)
        if self.end_value is None:
            return found
        bound = np.maximum if self.decay_rate < 1 else np.minimum
        return grid.extent(bound(out, self.end_value, out=out))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self._decay_formula(t, self.init_value)

    def _decay_formula(self, t: Node, start: float) -> Value:
        if self._is_constant:
            return start
        late = _late_formula(t, self.transition_begin)
        found = exponential_formula(late, start, self.transition_steps, self.decay_rate, self.staircase)
        if self.end_value is None:
            return found
        return formulas.call("max" if self.decay_rate < 1 else "min", found, self.end_value)


class PiecewiseConstantSchedule(_Optax):
    """init_value times the scales of all boundaries passed; a boundary is passed at its own step."""

    summary = "multiplies the rate by a scale of its own at each boundary"
    formula = "init_value * product(scale for boundary, scale in boundaries_and_scales if boundary <= t)"
    origin = "optax.piecewise_constant_schedule"
    example = {
        "type": "piecewise_constant_schedule",
        "init_value": 0.1,
        "boundaries_and_scales": {"10": 0.5, "20": 0.1},
    }

    type: Literal["piecewise_constant_schedule"]
    boundaries_and_scales: RatesByStep = Field(default_factory=dict)

    def cost(self, load: Load) -> float:
        return cost.listed(load, len(self.boundaries_and_scales))

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        edges, values = knots(self.init_value, self.boundaries_and_scales)
        return grid.constant_segments(out, t, edges, values)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.lookup(*knots(self.init_value, self.boundaries_and_scales), t)


class PiecewiseInterpolateSchedule(_Optax):
    """Through knots: init_value at step 0, and at each boundary the knot before it times the scale. Flat after."""

    summary = "lines or half cosines through knots that are scaled from one to the next"
    formula = "interpolation between init_value at 0 and init_value * cumprod(scales) at the boundaries"
    origin = "optax.piecewise_interpolate_schedule"
    example = {
        "type": "piecewise_interpolate_schedule",
        "interpolate_type": "linear",
        "init_value": 0.01,
        "boundaries_and_scales": {"10": 10.0, "50": 0.1},
    }

    type: Literal["piecewise_interpolate_schedule"]
    interpolate_type: Literal["linear", "cosine"]
    boundaries_and_scales: RatesByStep = Field(default_factory=dict)

    def cost(self, load: Load) -> float:
        return cost.listed(load.cut(len(self.boundaries_and_scales) + 1), 0) + cost.listed(
            load, len(self.boundaries_and_scales)
        )

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return _interpolated(out, t, self.interpolate_type, self.init_value, self.boundaries_and_scales)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return _interpolated_formula(t, self.interpolate_type, self.init_value, self.boundaries_and_scales)


class WarmupConstantSchedule(_Optax):
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

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return grid.line_then_flat(out, t, *self._line())

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
        return _cosine_cost(load, self.exponent)

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return _warm_cosine(out, t, self)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm, peak = self.warmup_steps, self.peak_value
        falling = _cosine_formula(t - warm, self.decay_steps - warm, peak, self.end_value, self.exponent)
        return formulas.piecewise(t, [warm], [formulas.line(t, warm, self.init_value, peak), falling])


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

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        warm, peak = self.warmup_steps, self.peak_value
        return shapes.warm_up(out, t, warm, self.init_value, peak, lambda o, t: self._decay(o, t - warm, peak))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm, peak = self.warmup_steps, self.peak_value
        rising = formulas.line(t, warm, self.init_value, peak)
        return formulas.piecewise(t, [warm], [rising, self._decay_formula(t - warm, peak)])


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
        return cost.listed(load, cycles) + _cosine_cost(load.cut(cycles), 0.0)

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        def turn(cycle: SgdrCycle, start: int) -> Fill:
            return lambda o, t: _warm_cosine(o, t - start, cycle)

        starts = [0, *np.cumsum([cycle.decay_steps for cycle in self.cosine_kwargs], dtype=object)]
        return grid.piecewise(out, t, starts[1:-1], list(map(turn, self.cosine_kwargs, starts)))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        starts = [0, *accumulate(cycle.decay_steps for cycle in self.cosine_kwargs[:-1])]
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

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return _interpolated(out, t, "cosine", self.own_base_lr, self._scales())

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return _interpolated_formula(t, "cosine", self.own_base_lr, self._scales())


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

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return _interpolated(out, t, "linear", self.own_base_lr, self._scales())

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return _interpolated_formula(t, "linear", self.own_base_lr, self._scales())


def _late(out: Rates, t: Grid, begin: int, before: float, fill: Fill) -> Extent:
    """The constant `before` up to step `begin`, 0 if negative, then `fill`, which counts from there."""
    begin = max(0, begin)
    return grid.piecewise(out, t, (begin,), (lambda o, t: grid.constant(o, before), lambda o, t: fill(o, t - begin)))


def _late_formula(t: Node, begin: int) -> Node:
    return formulas.call("max", 0, t - begin) if begin > 0 else t


def _after(out: Rates, t: Grid, spec: LinearSchedule, fill: Fill) -> Extent:
    return _late(out, t, spec.transition_begin, spec.init_value, fill)


def _cosine(out: Rates, t: Grid, length: int, high: float, low: float, exponent: float) -> Extent:
    cosine: Fill = lambda o, t: grid.half_cosine(o, t, length, high, low, exponent=exponent)  # noqa: E731
    return shapes.until(out, t, length, cosine, low)


def _cosine_cost(load: Load, exponent: float) -> float:
    return cost.plain(load) + (0.0 if exponent == 1 else load.values * cost.POWER)


def _cosine_formula(t: Node, length: int, high: float, low: float, exponent: float) -> Value:
    return formulas.half_cosine(formulas.call("min", t, length) / length, high, low, exponent)


def _warm_cosine(out: Rates, t: Grid, spec: WarmupCosineDecaySchedule | SgdrCycle) -> Extent:
    warm, length = spec.warmup_steps, spec.decay_steps - spec.warmup_steps
    then: Fill = lambda o, t: _cosine(o, t - warm, length, spec.peak_value, spec.end_value, spec.exponent)  # noqa: E731
    return shapes.warm_up(out, t, warm, spec.init_value, spec.peak_value, then)


def knots(first: float, scales: dict[int, float]) -> tuple[list[int], list[float]]:
    """Boundaries in order, and the rates at 0 and at each of them."""
    edges = sorted(scales)
    return edges, list(accumulate((scales[edge] for edge in edges), operator.mul, initial=first))


def _interpolated(out: Rates, t: Grid, kind: str, first: float, scales: dict[int, float]) -> Extent:
    edges, values = knots(first, scales)
    shape = grid.line if kind == "linear" else grid.half_cosine

    def between(start: int, end: int, low: float, high: float) -> Fill:
        return lambda o, t: shape(o, t - start, max(end - start, 1), low, high)

    starts = [0, *edges[:-1]]
    fills = [between(*knot) for knot in zip(starts, edges, values, values[1:], strict=False)]
    return grid.piecewise(out, t, edges, [*fills, lambda o, t: grid.constant(o, values[-1])])


def _interpolated_formula(t: Node, kind: str, first: float, scales: dict[int, float]) -> Value:
    edges, rates = knots(first, scales)
    if not edges:
        return first
    starts, ends = [0, *edges], [*edges, edges[-1] + 1]  # after the last knot the rate stays
    lengths = [max(1, end - start) for start, end in zip(starts, ends, strict=True)]
    i = formulas.let("i", formulas.passed(edges, t))
    u = (t - formulas.pick(starts, i)) / formulas.pick(lengths, i)
    low = formulas.let("start", formulas.pick(rates, i))
    high = formulas.let("end", formulas.pick([*rates[1:], rates[-1]], i))
    return formulas.half_cosine(u, low, high) if kind == "cosine" else low + (high - low) * u
