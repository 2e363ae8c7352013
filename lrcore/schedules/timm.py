"""The schedulers of timm, by timm's names and arguments, without its noise: t counts what t_in_epochs says there."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from lrcore.family import Flag, Items, Number, Whole
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formula_values import value_at
from lrcore.numerics.formulas import Node, T, Value
from lrcore.numerics.lengths import Span
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import MAX_STEP, Factor, Rate, Schedule, StepCount, StepIndex
from lrcore.schedules.step import drops, rising


class _Timm(Schedule):
    """A warm-up from warmup_lr_init, then the shape: on its own clock with warmup_prefix, else on the same."""

    type: str
    warmup_t: StepIndex = Field(0, description="steps of the linear warm-up")
    warmup_lr_init: Rate = Field(0.0, description="rate at its first step")
    warmup_prefix: Flag = Field(False, description="whether the shape begins after the warm-up, or under it")

    def cost(self, load: Load) -> float:
        shift = self.warmup_t if self.warmup_prefix else 0
        after = load.part(self.warmup_t).shifted(-shift)
        return cost.plain(load.part(0, self.warmup_t)) + self.shape_cost(after)

    def _warm_to(self, base_lr: float) -> float:
        return base_lr

    def shape_cost(self, load: Load) -> float:
        """`cost` of `shape`."""
        raise NotImplementedError

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm = self.warmup_t
        after = formulas.apart(self.shape(T, base_lr), t - warm if self.warmup_prefix else t)
        return formulas.piecewise(
            t, [warm], [formulas.line(t, warm, self.warmup_lr_init, self._warm_to(base_lr)), after]
        )

    def shape(self, t: Node, base_lr: float) -> Value:
        """The rate without the warm-up."""
        raise NotImplementedError


class _Cyclic(_Timm):
    t_initial: StepCount = Field(description="steps of the first cycle")
    lr_min: Rate = 0.0
    cycle_mul: Annotated[Factor, Field(ge=0.01, le=1000)] = 1.0
    cycle_decay: Rate = 1.0
    cycle_limit: Annotated[int, Whole(ge=1, le=MAX_STEP)] = 1

    @model_validator(mode="after")
    def _cycles_can_be_counted(self) -> Self:
        if 1 < self.cycle_mul < shapes.FASTEST:
            raise ValueError(f"cycle_mul must be at most 1 or at least {shapes.FASTEST}")
        if self.cycle_mul < 1 and self.cycle_limit > shapes.MAX_CYCLES:
            raise ValueError(f"cycle_limit must be at most {shapes.MAX_CYCLES} where cycles become shorter")
        return self

    @property
    def listed(self) -> int:
        return 0 if self.cycle_mul == 1 else 3 * shapes.listed_cycles(self.cycle_mul, self.cycle_limit)

    @property
    def horizon(self) -> int | None:
        end = round(shapes.cycle_start(self.t_initial, self.cycle_mul, min(self.cycle_limit, shapes.MAX_CYCLES)))
        return end + (self.warmup_t if self.warmup_prefix else 0)

    def shape_cost(self, load: Load) -> float:
        return shapes.cycles_cost(load, self.t_initial, self.cycle_mul, self._unit_cost, self.cycle_limit)

    @property
    def _unit_cost(self) -> float:
        """Nanoseconds a step of `_unit`, beside those of a half cosine."""
        raise NotImplementedError

    def shape(self, t: Node, base_lr: float) -> Value:
        def amplitude(cycle: Value) -> Value:
            return (base_lr if self.cycle_decay == 1 else base_lr * self.cycle_decay**cycle) - self.lr_min

        cycles = shapes.Cycles(self.t_initial, self.cycle_mul, self._unit, amplitude, self.lr_min, self.cycle_limit)
        return cycles.formula_at(t)

    def _unit(self, t: Value, length: float) -> Value:
        raise NotImplementedError


class CosineLRScheduler(_Cyclic):
    """Half cosines from base_lr * cycle_decay ** i to lr_min in cycles of t_initial * cycle_mul ** i steps.

    After cycle_limit cycles the rate is lr_min. With k_decay the share of the way is t ** k / T ** k.
    """

    summary = "half cosines with cycles that may grow and decay, warm-up, and lr_min at the end"
    formula = "lr_min + (base_lr * cycle_decay ** i - lr_min) * (1 + cos(pi * t_curr ** k_decay / t_i ** k_decay)) / 2"
    origin = "timm.scheduler.CosineLRScheduler"
    example = {"type": "CosineLRScheduler", "t_initial": 50, "lr_min": 1e-5, "warmup_t": 5, "warmup_lr_init": 1e-4}

    type: Literal["CosineLRScheduler"]
    k_decay: Factor = 1.0

    @property
    def _unit_cost(self) -> float:
        return 0.0 if self.k_decay == 1 else cost.POWER + cost.TRIG

    def _unit(self, t: Value, length: float) -> Value:
        if self.k_decay == 1:
            return shapes.half_cosine(t, length)
        return shapes.unit_cosine(formulas.raised(t / length, self.k_decay))


class TanhLRScheduler(_Cyclic):
    """lr_min + (base_lr * cycle_decay ** i - lr_min) * (1 - tanh(lb * (1 - u) + ub * u)) / 2 in each cycle.

    The warm-up without warmup_prefix ends at the shape's own rate there, not at base_lr.
    """

    summary = "falls along a hyperbolic tangent, in cycles"
    formula = "lr_min + (base_lr * cycle_decay ** i - lr_min) * (1 - tanh(lb * (1 - u) + ub * u)) / 2"
    origin = "timm.scheduler.TanhLRScheduler"
    example = {"type": "TanhLRScheduler", "t_initial": 50}

    type: Literal["TanhLRScheduler"]
    lb: Annotated[Number, Field(ge=-1000, le=1000)] = -7.0
    ub: Annotated[Number, Field(ge=-1000, le=1000)] = 3.0

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.lb >= self.ub:
            raise ValueError(f"lb ({self.lb:g}) must be less than ub ({self.ub:g})")
        return self

    def cost(self, load: Load) -> float:
        at = Load(self.warmup_t, self.warmup_t, load.calls, load.calls)
        return super().cost(load) + (0.0 if self.warmup_prefix else self.shape_cost(at))

    def _warm_to(self, base_lr: float) -> float:
        return base_lr if self.warmup_prefix else value_at(self.shape(T, base_lr), self.warmup_t)

    @property
    def _unit_cost(self) -> float:
        return cost.EXP + 5 * cost.ARITHMETIC

    def _unit(self, t: Value, length: float) -> Value:
        u = t / length
        return (1 - formulas.call("tanh", self.lb * (1 - u) + self.ub * u)) / 2


class PolyLRScheduler(_Cyclic):
    """lr_min + (base_lr * cycle_decay ** i - lr_min) * (1 - t ** k / T ** k) ** power in each cycle, k = k_decay."""

    summary = "falls along a power of the distance left, in cycles"
    formula = "lr_min + (base_lr * cycle_decay ** i - lr_min) * (1 - t_curr ** k_decay / t_i ** k_decay) ** power"
    origin = "timm.scheduler.PolyLRScheduler"
    example = {"type": "PolyLRScheduler", "t_initial": 50, "power": 0.5}

    type: Literal["PolyLRScheduler"]
    power: Factor = 0.5
    k_decay: Factor = 1.0

    @property
    def _unit_cost(self) -> float:
        return 2 * cost.POWER

    def _unit(self, t: Value, length: float) -> Value:
        return (1 - (t / length) ** self.k_decay) ** self.power


class StepLRScheduler(_Timm):
    """base_lr * decay_rate ** floor(t / decay_t) after the warm-up. decay_t may be 2.4, as in timm's recipes."""

    summary = "multiplies the rate by decay_rate every decay_t steps, after a warm-up"
    formula = "base_lr * decay_rate ** floor(t / decay_t)"
    origin = "timm.scheduler.StepLRScheduler"
    example = {"type": "StepLRScheduler", "decay_t": 30, "decay_rate": 0.1, "warmup_t": 5}

    type: Literal["StepLRScheduler"]
    decay_t: Annotated[float, Span(le=MAX_STEP)]
    decay_rate: Factor = 1.0
    warmup_prefix: Flag = True

    def shape_cost(self, load: Load) -> float:
        if isinstance(self.decay_t, int):
            return cost.runs(load, self.decay_t)
        return cost.formula(load, cost.REMAINDER + cost.POWER + 2 * cost.ARITHMETIC)

    def shape(self, t: Node, base_lr: float) -> Value:
        return formulas.power(t // self.decay_t, self.decay_rate, base_lr)


class MultiStepLRScheduler(_Timm):
    """base_lr * decay_rate ** (number of milestones <= t + 1): timm drops one step before each milestone."""

    summary = "multiplies the rate by decay_rate one step before each milestone, after a warm-up"
    formula = "base_lr * decay_rate ** count(decay_t <= t + 1)"
    origin = "timm.scheduler.MultiStepLRScheduler"
    example = {"type": "MultiStepLRScheduler", "decay_t": [30, 60], "decay_rate": 0.1}

    type: Literal["MultiStepLRScheduler"]
    decay_t: Annotated[tuple[StepIndex, ...], Items(10_000, least=1)]
    decay_rate: Factor = 1.0
    warmup_prefix: Flag = True

    @field_validator("decay_t")
    @classmethod
    def _rising(cls, milestones: tuple[int, ...]) -> tuple[int, ...]:
        return rising(milestones)

    def shape_cost(self, load: Load) -> float:
        return cost.listed(load, len(self.decay_t))

    def shape(self, t: Node, base_lr: float) -> Value:
        return drops(t, [max(0, step - 1) for step in self.decay_t], base_lr, self.decay_rate)


class WSDLRScheduler(Schedule):
    """Warm-up, a stable phase, and a decay to lr_min in the last decay_t of t_initial steps, which it then holds.

    stable(s) is 1, (1 + s / stable_timescale) ** -0.5 or ** -stable_power, of the steps s since the warm-up, and
    goes on under the decay; the stable rate is never below lr_min. t_initial does not include the warm-up.
    """

    summary = "warm-up, stable, decay; the stable phase may fall with a power of the step"
    formula = "lr_min + (max(base_lr * stable(s), lr_min) - lr_min) * decay(u)"
    origin = "timm.scheduler.WSDLRScheduler"
    example = {"type": "WSDLRScheduler", "t_initial": 90, "decay_t": 20, "warmup_t": 10}

    type: Literal["WSDLRScheduler"]
    t_initial: StepCount = Field(description="steps of the stable phase and the decay together")
    decay_t: StepCount = Field(description="steps of the decay")
    lr_min: Rate = 0.0
    stable_fn: Literal["constant", "rsqrt", "power"] = "constant"
    stable_timescale: Factor | None = Field(None, description="warmup_t if left out")
    stable_power: Factor = 0.5
    decay_fn: Literal["linear", "1-sqrt", "cosine", "power", "exp"] = "1-sqrt"
    decay_power: Factor = 0.5
    decay_ratio: Annotated[Number, Field(gt=0, lt=1)] = 0.1
    warmup_t: StepIndex = 0
    warmup_lr_init: Rate = 0.0

    @model_validator(mode="after")
    def _phases_fit(self) -> Self:
        if self.decay_t > self.t_initial:
            raise ValueError(f"decay_t ({self.decay_t}) must be at most t_initial ({self.t_initial})")
        if self.stable_fn != "constant" and not (self.stable_timescale or self.warmup_t):
            raise ValueError(f"stable_fn {self.stable_fn} needs a stable_timescale, or a warm-up to take it from")
        return self

    @property
    def horizon(self) -> int | None:
        return self.warmup_t + self.t_initial

    def cost(self, load: Load) -> float:
        return cost.plain(load) + 2 * load.values * cost.POWER

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm, begin, low = self.warmup_t, self.t_initial - self.decay_t, self.lr_min
        stable, u = self._stable(t - warm, base_lr), (t - warm - begin) / self.decay_t
        factor = shapes.decay(self.decay_fn, u, self.decay_power, self.decay_ratio)
        values = [formulas.line(t, warm, self.warmup_lr_init, base_lr), stable, low + (stable - low) * factor, low]
        return formulas.piecewise(t, [warm, warm + begin, warm + self.t_initial], values)

    def _stable(self, t: Node, base_lr: float) -> Value:
        if self.stable_fn == "constant":
            return max(base_lr, self.lr_min)
        power = 0.5 if self.stable_fn == "rsqrt" else self.stable_power
        falling = base_lr * formulas.raised(1 + t / (self.stable_timescale or self.warmup_t), -power)
        return formulas.call("max", falling, self.lr_min)
