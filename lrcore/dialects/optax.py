"""optax: its own schedules by their names, schedules joined in turn, else the formula in jax.numpy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from lrcore.dialects import _arrays as arrays
from lrcore.dialects._arrays import AFTER_ONE_COSINE, BAD_END, LATE, Native
from lrcore.dialects._base import JAX, Code, Translation, written
from lrcore.family import home_of
from lrcore.schedules import Schedule
from lrcore.schedules._base import Milestones, Rate, TorchSchedule
from lrcore.schedules.compose import SequentialLR
from lrcore.schedules.constant import Constant
from lrcore.schedules.cosine import CosineAnnealingLR
from lrcore.schedules.d2l import CosineScheduler
from lrcore.schedules.exponential import ExponentialLR
from lrcore.schedules.factor import ConstantLR, LinearLR, PolynomialLR
from lrcore.schedules.keras import CosineDecay, ExponentialDecay, PolynomialDecay
from lrcore.schedules.optax import OptaxExponentialDecay, PiecewiseInterpolateSchedule, PolynomialSchedule, SgdrSchedule
from lrcore.schedules.step import MultiStepLR, StepLR
from lrcore.schedules.transformers import (
    ConstantWithWarmup,
    TransformersConstant,
    TransformersCosine,
    TransformersLinear,
)

END = """def schedule(step):
    return rate(jnp.asarray(step, {step}))"""
MAX_SCALES = 1000  # boundaries that optax, which tells them apart one by one, is given


def translate(schedule: Schedule, base_lr: float) -> Translation:
    """The schedule as `schedule`, a function of the step."""
    found = native(schedule, base_lr) if arrays.fits(schedule) else None
    if found is not None:
        return arrays.of_native(found, ["import optax"], schedule, base_lr)
    return arrays.of_formula(schedule, base_lr, JAX, ["import jax.numpy as jnp"], END, "optax")


def native(schedule: Schedule, lr: float) -> Native | None:
    """The schedule by optax's own function; None if optax has none."""
    if isinstance(schedule, TorchSchedule) and schedule.last_epoch != -1:
        return None
    if home_of(type(schedule)) == "optax":
        return _own(schedule)
    return _of_torch(schedule, lr) or _of_keras(schedule) or _of_transformers(schedule, lr)


def _own(schedule: Schedule) -> Native | None:
    arguments: dict[str, Any] = schedule.model_dump(include=schedule.model_fields_set - {"type"}, exclude_none=True)
    if isinstance(schedule, PiecewiseInterpolateSchedule) and not schedule.boundaries_and_scales:
        return None  # optax's needs a boundary
    if isinstance(schedule, SgdrSchedule):
        cycles = [cycle.model_dump(exclude_unset=True) for cycle in schedule.cosine_kwargs]
        arguments["cosine_kwargs"] = [written("dict", **cycle) for cycle in cycles]
    return Native(written(f"optax.{schedule.name()}", **arguments), _differs(schedule))


def _differs(schedule: Schedule) -> str | None:
    """Return what optax does otherwise than its documentation says; None if nothing."""
    match schedule:
        case OptaxExponentialDecay(staircase=True, transition_steps=steps, decay_rate=rate) if steps > 0 and rate:
            return LATE.format(steps) if arrays.floors_late(steps) else None
        case PolynomialSchedule(transition_steps=steps, power=power) if steps > 0:
            return BAD_END.format(steps) if arrays.ends_badly(steps, power) else None
    return None


def _constant(value: float) -> Code:
    return written("optax.constant_schedule", value)


def _line(start: float, end: float, steps: int) -> Code:
    return written("optax.linear_schedule", init_value=start, end_value=end, transition_steps=steps)


def _polynomial(start: float, end: float, steps: int, power: float) -> Code:
    return written("optax.polynomial_schedule", init_value=start, end_value=end, power=power, transition_steps=steps)


def _exponential(start: float, per: int, rate: float, *, staircase: bool) -> Native | None:
    if staircase and arrays.floors_late(per):
        return None
    stairs = {"staircase": True} if staircase else {}
    return Native(written("optax.exponential_decay", init_value=start, transition_steps=per, decay_rate=rate, **stairs))


def _joined(parts: list[Code], boundaries: list[int]) -> Code:
    return written("optax.join_schedules", schedules=parts, boundaries=boundaries)


def _cosine(start: float, steps: int, alpha: float) -> Code:
    low = {"alpha": alpha} if alpha else {}
    return written("optax.cosine_decay_schedule", init_value=start, decay_steps=steps, **low)


def _warm_cosine(start: float, peak: float, warm: int, total: int, end: float) -> Code:
    low = {"end_value": end} if end else {}
    return written(
        "optax.warmup_cosine_decay_schedule",
        init_value=start, peak_value=peak, warmup_steps=warm, decay_steps=total, **low,
    )  # fmt: skip


def _of_torch(schedule: Schedule, lr: float) -> Native | None:
    """A schedule of torch by optax's function for it."""
    match schedule:
        case StepLR() as s:
            return _exponential(lr, s.step_size, s.gamma, staircase=True)
        case ExponentialLR() as s:
            return _exponential(lr, 1, s.gamma, staircase=False)
        case MultiStepLR() as s if len(s.milestones) <= MAX_SCALES:
            scales = dict.fromkeys(s.milestones, s.gamma)
            return Native(written("optax.piecewise_constant_schedule", init_value=lr, boundaries_and_scales=scales))
        case ConstantLR() as s:
            return Native(_joined([_constant(lr * s.factor), _constant(lr)], [s.total_iters]))
        case LinearLR() as s:
            return Native(_line(lr * s.start_factor, lr * s.end_factor, s.total_iters))
        case PolynomialLR() as s if not arrays.ends_badly(s.total_iters, s.power):
            return Native(_polynomial(lr, 0.0, s.total_iters, s.power))
        case CosineAnnealingLR() as s if lr:  # optax gives the lowest rate as a fraction of the highest
            code = _cosine(lr, s.T_max, s.eta_min / lr)
            return Native(code, AFTER_ONE_COSINE.format(s.T_max), s.T_max + 1)
        case SequentialLR() as s:
            return _sequence(s, lr)
    return None


def _sequence(s: SequentialLR, lr: float) -> Native | None:
    match s.schedulers:
        case (LinearLR(end_factor=1.0) as ramp, CosineAnnealingLR() as cosine) if (
            s.milestones == (ramp.total_iters,) and ramp.last_epoch == cosine.last_epoch == -1 and lr > 0
        ):
            total = ramp.total_iters + cosine.T_max
            code = _warm_cosine(lr * ramp.start_factor, lr, ramp.total_iters, total, cosine.eta_min)
            return Native(code, AFTER_ONE_COSINE.format(total), total + 1)
    parts = [native(part, lr) for part in s.schedulers]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts):
        return None
    turns = [end - start for start, end in pairwise((0, *s.milestones))]
    differing = [
        part for i, part in enumerate(found) if part.differs and (i == len(turns) or turns[i] > part.until)
    ]  # a part that differs after its turn does not
    code = _joined([part.code for part in found], list(s.milestones))
    return Native(code, differing[0].differs if differing else None)


def _of_keras(schedule: Schedule) -> Native | None:
    """A schedule of Keras or d2l by optax's function for it."""
    match schedule:
        case CosineScheduler() as s if s.base_lr and s.warmup_steps < s.max_update:
            return Native(_warm_cosine(s.warmup_begin_lr, s.base_lr, s.warmup_steps, s.max_update, s.final_lr))
        case CosineDecay() as s if s.warmup_steps and s.warmup_target:
            total, end = s.warmup_steps + s.decay_steps, s.alpha * s.warmup_target
            return Native(_warm_cosine(s.initial_learning_rate, s.warmup_target, s.warmup_steps, total, end))
        case CosineDecay(warmup_target=None) as s:
            return Native(_cosine(s.initial_learning_rate, s.decay_steps, s.alpha))
        case ExponentialDecay() as s:
            return _exponential(s.initial_learning_rate, s.decay_steps, s.decay_rate, staircase=s.staircase)
        case PolynomialDecay(cycle=False) as s if not arrays.ends_badly(s.decay_steps, s.power):
            return Native(_polynomial(s.initial_learning_rate, s.end_learning_rate, s.decay_steps, s.power))
    return None


def _of_transformers(schedule: Schedule, lr: float) -> Native | None:
    """A schedule of transformers by optax's function for it."""
    match schedule:
        case Constant() | TransformersConstant() | ConstantWithWarmup(num_warmup_steps=0):
            return Native(_constant(lr))
        case ConstantWithWarmup(num_warmup_steps=warm):
            return Native(written("optax.warmup_constant_schedule", init_value=0.0, peak_value=lr, warmup_steps=warm))
        case TransformersLinear(num_warmup_steps=warm, num_training_steps=end) if warm < end:
            falling = _line(lr, 0.0, end - warm)
            return Native(_joined([_line(0.0, lr, warm), falling], [warm]) if warm else falling)
        case TransformersCosine(num_cycles=0.5, num_warmup_steps=warm, num_training_steps=end) if lr and warm < end:
            code = _warm_cosine(0.0, lr, warm, end, 0.0)
            return Native(code, f"stays at 0 after {end} steps, where transformers' cosine rises again", end + 1)
    return None


def _own_constant(value: Rate) -> dict[str, Any]:
    return {"type": "BaseLR", "base_lr": value, "schedule": {"type": "Constant"}}


def _join(schedules: list[dict[str, Any]], boundaries: Milestones) -> dict[str, Any]:
    return {"type": "SequentialLR", "schedulers": schedules, "milestones": boundaries}


READERS: dict[str, Callable[..., dict[str, Any]]] = {"constant_schedule": _own_constant, "join_schedules": _join}
