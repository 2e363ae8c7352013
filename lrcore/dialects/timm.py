"""timm.scheduler: its own classes by their names; torch's for what it has not."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any, Literal

from lrcore.dialects import torch
from lrcore.dialects._base import Code, Translation, written
from lrcore.dialects._evaluate import first_rates
from lrcore.errors import CurveError
from lrcore.family import home_of
from lrcore.numerics.formulas import NoFormula
from lrcore.schedules import Schedule
from lrcore.schedules._base import Rate, TorchSchedule
from lrcore.schedules.algebra import Noise
from lrcore.schedules.compose import SequentialLR
from lrcore.schedules.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from lrcore.schedules.factor import LinearLR, PolynomialLR
from lrcore.schedules.plateau import Count, FactorBelowOne
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
    if schedule.metric_driven:
        raise NoFormula(("type",), f"{schedule.type} is driven by a metric")
    found = native(schedule, base_lr)
    if found is None:
        make = torch.of_class if torch.has_class(schedule) else torch.of_formula
        return make(schedule, base_lr, OTHERWISE)
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


@singledispatch
def _same(schedule: Schedule, lr: float) -> Found | None:
    """A schedule of another framework by timm's class for it."""
    return None


def _low(rate: float) -> dict[str, float]:
    return {"lr_min": rate} if rate else {}


def _after(steps: int) -> str:
    return f"stays at its lowest rate after {steps} steps, where CosineAnnealingLR rises again"


@_same.register
def _(s: Noise, lr: float) -> Found | None:
    found = native(s.schedule, lr)
    noise = {name: value for name, value in torch.given(s).items() if name != "schedule"}
    return found and (found[0], found[1] | noise, found[2])


@_same.register
def _(s: StepLR, lr: float) -> Found | None:
    return "StepLRScheduler", {"decay_t": s.step_size, "decay_rate": s.gamma}, None


@_same.register
def _(s: MultiStepLR, lr: float) -> Found | None:
    # timm drops one step before each milestone
    return "MultiStepLRScheduler", {"decay_t": [step + 1 for step in s.milestones], "decay_rate": s.gamma}, None


@_same.register
def _(s: CosineAnnealingLR, lr: float) -> Found | None:
    return "CosineLRScheduler", {"t_initial": s.T_max} | _low(s.eta_min), _after(s.T_max)


@_same.register
def _(s: CosineAnnealingWarmRestarts, lr: float) -> Found | None:
    if s.T_mult == 1:
        return "CosineLRScheduler", {"t_initial": s.T_0} | _low(s.eta_min) | {"cycle_limit": MANY}, None
    growing = {"cycle_mul": float(s.T_mult), "cycle_limit": MANY}
    return "CosineLRScheduler", {"t_initial": s.T_0} | _low(s.eta_min) | growing, RESTARTS


@_same.register
def _(s: PolynomialLR, lr: float) -> Found | None:
    return ("PolyLRScheduler", {"t_initial": s.total_iters, "power": s.power}, None) if s.power else None


@_same.register
def _(s: SequentialLR, lr: float) -> Found | None:
    match s.schedulers:
        case (LinearLR(end_factor=1.0) as ramp, CosineAnnealingLR() as cosine) if (
            s.milestones == (ramp.total_iters,) and ramp.last_epoch == cosine.last_epoch == -1
        ):
            warm = ramp.total_iters
            warming = {"warmup_t": warm, "warmup_lr_init": lr * ramp.start_factor, "warmup_prefix": True}
            arguments = {"t_initial": cosine.T_max} | _low(cosine.eta_min) | warming
            return "CosineLRScheduler", arguments, _after(warm + cosine.T_max)
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
