"""The schedules of keras.optimizers.schedules, by Keras' names and arguments, in float64."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrcore.family import Flag
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import Factor, Fraction, Rate, Schedule, StepCount, StepIndex
from lrcore.schedules.step import Piecewise


class _Keras(Schedule):
    type: str
    initial_learning_rate: Rate

    @property
    def own_base_lr(self) -> float:
        return self.initial_learning_rate


class CosineDecay(_Keras):
    """Half a cosine from the initial rate to alpha of it in decay_steps, then flat.

    With warmup_target, first a line from the initial rate to warmup_target in warmup_steps; the cosine then starts
    from warmup_target, and decay_steps does not include the warm-up.
    """

    summary = "half a cosine to a fraction of the rate, with an optional linear warm-up, then flat"
    formula = "lr0 * ((1 - alpha) * (1 + cos(pi * min(t, decay_steps) / decay_steps)) / 2 + alpha)"
    origin = "keras.optimizers.schedules.CosineDecay"
    example = {"type": "CosineDecay", "initial_learning_rate": 0.1, "decay_steps": 1000}

    type: Literal["CosineDecay"]
    decay_steps: StepCount
    alpha: Fraction = 0.0
    warmup_target: Rate | None = None
    warmup_steps: StepIndex = 0

    @model_validator(mode="after")
    def _warm_up_has_a_target(self) -> Self:
        if self.warmup_steps and self.warmup_target is None:
            raise ValueError("warmup_steps has no meaning without warmup_target")
        return self

    @property
    def horizon(self) -> int | None:
        return self.warmup_steps + self.decay_steps

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm, initial = self.warmup_steps, self.initial_learning_rate
        peak = initial if self.warmup_target is None else self.warmup_target
        falling = shapes.cosine_then_flat(t - warm, self.decay_steps, peak, self.alpha * peak)
        return formulas.piecewise(t, [warm], [formulas.line(t, warm, initial, peak), falling])


class CosineDecayRestarts(_Keras):
    """Half cosines down to alpha of the initial rate; cycle i is t_mul ** i times as long and m_mul ** i as high.

    Cycles begin at the first step not before first_decay_steps * (t_mul ** i - 1) / (t_mul - 1), which is exact
    where that is a whole number; Keras takes a logarithm in float32 and may restart a step late.
    """

    summary = "half cosines, each t_mul times as long and m_mul times as high as the one before"
    formula = "lr0 * ((1 - alpha) * m_mul ** i * (1 + cos(pi * T_cur / T_i)) / 2 + alpha)"
    origin = "keras.optimizers.schedules.CosineDecayRestarts"
    example = {"type": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 10, "m_mul": 0.8}

    type: Literal["CosineDecayRestarts"]
    first_decay_steps: StepCount
    t_mul: Annotated[Factor, Field(ge=1, le=1000)] = 2.0
    m_mul: Rate = 1.0
    alpha: Fraction = 0.0

    @model_validator(mode="after")
    def _cycles_grow(self) -> Self:
        if 1 < self.t_mul < shapes.FASTEST:
            raise ValueError(f"t_mul must be 1 or at least {shapes.FASTEST}")
        return self

    def cost(self, load: Load) -> float:
        return shapes.cycles_cost(load, self.first_decay_steps, self.t_mul, 0.0, None)

    @property
    def listed(self) -> int:
        return 0 if self.t_mul == 1 else 3 * shapes.listed_cycles(self.t_mul, None)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        height, low = self.initial_learning_rate * (1 - self.alpha), self.initial_learning_rate * self.alpha

        def amplitude(cycle: Value) -> Value:
            return height * self.m_mul**cycle

        cycles = shapes.Cycles(self.first_decay_steps, self.t_mul, shapes.half_cosine, amplitude, low)
        return cycles.formula_at(t)


class ExponentialDecay(_Keras):
    """lr(t) = lr0 * decay_rate ** (t / decay_steps); with staircase the exponent is floored."""

    summary = "multiplies the rate by decay_rate every decay_steps, smoothly or in stairs"
    formula = "lr0 * decay_rate ** (t / decay_steps)"
    origin = "keras.optimizers.schedules.ExponentialDecay"
    example = {"type": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_steps": 100, "decay_rate": 0.96}

    type: Literal["ExponentialDecay"]
    decay_steps: StepCount
    decay_rate: Factor
    staircase: Flag = False

    def cost(self, load: Load) -> float:
        return shapes.exponential_cost(load, self.decay_steps, self.staircase)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return shapes.exponential(t, self.initial_learning_rate, self.decay_steps, self.decay_rate, self.staircase)


class InverseTimeDecay(_Keras):
    """lr(t) = lr0 / (1 + decay_rate * t / decay_steps); with staircase the quotient is floored."""

    summary = "falls with the inverse of the step, smoothly or in stairs"
    formula = "lr0 / (1 + decay_rate * t / decay_steps)"
    origin = "keras.optimizers.schedules.InverseTimeDecay"
    example = {"type": "InverseTimeDecay", "initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5}

    type: Literal["InverseTimeDecay"]
    decay_steps: StepCount
    decay_rate: Rate
    staircase: Flag = False

    def cost(self, load: Load) -> float:
        return cost.runs(load, self.decay_steps) if self.staircase else cost.formula(load, 4 * cost.ARITHMETIC)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        def fallen(times: Value) -> Value:
            return self.initial_learning_rate / (1 + self.decay_rate * times)

        return formulas.stairs(t, self.decay_steps, fallen) if self.staircase else fallen(t / self.decay_steps)


class PiecewiseConstantDecay(Piecewise):
    """values[i], where i is the number of boundaries less than t: a boundary itself still has the value before it."""

    summary = "listed rates, changed one step after each boundary"
    formula = "values[count(boundaries < t)]"
    origin = "keras.optimizers.schedules.PiecewiseConstantDecay"
    example = {"type": "PiecewiseConstantDecay", "boundaries": [10, 20], "values": [0.1, 0.05, 0.01]}

    type: Literal["PiecewiseConstantDecay"]

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return formulas.lookup([boundary + 1 for boundary in self.boundaries], self.values, t)


class PolynomialDecay(_Keras):
    """lr(t) = (lr0 - end_learning_rate) * (1 - min(t, n) / n) ** power + end_learning_rate, n = decay_steps.

    With cycle, n is the multiple of decay_steps at or after t, so that the rate jumps up after each of them.
    """

    summary = "falls to end_learning_rate along a power of the distance left, once or with ever longer cycles"
    formula = "(lr0 - end_learning_rate) * (1 - min(t, decay_steps) / decay_steps) ** power + end_learning_rate"
    origin = "keras.optimizers.schedules.PolynomialDecay"
    example = {"type": "PolynomialDecay", "initial_learning_rate": 0.1, "decay_steps": 100, "power": 0.5}

    type: Literal["PolynomialDecay"]
    decay_steps: StepCount
    end_learning_rate: Rate = 1e-4
    power: Factor = 1.0
    cycle: Flag = False

    @property
    def horizon(self) -> int | None:
        return None if self.cycle else self.decay_steps

    def cost(self, load: Load) -> float:
        own = load.values * cost.REMAINDER if self.cycle else 0.0
        return own + shapes.powered_cost(load, 0.0 if self.cycle else self.power)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        start, end, steps = self.initial_learning_rate, self.end_learning_rate, self.decay_steps
        if not self.cycle:
            return shapes.polynomial(t, steps, start, end, self.power)
        total = steps * formulas.call("max", 1, (t + steps - 1) // steps)  # a quotient may miss a step
        return (1 - t / total) ** self.power * (start - end) + end
