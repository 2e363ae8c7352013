"""Composer: its own schedulers, in batches, else a function of its state."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from lrcore.dialects import _base as base
from lrcore.dialects import _evaluate as evaluate
from lrcore.dialects._arrays import AFTER_ONE_COSINE
from lrcore.dialects._base import MATH, Code, Program, Translation, written
from lrcore.dialects.torch import refuse_groups, remarks
from lrcore.dialects.trainers._phases import Phases, difference, formula, phases
from lrcore.numerics.formulas import Value
from lrcore.schedules import Schedule
from lrcore.schedules._base import TorchSchedule
from lrcore.schedules.cosine import CosineAnnealingWarmRestarts
from lrcore.schedules.exponential import ExponentialLR
from lrcore.schedules.factor import ConstantLR, LinearLR
from lrcore.schedules.plateau import MetricSchedule
from lrcore.schedules.step import MultiStepLR, StepLR

LONGER = "stops with an error in a run of more than {} batches, where the schedule goes on"
MAX_MILESTONES = 1000  # Composer parses each of them at each batch

Native = tuple[Code, Value, str | None]  # the call, the rates that it draws, and what it does otherwise in the end


def translate(schedule: Schedule, base_lr: float) -> Translation:
    """The schedule as `schedule`, for Composer's Trainer(schedulers=schedule)."""
    refuse_groups(schedule, "Composer")
    if isinstance(schedule, MetricSchedule):
        raise schedule.no_formula()
    needed = f"for Trainer(schedulers=schedule), and an optimizer whose rate is {base_lr or 1.0:g}"
    found = native(schedule, base_lr)
    if found is None:
        return _of_formula(schedule, base_lr, needed)
    code, drawn, ending = found
    off = difference(drawn, schedule, base_lr)
    wrong = [each for each in (ending, off) if each]
    text = base.module(["import composer.optim"], f"schedule = {code}")
    return Translation(text, not wrong, (*wrong, needed, *remarks(schedule)))


def _of_formula(schedule: Schedule, base_lr: float, needed: str) -> Translation:
    rate = schedule.as_formula(base_lr)
    wrong = evaluate.wrong_in_float64(rate, evaluate.first_rates(schedule, base_lr))
    program = Program(MATH)
    program.define("rate", rate)
    share = f" / {base.number(float(base_lr))}" if base_lr else ""
    end = f"def schedule(state):\n    return rate(state.timestamp.batch.value){share}"
    code = base.module([], *program.functions, end).lstrip("\n")
    return Translation(code, not wrong, (*wrong, needed, *remarks(schedule)))


def native(schedule: Schedule, lr: float) -> Native | None:
    """Return the schedule by Composer's own class; None if Composer has none."""
    if lr == 0 or (isinstance(schedule, TorchSchedule) and schedule.last_epoch != -1):
        return None
    arguments = _same(schedule, lr)
    if arguments is not None:
        name, given = arguments
        return _call(name, **given), schedule.as_formula(lr), None
    found = phases(schedule, lr)
    return None if found is None or found.peak != lr else _of_phases(found)


def _call(name: str, **arguments: Any) -> Code:
    return written(f"composer.optim.{name}", **arguments)


def _batches(steps: int) -> str:
    return f"{steps}ba"


@singledispatch
def _same(schedule: Schedule, lr: float) -> tuple[str, dict[str, Any]] | None:
    """A class of Composer without a warm-up, and its arguments."""
    return None


@_same.register
def _(s: StepLR, lr: float) -> tuple[str, dict[str, Any]] | None:
    return "StepScheduler", {"step_size": _batches(s.step_size), "gamma": s.gamma}


@_same.register
def _(s: MultiStepLR, lr: float) -> tuple[str, dict[str, Any]] | None:
    if len(s.milestones) > MAX_MILESTONES:
        return None
    return "MultiStepScheduler", {"milestones": list(map(_batches, s.milestones)), "gamma": s.gamma}


@_same.register
def _(s: ExponentialLR, lr: float) -> tuple[str, dict[str, Any]] | None:
    return "ExponentialScheduler", {"gamma": s.gamma, "decay_period": _batches(1)}


@_same.register
def _(s: ConstantLR, lr: float) -> tuple[str, dict[str, Any]] | None:
    return "ConstantScheduler", {"alpha": s.factor, "t_max": _batches(s.total_iters)}


@_same.register
def _(s: LinearLR, lr: float) -> tuple[str, dict[str, Any]] | None:
    return "LinearScheduler", {"alpha_i": s.start_factor, "alpha_f": s.end_factor, "t_max": _batches(s.total_iters)}


@_same.register
def _(s: CosineAnnealingWarmRestarts, lr: float) -> tuple[str, dict[str, Any]] | None:
    low = {"alpha_f": s.eta_min / lr} if s.eta_min else {}
    return "CosineAnnealingWarmRestartsScheduler", {"t_0": _batches(s.T_0), "t_mult": float(s.T_mult)} | low


def _of_phases(found: Phases) -> Native | None:
    if found.warm and (found.start or found.shape != "linear"):
        return None
    drawn, end = formula(found, rises=False), found.warm + found.length
    if found.fall == "flat":
        # ConstantWithWarmupScheduler takes no run that is longer than its t_max, which is the run if it is left out
        return _call("ConstantWithWarmupScheduler", t_warmup=_batches(found.warm)) if found.warm else _call(
            "ConstantScheduler"
        ), drawn, None  # fmt: skip
    low = {"alpha_f": found.low / found.peak} if found.low else {}
    power = {"power": found.power} if found.fall == "power" else {}
    name = "Polynomial" if found.fall == "power" else "CosineAnnealing"
    if found.warm:
        arguments = {"t_warmup": _batches(found.warm), "t_max": _batches(end)} | power | low
        return _call(f"{name}WithWarmupScheduler", **arguments), drawn, LONGER.format(end)
    ending = AFTER_ONE_COSINE.format(end) if found.rises else None
    return _call(f"{name}Scheduler", t_max=_batches(end), **power, **low), drawn, ending
