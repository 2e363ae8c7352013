"""Decays by the names and arguments of optax, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field

from lrcore.family import Flag
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import (
    Factor,
    Fraction,
    Rate,
    RatesByStep,
    SignedSteps,
    StepCount,
)
from lrcore.schedules.optax._parts import (
    OptaxSchedule,
    interpolated,
    knots,
    late,
)


class LinearSchedule(OptaxSchedule):
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

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self._late(t, formulas.line_then_flat)

    def _late(self, t: Node, shape: Callable[..., Value], *more: float) -> Value:
        return late(t, self.transition_begin, self.init_value, lambda t: shape(t, *self._line(), *more))

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
        return shapes.powered_cost(load, self.power)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self._late(t, shapes.polynomial, self.power)


class CosineDecaySchedule(OptaxSchedule):
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
        return shapes.powered_cost(load, self.exponent)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        end = self.alpha * self.init_value
        return shapes.cosine_then_flat(t, self.decay_steps, self.init_value, end, self.exponent)


class OptaxExponentialDecay(OptaxSchedule):
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
        return cost.plain(load) + shapes.exponential_cost(late, self.transition_steps, self.staircase)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self._decay(t, self.init_value)

    def _decay(self, t: Node, start: float) -> Value:
        def decay(t: Node) -> Value:
            return shapes.exponential(t, start, self.transition_steps, self.decay_rate, self.staircase)

        if self._is_constant:
            return start
        found = late(t, self.transition_begin, start, decay)
        if self.end_value is None:
            return found
        return formulas.call("max" if self.decay_rate < 1 else "min", found, self.end_value)


class PiecewiseConstantSchedule(OptaxSchedule):
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

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.lookup(*knots(self.init_value, self.boundaries_and_scales), t)


class PiecewiseInterpolateSchedule(OptaxSchedule):
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

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return interpolated(t, self.interpolate_type, self.init_value, self.boundaries_and_scales)
