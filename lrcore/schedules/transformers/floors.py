"""Schedules by the names and arguments of transformers, in float64: those that end at a rate that is given."""

from __future__ import annotations

from typing import Annotated, Literal, NoReturn, Self

from pydantic import Field, PrivateAttr, model_validator

from lrcore.errors import CurveError
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import PI, Node, Value
from lrcore.numerics.grid import Grid
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import Factor, Fraction, Rate, Rates, Schedule, StepCount, StepIndex
from lrcore.schedules.transformers._warm import RunSchedule


class _RelativeEnd(RunSchedule):
    """A lowest rate that is given for the optimizer's own rate: a group has as much more or less as its rate is."""

    _default_lr: float | None = PrivateAttr(None)

    def relative_to(self, default_lr: float) -> Self:
        copy = self.model_copy()
        copy._default_lr = default_lr
        return copy

    def for_group(self, lowest: float, base_lr: float) -> float:
        """Return what `lowest` is for a group whose rate is `base_lr`."""
        default = self._default_lr
        return lowest if not default or base_lr == default else lowest * (base_lr / default)


class TransformersPolynomial(_RelativeEnd):
    """After the warm-up, (base_lr - lr_end) * (1 - u) ** power + lr_end, and lr_end from num_training_steps on.

    lr_end is that of the first parameter group, whose rate is the optimizer's own. As in transformers, another group
    ends at the same fraction of its own rate.
    """

    summary = "linear warm-up from 0, then along a power of the distance left to lr_end"
    formula = "(base_lr - lr_end) * (1 - (t - w) / (N - w)) ** power + lr_end"
    origin = "transformers.get_scheduler('polynomial')"
    example = {"type": "polynomial", "num_warmup_steps": 10, "num_training_steps": 100, "power": 2.0}

    type: Literal["polynomial"]
    lr_end: Rate = 1e-7
    power: Factor = 1.0

    def cost(self, load: Load) -> float:
        return shapes.powered_cost(load, self.power)

    def after(self, t: Node, base_lr: float) -> Value:
        end = self.for_group(self.lr_end, base_lr)
        # transformers divides by 0 at the last step if the warm-up is just as long as the run
        left = t - self.num_warmup_steps
        falling = shapes.polynomial(left, self._decay_steps, base_lr, end, self.power) if self._has_decay else end
        if (self._default_lr or base_lr) > self.lr_end:
            return falling
        return formulas.filled(t, self._refuse, lambda: falling)

    def _refuse(self, out: Rates, t: Grid) -> NoReturn:
        raise CurveError(("schedule", "lr_end"), f"lr_end ({self.lr_end:g}) must be less than the initial rate")


class _Floored(_RelativeEnd):
    num_cycles: Annotated[Factor, Field(le=1e6)] = 0.5
    min_lr: Rate | None = Field(None, description="the lowest rate; or give min_lr_rate")
    min_lr_rate: Fraction | None = Field(None, description="the lowest rate as a fraction of the initial one")

    @model_validator(mode="after")
    def _one_floor(self) -> Self:
        if (self.min_lr is None) == (self.min_lr_rate is None):
            raise ValueError("give either min_lr or min_lr_rate")
        return self

    def relative_to(self, default_lr: float) -> Self:
        return self if self.min_lr is None else super().relative_to(default_lr)

    def floor(self, base_lr: float) -> float:
        """Return the lowest rate of a group."""
        return (self.min_lr_rate or 0.0) * base_lr if self.min_lr is None else self.for_group(self.min_lr, base_lr)


class CosineWithMinLr(_Floored):
    """After the warm-up, num_cycles waves of a cosine between base_lr and the lowest rate.

    min_lr is that of the first parameter group, whose rate is the optimizer's own. As in transformers, another group
    goes down to the same fraction of its own rate.
    """

    summary = "linear warm-up from 0, then waves of a cosine down to a lowest rate"
    formula = "min_lr + (base_lr - min_lr) * (1 + cos(2 * pi * num_cycles * (t - w) / (N - w))) / 2"
    origin = "transformers.get_scheduler('cosine_with_min_lr')"
    example = {"type": "cosine_with_min_lr", "num_warmup_steps": 10, "num_training_steps": 100, "min_lr_rate": 0.1}

    type: Literal["cosine_with_min_lr"]

    def cost(self, load: Load) -> float:
        after = load.part(self.num_warmup_steps).shifted(-self.num_warmup_steps)
        return cost.plain(load) + shapes.wave_cost(after, self._decay_steps, 2 * self.num_cycles)

    def after(self, t: Node, base_lr: float) -> Value:
        u, low = t - self.num_warmup_steps, self.floor(base_lr)
        return shapes.wave(u, self._decay_steps, 2 * self.num_cycles, base_lr, low)


class CosineWarmupWithMinLr(_Floored):
    """As cosine_with_min_lr, one step ahead: the first rate is not 0, and the lowest is reached at the run's last step.

    The warm-up is base_lr * (t + 1) / num_warmup_steps, or with warmup_lr_rate a line from that fraction of base_lr
    at step 0 to base_lr at the warm-up's last step.
    """

    summary = "linear warm-up from above 0, then waves of a cosine that end at the run's last step"
    formula = "min_lr + (base_lr - min_lr) * (1 + cos(2 * pi * num_cycles * (t - w + 1) / (N - w))) / 2"
    origin = "transformers.get_scheduler('cosine_warmup_with_min_lr')"
    example = {
        "type": "cosine_warmup_with_min_lr",
        "num_warmup_steps": 10,
        "num_training_steps": 100,
        "min_lr_rate": 0.1,
    }

    type: Literal["cosine_warmup_with_min_lr"]
    warmup_lr_rate: Rate | None = None

    def cost(self, load: Load) -> float:
        after = load.part(self.num_warmup_steps).shifted(1 - self.num_warmup_steps)
        return cost.plain(load) + shapes.wave_cost(after, self._decay_steps, 2 * self.num_cycles)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm, first = self.num_warmup_steps, self.warmup_lr_rate
        if first is None:
            ramp = formulas.line(t + 1, warm, 0.0, base_lr)
        else:
            ramp = formulas.line(t, max(1, warm - 1), first * base_lr, base_lr)
        return formulas.piecewise(t, [warm], [ramp, self.after(t, base_lr)])

    def after(self, t: Node, base_lr: float) -> Value:
        ahead, low = t - (self.num_warmup_steps - 1), self.floor(base_lr)
        return shapes.wave(ahead, self._decay_steps, 2 * self.num_cycles, base_lr, low)


class WarmupStableDecay(Schedule):
    """Warm-up from min_lr_ratio, a stable phase at base_lr, a decay to min_lr_ratio of it, which it then holds."""

    summary = "warm-up, stable, decay, each from and to a fraction of the rate"
    formula = "base_lr * (min_lr_ratio + (1 - min_lr_ratio) * (warm-up(u) | 1 | decay(v)))"
    origin = "transformers.get_scheduler('warmup_stable_decay')"
    example = {
        "type": "warmup_stable_decay",
        "num_warmup_steps": 10,
        "num_stable_steps": 60,
        "num_decay_steps": 30,
    }

    type: Literal["warmup_stable_decay"]
    num_warmup_steps: StepIndex
    num_decay_steps: StepIndex
    num_training_steps: StepCount | None = Field(None, description="steps of the run; or give num_stable_steps")
    num_stable_steps: StepIndex | None = None
    warmup_type: Literal["linear", "cosine", "1-sqrt"] = "linear"
    decay_type: Literal["linear", "cosine", "1-sqrt"] = "cosine"
    min_lr_ratio: Fraction = 0.0
    num_cycles: Annotated[Factor, Field(le=1e6)] = 0.5

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.num_training_steps is None) == (self.num_stable_steps is None):
            raise ValueError("give either num_training_steps or num_stable_steps")
        return self

    @property
    def _begin(self) -> int:
        """The first step of the decay. It lies in the warm-up, which hides its first part, if the run is too short."""
        if self.num_training_steps is None:
            return self.num_warmup_steps + (self.num_stable_steps or 0)
        return self.num_training_steps - self.num_decay_steps

    @property
    def _edges(self) -> tuple[int, int, int]:
        """The ends of the warm-up, the stable phase and the decay."""
        warm, begin = self.num_warmup_steps, self._begin
        return warm, max(warm, begin), max(warm, begin + self.num_decay_steps)

    @property
    def horizon(self) -> int | None:
        _, begin, end = self._edges
        return end if end > begin else None

    def cost(self, load: Load) -> float:
        begin = self._begin
        falling = load.part(self._edges[1], self._edges[2]).shifted(-begin)
        return cost.plain(load) + shapes.wave_cost(falling, self.num_decay_steps, 2 * self.num_cycles)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm, last, begin = max(1, self.num_warmup_steps), max(1, self.num_decay_steps), self._begin
        low = base_lr * self.min_lr_ratio
        if self.decay_type == "cosine":
            fall = shapes.wave(t - begin, last, 2 * self.num_cycles, base_lr, low)
        else:
            fall = low + (base_lr - low) * shapes.decay(self.decay_type, (t - begin) / last)
        values = [low + (base_lr - low) * self._rise(t, warm), base_lr, fall, low]
        return formulas.piecewise(t, self._edges, values)

    def _rise(self, t: Node, warm: int) -> Value:
        u = t / warm
        match self.warmup_type:
            case "linear":
                return u
            case "cosine":
                sine = formulas.call("sin", PI / 2 * u)
                return formulas.written(sine**2, lambda: 1 - shapes.decay("cosine", u))
        root = 1 - formulas.call("sqrt", 1 - u)
        return formulas.written(root, lambda: 1 - formulas.call("sqrt", (warm - t) / warm))
