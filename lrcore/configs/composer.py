"""Composer and llm-foundry: a scheduler with its time strings, alone or in the YAML of a run."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field

from lrcore.configs._base import Context, Found, Json, Options, Path, an_object, choose, rate_of, section, validated
from lrcore.configs._pieces import CONSTANT, cosine_to, line, line_to, polynomial, scaled, sequence, shifted, warm_up
from lrcore.errors import CurveError
from lrcore.family import Flag, Items, Number
from lrcore.schedules._base import Factor, Fraction, Rate

TIME = re.compile(r"(\d{1,15}(?:\.\d{1,15})?(?:e[+-]?\d{1,2})?)(ba|ep|dur|sp|tok|sec|iter)", re.ASCII)
Time = str | int
MAX_CYCLES = 31
KEYS = ("name", "class_name", "type")


class _Times:
    """Time strings as steps."""

    def __init__(self, context: Context, duration: Any, path: Path) -> None:
        self._context, self._duration, self.path = context, duration, path
        self.known = context.total_steps

    def steps(self, name: str, time: Time) -> int:
        """Steps of a time string, rounded down as Composer does. Raises CurveError, Needed."""
        value, unit = self._read(time, (*self.path, name))
        if unit == "ba":
            return int(value)
        return int(value * (self._context.epoch() if unit == "ep" else self.total()))

    def total(self) -> int:
        """Steps of the run. Raises CurveError, Needed."""
        if self.known is None:
            if self._duration is None:
                return self._context.total()
            value, unit = self._read(self._duration, ("max_duration",))
            if unit == "dur":
                raise CurveError(("max_duration",), "the duration must be in batches (ba) or epochs (ep)")
            self.known = max(1, int(value * (self._context.epoch() if unit == "ep" else 1)))
        return self.known

    def _read(self, time: Any, path: Path) -> tuple[float, str]:
        if isinstance(time, int) and not isinstance(time, bool) and 0 <= time <= 10**15:
            return float(time), "ep" if path == ("max_duration",) else "ba"
        match = TIME.fullmatch(time) if isinstance(time, str) else None
        if match is None:
            raise CurveError(path, "Input should be a time such as 100ba, 30ep or 0.1dur")
        if match[2] not in ("ba", "ep", "dur"):
            raise CurveError(path, f"times in {match[2]} are not supported: give them in ba, ep or dur")
        return float(match[1]), match[2]


class _Scheduler(Options):
    """What all classes of Composer have in common."""

    def warm(self, times: _Times) -> int:
        """Steps of the warm-up."""
        return 0

    def schedule(self, times: _Times, rate: float) -> Json:
        """The schedule, for an optimizer of that rate."""
        raise NotImplementedError


class _Ramped(_Scheduler):
    t_warmup: Time
    scale_warmup: Flag = False

    def warm(self, times: _Times) -> int:
        return times.steps("t_warmup", self.t_warmup)


class _Step(_Scheduler):
    step_size: Time
    gamma: Factor = 0.1

    def schedule(self, times: _Times, rate: float) -> Json:
        return {"type": "StepLR", "step_size": times.steps("step_size", self.step_size), "gamma": self.gamma}


class _MultiStep(_Scheduler):
    milestones: Annotated[list[Time], Items(1000)]
    gamma: Factor = 0.1

    def schedule(self, times: _Times, rate: float) -> Json:
        steps = sorted(times.steps("milestones", milestone) for milestone in self.milestones)
        down: Json = {"type": "MultiStepLR", "milestones": steps, "gamma": self.gamma}
        warm = self.warm(times)  # the milestones count from the beginning of the run
        return sequence([(warm_up(warm, CONSTANT), warm), (shifted(down, warm), None)])


class _MultiStepWithWarmUp(_MultiStep, _Ramped):
    pass


class _Constant(_Scheduler):
    alpha: Rate = 1.0
    t_max: Time = "1dur"

    def schedule(self, times: _Times, rate: float) -> Json:
        return sequence([(scaled(CONSTANT, self.alpha), times.steps("t_max", self.t_max)), (CONSTANT, None)])


class _ConstantWithWarmUp(_Ramped):
    alpha: Rate = 1.0
    t_max: Time = "1dur"

    def schedule(self, times: _Times, rate: float) -> Json:
        return warm_up(self.warm(times), scaled(CONSTANT, self.alpha))


class _Linear(_Scheduler):
    alpha_i: Rate = 1.0
    alpha_f: Rate = 0.0
    t_max: Time = "1dur"

    def schedule(self, times: _Times, rate: float) -> Json:
        warm = self.warm(times)
        steps = times.steps("t_max", self.t_max) - warm
        if steps < 1:
            return warm_up(warm, scaled(CONSTANT, self.alpha_i))
        if self.alpha_i == 1 and self.alpha_f <= 1:
            return warm_up(warm, line_to(steps, self.alpha_f))
        return warm_up(warm, line(rate * self.alpha_i, rate * self.alpha_f, steps))


class _LinearWithWarmUp(_Linear, _Ramped):
    pass


class _Exponential(_Scheduler):
    gamma: Factor
    decay_period: Time = "1ep"

    def schedule(self, times: _Times, rate: float) -> Json:
        period = max(1, times.steps("decay_period", self.decay_period))
        return {"type": "ExponentialLR", "gamma": self.gamma ** (1 / period)}


class _Cosine(_Scheduler):
    t_max: Time = "1dur"
    alpha_f: Fraction = 0.0

    def schedule(self, times: _Times, rate: float) -> Json:
        warm = self.warm(times)
        steps = times.steps("t_max", self.t_max) - warm
        return warm_up(warm, cosine_to(steps, self.alpha_f) if steps > 0 else CONSTANT)


class _CosineWithWarmUp(_Cosine, _Ramped):
    pass


class _Restarts(_Scheduler):
    t_0: Time
    t_mult: Annotated[Number, Field(ge=1, le=1000)] = 1.0
    alpha_f: Fraction = 0.0

    def schedule(self, times: _Times, rate: float) -> Json:
        first = times.steps("t_0", self.t_0)
        if self.t_mult == int(self.t_mult):
            turns = {"T_0": first, "T_mult": int(self.t_mult), "eta_min": rate * self.alpha_f}
            return {"type": "CosineAnnealingWarmRestarts"} | turns
        cycles: list[tuple[Json, int | None]] = []
        length, end, total = first, 0, times.total()
        while end < total and length:  # each length is rounded down from the one before
            cycles.append((cosine_to(length, self.alpha_f), length))
            if len(cycles) > MAX_CYCLES:
                raise CurveError(
                    (*times.path, "t_mult"), f"more than {MAX_CYCLES} cycles are not supported: give a larger t_mult"
                )
            end, length = end + length, int(self.t_mult * length)
        return sequence(cycles or [(CONSTANT, None)])


class _Polynomial(_Scheduler):
    power: Factor
    t_max: Time = "1dur"
    alpha_f: Fraction = 0.0

    def schedule(self, times: _Times, rate: float) -> Json:
        warm = self.warm(times)
        steps = times.steps("t_max", self.t_max) - warm
        return warm_up(warm, polynomial(steps, self.power, rate * self.alpha_f) if steps > 0 else CONSTANT)


class _PolynomialWithWarmUp(_Ramped, _Polynomial):
    power: Factor = 2.0


class _InverseSquareRoot(_Ramped):
    t_scale: Time
    t_cooldown: Time
    t_max: Time = "1dur"
    alpha_f_decay: Fraction = 0.0
    alpha_f_cooldown: Fraction = 0.0

    def schedule(self, times: _Times, rate: float) -> Json:
        if self.alpha_f_decay < self.alpha_f_cooldown:
            raise CurveError((*times.path, "alpha_f_decay"), "it must be at least alpha_f_cooldown")
        warm, scale = self.warm(times), times.steps("t_scale", self.t_scale)
        last, total = times.steps("t_cooldown", self.t_cooldown), times.steps("t_max", self.t_max)
        if scale < 1:
            raise CurveError((*times.path, "t_scale"), "it must be at least 1ba")
        begin, low = max(warm, total - last), self.alpha_f_decay
        down = {"type": "LambdaLR", "lr_lambda": f"{low!r} + {1 - low!r} / sqrt((epoch + {scale}) / {scale})"}
        high = rate * (low + (1 - low) / ((begin - warm + scale) / scale) ** 0.5)
        after = line(high, rate * self.alpha_f_cooldown if last else high, last)
        return sequence([(warm_up(warm, CONSTANT), warm), (down, begin - warm), (after, None)])


CLASSES: dict[str, type[_Scheduler]] = {
    "ConstantScheduler": _Constant,
    "ConstantWithWarmupScheduler": _ConstantWithWarmUp,
    "CosineAnnealingScheduler": _Cosine,
    "CosineAnnealingWarmRestartsScheduler": _Restarts,
    "CosineAnnealingWithWarmupScheduler": _CosineWithWarmUp,
    "ExponentialScheduler": _Exponential,
    "InverseSquareRootWithWarmupScheduler": _InverseSquareRoot,
    "LinearScheduler": _Linear,
    "LinearWithWarmupScheduler": _LinearWithWarmUp,
    "MultiStepScheduler": _MultiStep,
    "MultiStepWithWarmupScheduler": _MultiStepWithWarmUp,
    "PolynomialScheduler": _Polynomial,
    "PolynomialWithWarmupScheduler": _PolynomialWithWarmUp,
    "StepScheduler": _Step,
}
FOUNDRY = {
    "constant_with_warmup": "ConstantWithWarmupScheduler",
    "cosine_with_warmup": "CosineAnnealingWithWarmupScheduler",
    "inv_sqrt_with_warmup": "InverseSquareRootWithWarmupScheduler",
    "linear_decay_with_warmup": "LinearWithWarmupScheduler",
}  # llm-foundry's names


def fits(config: Any) -> bool:
    """Whether this looks like Composer's, or llm-foundry's."""
    if not isinstance(config, dict):
        return False
    block = config.get("scheduler", config)
    return isinstance(block, dict) and any(_class(block.get(key)) in (*CLASSES, *FOUNDRY) for key in KEYS)


def read(config: Any, context: Context) -> Found:
    """Read the scheduler, the rate of the optimizer and max_duration."""
    config = an_object(config)
    whole = "scheduler" in config
    path: Path = ("scheduler",) if whole else ()
    block = section(config, "scheduler") if whole else config
    key = next((key for key in KEYS if key in block), KEYS[0])
    name = choose(_class(block.get(key)), (*CLASSES, *FOUNDRY), "the scheduler", (*path, key))
    given = {each: value for each, value in block.items() if each != key}
    found = validated(CLASSES[FOUNDRY.get(name, name)], given, path)
    if whole:
        context.left_out(config.keys() - {"scheduler", "optimizer", "max_duration"})
    rate = context.rate(rate_of(section(config, "optimizer"), ("optimizer",)) if whole else None)
    times = _Times(context, config.get("max_duration") if whole else block.get("max_duration"), path)
    schedule = found.schedule(times, rate)
    return Found(schedule, rate, times.known)


def _class(name: Any) -> Any:
    """The name of a class without its module, as Python has it."""
    return name.rpartition(".")[2] if isinstance(name, str) and name.startswith("composer.") else name
