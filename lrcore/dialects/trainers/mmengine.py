"""MMEngine: a `param_scheduler` list of its own classes, else one class over the formula."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from lrcore.dialects import _base as base
from lrcore.dialects import _evaluate as evaluate
from lrcore.dialects import torch
from lrcore.dialects._base import MATH, Code, Program, Translation, written
from lrcore.dialects.trainers._phases import Phases, difference, formula, phases
from lrcore.schedules import Schedule
from lrcore.schedules.compose import ChainedScheduler, SequentialLR
from lrcore.schedules.constant import Constant
from lrcore.schedules.cosine import CosineAnnealingLR
from lrcore.schedules.exponential import ExponentialLR
from lrcore.schedules.factor import ConstantLR, LinearLR, PolynomialLR
from lrcore.schedules.one_cycle import OneCycleLR
from lrcore.schedules.plateau import ReduceLROnPlateau
from lrcore.schedules.step import MultiStepLR, StepLR
from lrcore.schedules.transformers import TransformersConstant

STEPS = "by_epoch=False counts iterations: write True for a schedule in epochs"
MONITOR = "val_loss stands for the metric that you log, once per epoch"
MODULE = "put all but param_scheduler into a module that custom_imports names"
OPTIMIZER = "for an optimizer whose rate is {:g}"
IMPORTS = [
    "from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin\n"
    "from mmengine.optim.scheduler.param_scheduler import _ParamScheduler\n"
    "from mmengine.registry import PARAM_SCHEDULERS"
]
CLASS = """@PARAM_SCHEDULERS.register_module()
class FormulaLR(LRSchedulerMixin, _ParamScheduler):
    def _get_value(self):
        return [rate(self.last_step)SHARE for value in self.base_values]"""

Item = tuple[str, dict[str, Any]]


def translate(schedule: Schedule, base_lr: float) -> Translation:
    """The schedule as `param_scheduler`."""
    torch.refuse_groups(schedule, "MMEngine")
    if isinstance(schedule, ReduceLROnPlateau):
        return Translation(_written([_plateau(schedule)]), True, (MONITOR,))
    items = native(schedule, base_lr)
    if items is None:
        return _of_formula(schedule, base_lr)
    evaluate.first_rates(schedule, base_lr)
    momentum = torch.remarks(schedule)
    return Translation(_written(items), True, (STEPS, *_rate(schedule, base_lr), *momentum))


def _rate(schedule: Schedule, base_lr: float) -> list[str]:
    return [OPTIMIZER.format(base_lr)] if schedule.own_base_lr is not None else []


def _of_formula(schedule: Schedule, base_lr: float) -> Translation:
    rate = schedule.as_formula(base_lr)
    wrong = evaluate.wrong_in_float64(rate, evaluate.first_rates(schedule, base_lr))
    program = Program(MATH)
    program.define("rate", rate)
    own = schedule.own_base_lr is not None or base_lr == 0
    defined = CLASS.replace("SHARE", "" if own else f" * (value / {base.number(float(base_lr))})")
    code = base.module(IMPORTS, *program.functions, defined, _list([("FormulaLR", {})]))
    return Translation(code, not wrong, (*wrong, STEPS, MODULE, *torch.remarks(schedule)))


def _written(items: list[Item]) -> str:
    return base.module([], _list(items)).lstrip("\n")


def _list(items: list[Item]) -> str:
    calls = [Code(written("dict", type=name, **{"by_epoch": False} | given)) for name, given in items]
    return f"param_scheduler = {base.literal(calls)}"


def native(schedule: Schedule, lr: float) -> list[Item] | None:
    """Return MMEngine's own classes, one after another or at once; None if they cannot draw the schedule."""
    if isinstance(schedule, ChainedScheduler):
        parts = [_same(part) for part in schedule.schedulers if torch.multiplies(part)]
        found = [part for part in parts if part is not None]
        return found if len(found) == len(schedule.schedulers) else None
    if isinstance(schedule, SequentialLR):
        return _after_a_ramp(schedule) or _of_phases(schedule, lr)
    if isinstance(schedule, Constant | TransformersConstant):
        return []
    one = _same(schedule) if torch.has_class(schedule) else None
    return [one] if one is not None else _of_phases(schedule, lr)


def _after_a_ramp(schedule: SequentialLR) -> list[Item] | None:
    """A ramp to the base rate, from which the next class goes on."""
    match schedule.schedulers:
        case (LinearLR(end_factor=1.0) as ramp, then) if schedule.milestones == (ramp.total_iters,):
            first, after = _same(ramp), _same(then)
            if first and after and torch.has_class(schedule):
                late = {key: value + ramp.total_iters for key, value in after[1].items() if key == "end"}
                return [first, (after[0], after[1] | {"begin": ramp.total_iters} | late)]
    return None


def _of_phases(schedule: Schedule, lr: float) -> list[Item] | None:
    found = phases(schedule, lr)
    if found is None or found.peak != lr or found.shape != "linear" or (found.warm and not found.start):
        return None  # LinearLR multiplies the rate in force, and leaves 0 at 0
    if difference(formula(found, found.rises), schedule, lr) is not None:
        return None
    begin = {"begin": found.warm} if found.warm else {}
    ramp = [_line(found.start / found.peak, 1.0, found.warm)] if found.warm else []
    return ramp + _fall(found, begin)


def _fall(found: Phases, begin: dict[str, Any]) -> list[Item]:
    low = {"eta_min": found.low} if found.low else {}
    match found.fall:
        case "power":
            end = {"end": found.warm + found.length + 1}
            return [("PolyLR", {"power": found.power} | low | begin | end)]
        case "cosine":
            end = {} if found.rises else {"end": found.warm + found.length + 1}
            return [("CosineAnnealingLR", {"T_max": found.length} | low | begin | end)]
    return []


def _line(start: float, end: float, steps: int) -> Item:
    # its last step is the one before `end`
    return "LinearLR", {"start_factor": start, "end_factor": end, "begin": 0, "end": steps + 1}


@singledispatch
def _same(schedule: Schedule) -> Item | None:
    """A class of torch by MMEngine's of the same rule."""
    return None


@_same.register
def _(s: StepLR | MultiStepLR | ExponentialLR | CosineAnnealingLR) -> Item | None:
    return s.name(), torch.given(s)


@_same.register
def _(s: ConstantLR) -> Item | None:
    return "ConstantLR", {"factor": s.factor, "begin": 0, "end": s.total_iters + 1}


@_same.register
def _(s: LinearLR) -> Item | None:
    return _line(s.start_factor, s.end_factor, s.total_iters)


@_same.register
def _(s: PolynomialLR) -> Item | None:
    return "PolyLR", {"power": s.power, "begin": 0, "end": s.total_iters + 1}


@_same.register
def _(s: OneCycleLR) -> Item | None:
    total = s.length
    if total is None:
        return None
    shape = {"pct_start": s.pct_start, "anneal_strategy": s.anneal_strategy, "three_phase": s.three_phase}
    factors = {"div_factor": s.div_factor, "final_div_factor": s.final_div_factor}
    return "OneCycleLR", {"eta_max": s.max_lr, "total_steps": total} | shape | factors


def _plateau(s: ReduceLROnPlateau) -> Item:
    given = torch.given(s)
    names = {"mode": "rule", "threshold_mode": "threshold_rule", "min_lr": "min_value"}
    arguments = {names.get(key, key): value for key, value in given.items()}
    rules = {"min": "less", "max": "greater"}
    arguments |= {"rule": rules[s.mode]} if "rule" in arguments else {}
    return "ReduceOnPlateauLR", {"monitor": "val_loss", "by_epoch": True} | arguments
