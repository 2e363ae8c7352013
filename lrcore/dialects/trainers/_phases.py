"""A warm-up and one fall after it, whichever of the many names a schedule has for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Literal

import numpy as np

from lrcore.dialects._evaluate import EXACT_FLOAT64, first_rates, step_by_step
from lrcore.numerics import formulas
from lrcore.numerics.formulas import T, Value
from lrcore.schedules import Schedule
from lrcore.schedules._base import TorchSchedule
from lrcore.schedules.algebra import BaseLR, WarmUp
from lrcore.schedules.compose import SequentialLR
from lrcore.schedules.constant import Constant
from lrcore.schedules.cosine import CosineAnnealingLR
from lrcore.schedules.factor import LinearLR, PolynomialLR
from lrcore.schedules.transformers import (
    ConstantWithWarmup,
    TransformersConstant,
    TransformersCosine,
    TransformersLinear,
    TransformersPolynomial,
)


@dataclass(frozen=True)
class Phases:
    """A ramp to `peak`, and from there on a fall.

    Attributes:
        peak: rate at the end of the ramp.
        fall: flat, low + (peak - low) * (1 - u) ** power, or half a cosine to low; then low.
        length: steps of the fall.
        rises: whether the cosine rises again after `length` steps instead.
        warm: steps of the ramp, 0 for none.
        start: rate at step 0.
        shape: of the ramp; log reaches its end a step early.
    """

    peak: float
    fall: Literal["flat", "power", "cosine"] = "flat"
    length: int = 0
    low: float = 0.0
    power: float = 1.0
    rises: bool = False
    warm: int = 0
    start: float = 0.0
    shape: Literal["linear", "log"] = "linear"


def phases(schedule: Schedule, lr: float) -> Phases | None:
    """The phases of a schedule on the rate `lr`; None if it is something else."""
    if isinstance(schedule, TorchSchedule) and schedule.last_epoch != -1:
        return None
    return _phases(schedule, lr)


@singledispatch
def _phases(schedule: Schedule, lr: float) -> Phases | None:
    return None


@_phases.register
def _(s: Constant | TransformersConstant, lr: float) -> Phases | None:
    return Phases(lr)


@_phases.register
def _(s: BaseLR, lr: float) -> Phases | None:
    return phases(s.schedule, s.base_lr) if isinstance(s.base_lr, float) else None


@_phases.register
def _(s: CosineAnnealingLR, lr: float) -> Phases | None:
    return Phases(lr, "cosine", s.T_max, s.eta_min, rises=True) if s.eta_min <= lr else None


@_phases.register
def _(s: PolynomialLR, lr: float) -> Phases | None:
    return Phases(lr, "power", s.total_iters, 0.0, s.power) if s.power else None


@_phases.register
def _(s: LinearLR, lr: float) -> Phases | None:
    if s.start_factor == 1:
        return Phases(lr, "power", s.total_iters, lr * s.end_factor)
    return Phases(lr, warm=s.total_iters, start=lr * s.start_factor) if s.end_factor == 1 else None


@_phases.register
def _(s: WarmUp, lr: float) -> Phases | None:
    inside = phases(s.schedule, lr)
    if inside is None or inside.warm or s.mode != "shift" or s.shape not in ("linear", "log"):
        return None
    return replace(inside, warm=s.warmup_steps, start=s.start * inside.peak, shape=s.shape)


@_phases.register
def _(s: SequentialLR, lr: float) -> Phases | None:
    match s.schedulers:
        case (LinearLR(end_factor=1.0) as ramp, then) if s.milestones == (ramp.total_iters,) and ramp.last_epoch == -1:
            after = phases(then, lr)
            if after is not None and not after.warm:
                return replace(after, warm=ramp.total_iters, start=lr * ramp.start_factor)
    return None


@_phases.register
def _(s: ConstantWithWarmup, lr: float) -> Phases | None:
    return Phases(lr, warm=s.num_warmup_steps)


@_phases.register
def _(s: TransformersLinear | TransformersPolynomial | TransformersCosine, lr: float) -> Phases | None:
    warm, length = s.num_warmup_steps, s.num_training_steps - s.num_warmup_steps
    if length <= 0:
        return None
    match s:
        case TransformersLinear():
            return Phases(lr, "power", length, warm=warm)
        case TransformersPolynomial():
            return Phases(lr, "power", length, s.lr_end, s.power, warm=warm) if s.power else None
    return Phases(lr, "cosine", length, rises=True, warm=warm) if s.num_cycles == 0.5 else None


def formula(found: Phases, rises: bool) -> Value:
    """The rates of phases with a linear ramp as a formula of the step.

    Args:
        rises: whether a cosine rises again.
    """
    t = T - found.warm if found.warm else T
    u = t / found.length if found.length else 1.0
    match found.fall:
        case "flat":
            after: Value = found.peak
        case "power":
            left = formulas.call("max", 1 - u, 0.0)
            after = found.low + (found.peak - found.low) * left**found.power
        case "cosine":
            after = formulas.half_cosine(u if rises else formulas.call("min", u, 1.0), found.peak, found.low)
    return formulas.piecewise(T, [found.warm], [formulas.line(T, found.warm, found.start, found.peak), after])


def difference(drawn: Value, schedule: Schedule, base_lr: float) -> str | None:
    """Return how far what a framework draws is from the schedule on the first steps; None if it is the same."""
    rates = first_rates(schedule, base_lr)
    found, stopped = step_by_step(formulas.expanded(drawn), range(len(rates)))
    if stopped:
        return stopped[0]
    off = np.abs(np.array(found) - rates) / max(float(rates.max()), 1e-300)
    worst = int(off.argmax())
    return f"is off by {off[worst]:.1g} of the largest rate at step {worst}" if off[worst] > EXACT_FLOAT64 else None
