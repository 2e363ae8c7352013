"""torch.optim.lr_scheduler: its own classes where they do what their names say, else LambdaLR over the formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from lrcore.dialects import _base as base
from lrcore.dialects import _evaluate as evaluate
from lrcore.dialects._base import MATH, Code, Program, Translation
from lrcore.expressions.expression import Expression
from lrcore.numerics.formulas import NoFormula, check_operations
from lrcore.schedules import Schedule
from lrcore.schedules._base import TorchSchedule
from lrcore.schedules.compose import ChainedScheduler, SequentialLR
from lrcore.schedules.constant import Constant
from lrcore.schedules.cyclic import CyclicLR
from lrcore.schedules.exponential import ExponentialLR
from lrcore.schedules.factor import ConstantLR, LinearLR, PolynomialLR
from lrcore.schedules.lambda_ import MultiplicativeLR
from lrcore.schedules.one_cycle import OneCycleLR
from lrcore.schedules.plateau import ReduceLROnPlateau
from lrcore.schedules.step import MultiStepLR, StepLR
from lrcore.schedules.swa import SWALR
from lrcore.schedules.transformers import TransformersConstant

MULTIPLYING = (ConstantLR, ExponentialLR, LinearLR, MultiplicativeLR, MultiStepLR, PolynomialLR, StepLR)
NOT_IN_SEQUENCE = (SequentialLR, ChainedScheduler, CyclicLR, OneCycleLR)
NOT_LATER_IN_SEQUENCE = (MultiplicativeLR, SWALR)
MOMENTUM = "momentum is not carried over: the code sets the rate alone"


def translate(schedule: Schedule, base_lr: float, *also: str) -> Translation:
    """The schedule as `make_scheduler(optimizer)`, with `also` among the notes."""
    return (of_class if has_class(schedule) else of_formula)(schedule, base_lr, *also)


def has_class(schedule: Schedule) -> bool:
    """Whether torch has the schedule, and computes what the class's name says."""
    if not isinstance(schedule, TorchSchedule | ChainedScheduler | Constant | TransformersConstant | ReduceLROnPlateau):
        return False
    if getattr(schedule, "last_epoch", -1) != -1:
        return False  # torch resumes from the state of an optimizer, which is not here
    match schedule:
        case ConstantLR():
            return schedule.factor != 0  # torch divides by it
        case ChainedScheduler():
            return multiplies(schedule) or (len(schedule.schedulers) == 1 and has_class(schedule.schedulers[0]))
        case SequentialLR():
            later = schedule.schedulers[1:]
            return not (
                any(isinstance(part, NOT_IN_SEQUENCE) for part in schedule.schedulers)
                or any(isinstance(part, NOT_LATER_IN_SEQUENCE) for part in later)
            ) and all(map(has_class, schedule.schedulers))
    return True


def multiplies(schedule: Schedule) -> bool:
    """Whether torch's class multiplies the rate, so that a chain with it is the product."""
    if isinstance(schedule, ChainedScheduler):
        return all(map(multiplies, schedule.schedulers))
    return isinstance(schedule, MULTIPLYING) and has_class(schedule)


def of_class(schedule: Schedule, base_lr: float, *also: str) -> Translation:
    """The schedule by torch's own class."""
    if isinstance(schedule, ReduceLROnPlateau):
        rate = schedule.initial_lr
        before = "" if rate is None else f'for group in optimizer.param_groups:\n    group["lr"] = {base.number(rate)}'
        return Translation(make_scheduler(["import torch"], construction(schedule), before), True, also)
    wrong = _stops(schedule, base_lr)
    return Translation(make_scheduler(["import torch"], construction(schedule)), not wrong, (*wrong, *also))


def _stops(schedule: Schedule, base_lr: float) -> list[str]:
    """Where Python cannot compute an expression of the user."""
    rates = evaluate.first_rates(schedule, base_lr)
    if schedule.groups is None:
        with suppress(NoFormula):
            return evaluate.wrong_in_float64(schedule.as_formula(base_lr), rates)
    steps = range(1, len(rates))
    formulas = [text.as_formula() for text in _expressions(schedule)]
    check_operations(*formulas)
    return [wrong for formula in formulas for wrong in evaluate.step_by_step(formula, steps)[1]]


def _expressions(schedule: Schedule) -> Iterator[Expression]:
    for name in type(schedule).model_fields:
        value = getattr(schedule, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Expression):
                yield item
            elif isinstance(item, Schedule):
                yield from _expressions(item)


def construction(schedule: Schedule) -> Code:
    """The call of torch's class, for an optimizer of that name."""
    if isinstance(schedule, Constant | TransformersConstant):
        return base.written("torch.optim.lr_scheduler.LambdaLR", Code("optimizer"), lr_lambda=Code("lambda epoch: 1.0"))
    where = "swa_utils" if isinstance(schedule, SWALR) else "lr_scheduler"
    name = f"torch.optim.{where}.{schedule.name()}"
    if isinstance(schedule, ChainedScheduler):
        return base.written(name, [construction(part) for part in schedule.schedulers])
    if isinstance(schedule, SequentialLR):
        parts = [construction(part) for part in schedule.schedulers]
        return base.written(name, Code("optimizer"), schedulers=parts, milestones=schedule.milestones)
    return base.written(name, Code("optimizer"), **given(schedule))


def given(schedule: Schedule) -> dict[str, Any]:
    """The arguments that the spec sets, with expressions as functions."""
    found = {}
    for name in type(schedule).model_fields:
        value = getattr(schedule, name)
        own = {"type", "last_epoch", "initial_lr" if isinstance(schedule, ReduceLROnPlateau) else "type"}
        if name in schedule.model_fields_set - own and value is not None:
            found[name] = _argument(value)
    return found


def _argument(value: Any) -> Any:
    if isinstance(value, Expression):
        variable = value.variables[0]
        return Code(f"lambda {variable}: {Program(MATH).inline(value.as_formula(), variable)}")
    if isinstance(value, tuple):
        return [_argument(item) for item in value]
    return value


def of_formula(schedule: Schedule, base_lr: float, *also: str) -> Translation:
    """The schedule as a function of the step in LambdaLR."""
    refuse_groups(schedule, "torch's LambdaLR over a formula")
    rate = schedule.as_formula(base_lr)
    wrong = evaluate.wrong_in_float64(rate, evaluate.first_rates(schedule, base_lr))
    program = Program(MATH)
    program.define("rate", rate)
    code = make_scheduler(["import torch"], *_around(schedule, base_lr), program.functions)
    return Translation(code, not wrong, (*wrong, *remarks(schedule), *also))


def _around(schedule: Schedule, base_lr: float) -> tuple[Code, str]:
    """LambdaLR over `rate`, and what is to be done before."""
    name = "torch.optim.lr_scheduler.LambdaLR"
    if schedule.own_base_lr is None and base_lr != 0:
        relative = Code(f"lambda t: rate(t) / {base.number(float(base_lr))}")
        return base.written(name, Code("optimizer"), relative), ""
    before = (
        'for group in optimizer.param_groups:\n    group["lr"] = group["initial_lr"] = 1.0  # LambdaLR multiplies it'
    )
    return base.written(name, Code("optimizer"), Code("rate")), before


def make_scheduler(imports: list[str], result: str, before: str = "", blocks: Sequence[str] = ()) -> str:
    """A file that defines make_scheduler(optimizer)."""
    lines = [*before.splitlines(), *f"return {result}".splitlines()]
    function = "\n".join(["def make_scheduler(optimizer):", *(f"    {line}" for line in lines)])
    return base.module(imports, *blocks, function)


def refuse_groups(schedule: Schedule, target: str) -> None:
    """Refuse a schedule with one value a parameter group where there is one formula for all."""
    if schedule.groups is not None:
        raise NoFormula((), f"{target} takes one schedule for all parameter groups: give one value, not a list")


def remarks(schedule: Schedule) -> list[str]:
    """What a formula leaves out, wherever it is used."""
    found = [MOMENTUM] if schedule.cycles_momentum else []
    if schedule.length is not None:
        found.append(f"the schedule ends after {schedule.length} steps; the formula means nothing beyond")
    return found


READERS: dict[str, Callable[..., dict[str, Any]]] = {}  # every name of its own is lrserve's as well
