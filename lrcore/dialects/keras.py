"""keras.optimizers.schedules: its own classes by their names, else a class of its kind over the formula."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from lrcore.dialects import _arrays as arrays
from lrcore.dialects._arrays import AFTER_ONE_COSINE, BAD_END, LATE, Native
from lrcore.dialects._base import KERAS, Translation, written
from lrcore.errors import CurveError
from lrcore.family import Name, Whole, home_of
from lrcore.numerics.formulas import powers
from lrcore.schedules import Schedule
from lrcore.schedules._base import Rate, TorchSchedule
from lrcore.schedules.compose import SequentialLR
from lrcore.schedules.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from lrcore.schedules.d2l import CosineScheduler
from lrcore.schedules.exponential import ExponentialLR
from lrcore.schedules.factor import LinearLR, PolynomialLR
from lrcore.schedules.keras import CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PolynomialDecay
from lrcore.schedules.optax import (
    CosineDecaySchedule,
    LinearSchedule,
    OptaxExponentialDecay,
    PiecewiseConstantSchedule,
    PolynomialSchedule,
    WarmupCosineDecaySchedule,
    WarmupExponentialDecaySchedule,
)
from lrcore.schedules.optax._parts import knots
from lrcore.schedules.paddle import PiecewiseDecay
from lrcore.schedules.plateau import Count, FactorBelowOne
from lrcore.schedules.step import MultiStepLR, StepLR

IMPORTS = ["import keras\nfrom keras import ops"]
END = """class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return rate(ops.cast(step, "{step}32"))

    def get_config(self):
        return {}


schedule = Schedule()"""
RESTARTS = "Keras finds restarts by a quotient or a logarithm in float32 and may miss one by a step"
MAX_BOUNDARIES = 1000  # Keras tells them apart one by one


def translate(schedule: Schedule, base_lr: float) -> Translation:
    """The schedule as `schedule`, a callable of the step."""
    found = native(schedule, base_lr) if arrays.fits(schedule) else None
    if found is not None:
        return arrays.of_native(found, ["import keras"], schedule, base_lr)
    return arrays.of_formula(schedule, base_lr, KERAS, IMPORTS, END, "Keras")


def native(schedule: Schedule, lr: float) -> Native | None:
    """The schedule by Keras' own class; None if Keras has none."""
    if isinstance(schedule, TorchSchedule) and schedule.last_epoch != -1:
        return None
    if home_of(type(schedule)) == "keras":
        arguments = schedule.model_dump(include=schedule.model_fields_set - {"type"}, exclude_none=True)
        return _class(schedule.name(), _differs(schedule), **arguments)
    return _of_torch(schedule, lr) or _of_cosine(schedule, lr) or _of_optax(schedule)


def _differs(schedule: Schedule) -> str | None:
    """Return what Keras does otherwise than its documentation says; None if nothing."""
    match schedule:
        case CosineDecayRestarts() | PolynomialDecay(cycle=True):
            return RESTARTS
        case ExponentialDecay(staircase=True) | InverseTimeDecay(staircase=True):
            steps = schedule.decay_steps
            return LATE.format(steps) if arrays.floors_late(steps) else None
        case PolynomialDecay():
            steps = schedule.decay_steps
            return BAD_END.format(steps) if arrays.ends_badly(steps, schedule.power) else None
    return None


def _class(name: str, differs: str | None = None, **arguments: Any) -> Native:
    return Native(written(f"keras.optimizers.schedules.{name}", **arguments), differs)


def _exponential(start: float, per: int, rate: float, staircase: bool) -> Native | None:
    if staircase and arrays.floors_late(per):
        return None
    stairs: dict[str, Any] = {"staircase": True} if staircase else {}
    return _class("ExponentialDecay", initial_learning_rate=start, decay_steps=per, decay_rate=rate, **stairs)


def _polynomial(start: float, end: float, steps: int, power: float) -> Native | None:
    if arrays.ends_badly(steps, power):
        return None
    return _class("PolynomialDecay", initial_learning_rate=start, decay_steps=steps, end_learning_rate=end, power=power)


def _piecewise(firsts: list[int], values: list[float]) -> Native | None:
    """`firsts` are the first steps of all values but the first; Keras wants the last ones."""
    if not 1 <= len(firsts) <= MAX_BOUNDARIES:
        return None
    return _class("PiecewiseConstantDecay", boundaries=[first - 1 for first in firsts], values=values)


def _cosine(start: float, peak: float, warm: int, steps: int, low: float, differs: str | None = None) -> Native:
    warming = {"warmup_target": peak, "warmup_steps": warm} if warm else {}
    alpha = {"alpha": low / peak} if low else {}
    return _class(
        "CosineDecay", differs, initial_learning_rate=start if warm else peak, decay_steps=steps, **alpha, **warming
    )


def _of_torch(schedule: Schedule, lr: float) -> Native | None:
    """A schedule of torch, Paddle or d2l by Keras' class for it."""
    match schedule:
        case StepLR() as s:
            return _exponential(lr, s.step_size, s.gamma, True)
        case ExponentialLR() as s:
            return _exponential(lr, 1, s.gamma, False)
        case MultiStepLR() as s:
            return _piecewise(list(s.milestones), powers(lr, s.gamma, range(len(s.milestones) + 1)))
        case PiecewiseDecay() as s:
            return _piecewise(list(s.boundaries), list(s.values))
        case LinearLR() as s:
            return _polynomial(lr * s.start_factor, lr * s.end_factor, s.total_iters, 1.0)
        case PolynomialLR() as s:
            return _polynomial(lr, 0.0, s.total_iters, s.power)
    return None


def _of_cosine(schedule: Schedule, lr: float) -> Native | None:
    """A cosine of torch or d2l by Keras' class for it."""
    match schedule:
        case CosineAnnealingLR() as s if lr:
            return _cosine(lr, lr, 0, s.T_max, s.eta_min, AFTER_ONE_COSINE.format(s.T_max))
        case CosineAnnealingWarmRestarts() as s if lr:
            alpha = {"alpha": s.eta_min / lr} if s.eta_min else {}
            return _class("CosineDecayRestarts", RESTARTS, initial_learning_rate=lr, first_decay_steps=s.T_0,
                          t_mul=float(s.T_mult), **alpha)  # fmt: skip
        case SequentialLR(schedulers=(LinearLR(end_factor=1.0) as ramp, CosineAnnealingLR() as cosine)) as s if (
            s.milestones == (ramp.total_iters,) and ramp.last_epoch == cosine.last_epoch == -1 and lr > 0
        ):
            warm, steps = ramp.total_iters, cosine.T_max
            differs = AFTER_ONE_COSINE.format(warm + steps)
            return _cosine(lr * ramp.start_factor, lr, warm, steps, cosine.eta_min, differs)
        case CosineScheduler() as s if s.base_lr and s.warmup_steps < s.max_update:
            warm = s.warmup_steps
            return _cosine(s.warmup_begin_lr, s.base_lr, warm, s.max_update - warm, s.final_lr)
    return None


def _of_optax(schedule: Schedule) -> Native | None:
    """A schedule of optax by Keras' class for it."""
    match schedule:
        case PiecewiseConstantSchedule() as s:
            return _piecewise(*knots(s.init_value, s.boundaries_and_scales))
        case LinearSchedule() as s if s.transition_begin <= 0 < s.transition_steps:
            power = s.power if isinstance(s, PolynomialSchedule) else 1.0
            return _polynomial(s.init_value, s.end_value, s.transition_steps, power)
        case CosineDecaySchedule(exponent=1) as s if s.init_value:
            return _cosine(s.init_value, s.init_value, 0, s.decay_steps, s.alpha * s.init_value)
        case WarmupCosineDecaySchedule(exponent=1) as s:
            return _cosine(s.init_value, s.peak_value, s.warmup_steps, s.decay_steps - s.warmup_steps, s.end_value)
        case WarmupExponentialDecaySchedule():
            return None
        case OptaxExponentialDecay(end_value=None) as s if (
            s.transition_begin <= 0 < s.transition_steps and s.decay_rate
        ):
            return _exponential(s.init_value, s.transition_steps, s.decay_rate, s.staircase)
    return None


def _plateau(
    monitor: Name = "val_loss",
    factor: FactorBelowOne = 0.1,
    patience: Count = 10,
    verbose: Annotated[int, Whole()] = 0,
    mode: Literal["auto", "min", "max"] = "auto",
    min_delta: Rate = 1e-4,
    cooldown: Count = 0,
    min_lr: Rate = 0.0,
) -> dict[str, Any]:
    """Read Keras' callback, which cuts at the patience-th bad epoch and counts the last one of a cooldown."""
    if mode == "auto":
        if monitor.removeprefix("val_") != "loss":
            raise CurveError(("mode",), f"which way {monitor[:80]!r} improves is not known here: give 'min' or 'max'")
        mode = "min"
    return {
        "type": "ReduceLROnPlateau",
        "mode": mode,
        "factor": factor,
        "patience": max(0, patience - 1),
        "threshold": min_delta,
        "threshold_mode": "abs",
        "cooldown": max(0, cooldown - 1),
        "min_lr": min_lr,
        "eps": 0.0,
    }


READERS: dict[str, Callable[..., dict[str, Any]]] = {"ReduceLROnPlateau": _plateau}
