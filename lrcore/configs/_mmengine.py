"""mmengine's schedulers, each with its schedule from its own beginning."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from lrcore.configs._base import Json, Options
from lrcore.configs._pieces import CONSTANT, fixed, from_rate, scaled, sequence
from lrcore.errors import CurveError
from lrcore.family import Flag, Items, Name, Number
from lrcore.schedules._base import Count, Factor, Fraction, Index, Rate

Time = Annotated[Number, Field(ge=0, le=1e12)]
INF = 10**9  # mmengine's own


class Scheduler(Options):
    """What every class of mmengine takes. Times are in epochs if `by_epoch`."""

    holds: ClassVar[bool] = False  # whether the rate stays where it is at the end

    type: Name
    begin: Time = 0
    end: Time = INF
    by_epoch: Flag = True
    convert_to_iter_based: Flag = False
    last_step: Literal[-1] = -1
    verbose: Flag = False

    def multiplies(self) -> bool:
        """Whether it multiplies the rate in force by a factor of the step alone."""
        return True

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        """The schedule from its own step 0.

        Args:
            steps: how many of its own it has, converted if they are.
            unit: optimizer steps in each of them.
            rate: in force at its beginning.
        """
        raise NotImplementedError


class Step(Scheduler):
    step_size: Count
    gamma: Factor = 0.1

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        return {"type": "StepLR", "step_size": self.step_size * unit, "gamma": self.gamma}


class MultiStep(Scheduler):
    milestones: Annotated[list[Index], Items(10_000)]
    gamma: Factor = 0.1

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        return {"type": "MultiStepLR", "milestones": sorted(m * unit for m in self.milestones), "gamma": self.gamma}


class Constant(Scheduler):
    holds = True

    factor: Fraction = 1 / 3

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        if steps >= INF:
            return scaled(CONSTANT, self.factor)
        return {"type": "ConstantLR", "factor": self.factor, "total_iters": _last(steps) * unit}


class Exponential(Scheduler):
    gamma: Factor

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        if unit == 1:
            return {"type": "ExponentialLR", "gamma": self.gamma}
        return {"type": "StepLR", "step_size": unit, "gamma": self.gamma}


class Linear(Scheduler):
    holds = True

    start_factor: Annotated[Fraction, Field(gt=0)] = 1 / 3
    end_factor: Fraction = 1.0

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        start, end, last = self.start_factor, self.end_factor, _last(steps)
        if unit == 1:
            return {"type": "LinearLR", "start_factor": start, "end_factor": end, "total_iters": last}
        return _held(f"{start!r} + {end - start!r} * min({{t}}, {last}) / {last}", unit)


class Cosine(Scheduler):
    T_max: Count | None = None
    eta_min: Rate | None = None
    eta_min_ratio: Fraction | None = None

    def multiplies(self) -> bool:
        return not (self.eta_min or self.eta_min_ratio)

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        period, low = self.T_max or steps, self.eta_min or 0.0
        if unit == 1:
            return {"type": "CosineAnnealingLR", "T_max": period} | ({"eta_min": low} if low else {})
        least = low / rate if rate else 0.0
        return _held(f"{least!r} + {1 - least!r} * (1 + cos(pi * {{t}} / {period})) / 2", unit)


class CosineRestart(Scheduler):
    periods: Annotated[list[Count], Items(30, least=1)]
    restart_weights: Annotated[list[Rate], Items(30, least=1)] = [1.0]
    eta_min: Rate | None = None
    eta_min_ratio: Fraction | None = None

    def multiplies(self) -> bool:
        return False

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        if unit != 1:
            raise CurveError(("by_epoch",), "restarts by epochs are not supported here: set convert_to_iter_based")
        if len(self.restart_weights) != len(self.periods):
            raise CurveError(("restart_weights",), f"there must be as many as periods, {len(self.periods)}")
        low = self.eta_min or 0.0
        parts: list[tuple[Json, int | None]] = []
        for period, weight in zip(self.periods, self.restart_weights, strict=True):
            down = {"type": "CosineAnnealingLR", "T_max": period} | ({"eta_min": low} if low else {})
            parts.append((down if weight == 1 else from_rate(rate * weight, down), period))
        last, weight = self.periods[-1], self.restart_weights[-1]
        held = low + (rate * weight - low) * (1 + math.cos(math.pi * (last - 1) / last)) / 2
        return sequence([*parts, (fixed(held), None)])


class Poly(Scheduler):
    holds = True

    eta_min: Rate = 0.0
    power: Factor = 1.0

    def multiplies(self) -> bool:
        return not self.eta_min

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        last = _last(steps)
        if unit == 1:
            low = {"lr_min": self.eta_min} if self.eta_min else {}
            return {"type": "PolyLRScheduler", "t_initial": last, "power": self.power} | low
        least = self.eta_min / rate if rate else 0.0
        return _held(f"{least!r} + {1 - least!r} * (1 - min({{t}}, {last}) / {last}) ** {self.power!r}", unit)


class OneCycle(Scheduler):
    eta_max: Rate
    total_steps: Count | None = None
    pct_start: Fraction = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    div_factor: Factor = 25.0
    final_div_factor: Factor = 1e4
    three_phase: Flag = False

    def multiplies(self) -> bool:
        return False

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        if unit != 1:
            raise CurveError(("by_epoch",), "a cycle by epochs is not supported here: set convert_to_iter_based")
        names = ("pct_start", "anneal_strategy", "div_factor", "final_div_factor", "three_phase")
        run = {"max_lr": self.eta_max, "total_steps": self.total_steps or steps, "cycle_momentum": False}
        return {"type": "OneCycleLR"} | run | {name: getattr(self, name) for name in names}


class Plateau(Scheduler):
    monitor: Name = "val_loss"
    rule: Literal["less", "greater"] = "less"
    factor: Factor = 0.1
    patience: Index = 10
    threshold: Rate = 1e-4
    threshold_rule: Literal["rel", "abs"] = "rel"
    cooldown: Index = 0
    min_value: Rate = 0.0
    eps: Rate = 1e-8

    def multiplies(self) -> bool:
        return False

    def spec(self, steps: int, unit: int, rate: float) -> Json:
        if unit != 1:
            raise CurveError(("by_epoch",), "what follows a metric cannot stand beside schedulers by iterations here")
        names = {"threshold_rule": "threshold_mode", "min_value": "min_lr"}
        given = self.model_dump(exclude={*Scheduler.model_fields, "monitor", "rule"}, exclude_unset=True)
        mode = {"mode": "min" if self.rule == "less" else "max"}
        return {"type": "ReduceLROnPlateau"} | mode | {names.get(name, name): value for name, value in given.items()}


CLASSES: dict[str, type[Scheduler]] = {
    "ConstantLR": Constant,
    "CosineAnnealingLR": Cosine,
    "CosineRestartLR": CosineRestart,
    "ExponentialLR": Exponential,
    "LinearLR": Linear,
    "MultiStepLR": MultiStep,
    "OneCycleLR": OneCycle,
    "PolyLR": Poly,
    "ReduceOnPlateauLR": Plateau,
    "StepLR": Step,
}
NEEDS_END = (Linear, Poly, Cosine, OneCycle)


def _last(steps: int) -> int:
    """The last of so many steps, at which a scheduler of mmengine reaches its end. Raises CurveError."""
    if steps < 2:
        raise CurveError(("end",), "a scheduler of a single step has no end: set convert_to_iter_based, or end")
    return steps - 1


def _held(expression: str, unit: int) -> Json:
    """A factor of the epoch, as a function of the step."""
    return {"type": "LambdaLR", "lr_lambda": expression.format(t=f"(epoch // {unit})")}
