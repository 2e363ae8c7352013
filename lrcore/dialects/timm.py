"""timm.scheduler: its own classes by their names; torch's for what it has not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from lrcore.dialects import torch
from lrcore.dialects._arrays import AFTER_ONE_COSINE
from lrcore.dialects._base import Code, Translation, written
from lrcore.dialects._evaluate import first_rates
from lrcore.errors import CurveError
from lrcore.family import home_of
from lrcore.schedules import Schedule
from lrcore.schedules._base import Rate, TorchSchedule
from lrcore.schedules.algebra import Noise
from lrcore.schedules.compose import SequentialLR
from lrcore.schedules.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from lrcore.schedules.factor import LinearLR, PolynomialLR
from lrcore.schedules.plateau import Count, FactorBelowOne, MetricSchedule
from lrcore.schedules.step import MultiStepLR, StepLR
from lrcore.schedules.timm import CosineLRScheduler, PolyLRScheduler, TanhLRScheduler

OTHERWISE = "timm has no such schedule; this one is torch's: step() takes no argument"
STEPPING = "call step(t) with the number of the step that comes next"
RESTARTS = "timm finds cycles that grow by a logarithm and may miss a restart by a step"
FIRST = {"MultiStepLRScheduler", "TanhLRScheduler", "WSDLRScheduler"}  # whose rate at step 0 need not be the base rate
MANY = 10**9  # cycles: timm has no word for endless

Found = tuple[str, dict[str, Any], str | None]


def translate(schedule: Schedule, base_lr: float) -> Translation:
    """The schedule as `make_scheduler(optimizer)`."""
    if isinstance(schedule, MetricSchedule):
        raise schedule.no_formula()
    found = native(schedule, base_lr)
    if found is None:
        return torch.translate(schedule, base_lr, OTHERWISE)
    first_rates(schedule, base_lr)
    name, arguments, differs = found
    code = written(f"timm.scheduler.{name}", Code("optimizer"), **arguments)
    before = ""
    if name in FIRST or isinstance(schedule, Noise):
        before = f"scheduler = {code}\nscheduler.step(0)  # timm sets the first rate only when told the step"
        code = Code("scheduler")
    wrong = (differs,) if differs else ()
    return Translation(torch.make_scheduler(["import timm.scheduler"], code, before), not wrong, (*wrong, STEPPING))


def native(schedule: Schedule, lr: float) -> Found | None:
    """Class, arguments and what differs; None if timm has no such class."""
    if isinstance(schedule, TorchSchedule) and schedule.last_epoch != -1:
        return None
    if home_of(type(schedule)) != "timm":
        return _same(schedule, lr)
    differs = None
    if isinstance(schedule, CosineLRScheduler | PolyLRScheduler | TanhLRScheduler):
        if schedule.cycle_mul < 1:
            return None  # timm takes the logarithm of a negative number at some step
        differs = RESTARTS if schedule.cycle_mul != 1 else None
    return schedule.name(), torch.given(schedule), differs


def _low(rate: float) -> dict[str, float]:
    return {"lr_min": rate} if rate else {}


def _same(schedule: Schedule, lr: float) -> Found | None:
    """A schedule of torch, or noise on one of timm, by timm's class for it."""
    match schedule:
        case Noise() as s:
            found = native(s.schedule, lr)
            noise = {name: value for name, value in torch.given(s).items() if name != "schedule"}
            return found and (found[0], found[1] | noise, found[2])
        case StepLR() as s:
            return "StepLRScheduler", {"decay_t": s.step_size, "decay_rate": s.gamma}, None
        case MultiStepLR() as s:  # timm drops one step before each milestone
            return "MultiStepLRScheduler", {"decay_t": [step + 1 for step in s.milestones], "decay_rate": s.gamma}, None
        case CosineAnnealingLR() as s:
            return "CosineLRScheduler", {"t_initial": s.T_max} | _low(s.eta_min), AFTER_ONE_COSINE.format(s.T_max)
        case CosineAnnealingWarmRestarts() as s:
            growing = {"cycle_mul": float(s.T_mult)} if s.T_mult != 1 else {}
            cycles = {"t_initial": s.T_0} | _low(s.eta_min) | growing | {"cycle_limit": MANY}
            return "CosineLRScheduler", cycles, RESTARTS if growing else None
        case PolynomialLR() as s if s.power:
            return "PolyLRScheduler", {"t_initial": s.total_iters, "power": s.power}, None
        case SequentialLR(schedulers=(LinearLR(end_factor=1.0) as ramp, CosineAnnealingLR() as cosine)) as s if (
            s.milestones == (ramp.total_iters,) and ramp.last_epoch == cosine.last_epoch == -1
        ):
            warm = ramp.total_iters
            warming = {"warmup_t": warm, "warmup_lr_init": lr * ramp.start_factor, "warmup_prefix": True}
            arguments = {"t_initial": cosine.T_max} | _low(cosine.eta_min) | warming
            return "CosineLRScheduler", arguments, AFTER_ONE_COSINE.format(warm + cosine.T_max)
    return None


def _plateau(
    decay_rate: FactorBelowOne = 0.1,
    patience_t: Count = 10,
    threshold: Rate = 1e-4,
    cooldown_t: Count = 0,
    warmup_t: Count = 0,
    lr_min: Rate = 0.0,
    mode: Literal["min", "max"] = "max",
) -> dict[str, Any]:
    if warmup_t:
        raise CurveError(("warmup_t",), "a schedule that follows a metric cannot have a warm-up here: leave it out")
    return {
        "type": "ReduceLROnPlateau",
        "mode": mode,
        "factor": decay_rate,
        "patience": patience_t,
        "threshold": threshold,
        "cooldown": cooldown_t,
        "min_lr": lr_min,
    }


READERS: dict[str, Callable[..., dict[str, Any]]] = {"PlateauLRScheduler": _plateau}
