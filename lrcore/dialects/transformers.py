"""transformers.get_scheduler by its names; torch's classes for what it has not, as its Trainer takes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any, Literal

from lrcore.dialects import torch
from lrcore.dialects._base import Code, Translation, written
from lrcore.dialects._evaluate import first_rates
from lrcore.family import home_of
from lrcore.schedules import Schedule
from lrcore.schedules._base import GroupRates, Rate, TorchSchedule
from lrcore.schedules.algebra import WarmUp
from lrcore.schedules.constant import Constant
from lrcore.schedules.cosine import CosineAnnealingLR
from lrcore.schedules.factor import PolynomialLR
from lrcore.schedules.plateau import Count, FactorBelowOne, ReduceLROnPlateau
from lrcore.schedules.transformers import TransformersPolynomial

OTHERWISE = "transformers has no such schedule; its Trainer takes this one of torch through `optimizers`"
OWN_RATE = "reads the rate from the optimizer's defaults, so give it there and not to the parameter groups"
COUNTS = ("num_warmup_steps", "num_training_steps")


def translate(schedule: Schedule, base_lr: float) -> Translation:
    """The schedule as `make_scheduler(optimizer)`."""
    code = native(schedule, base_lr)
    if code is None:
        make = torch.of_class if torch.has_class(schedule) else torch.of_formula
        return make(schedule, base_lr, OTHERWISE)
    if not schedule.metric_driven:
        first_rates(schedule, base_lr)
    notes = (OWN_RATE,) if isinstance(schedule, TransformersPolynomial | PolynomialLR) or "min_lr=" in code else ()
    return Translation(torch.make_scheduler(["import transformers"], code), True, notes)


def native(schedule: Schedule, lr: float) -> Code | None:
    """The schedule by transformers' own function; None if it has none, or divides by 0."""
    if isinstance(schedule, TorchSchedule) and schedule.last_epoch != -1:
        return None
    if home_of(type(schedule)) == "transformers":
        if lr == 0 or (isinstance(schedule, TransformersPolynomial) and _is_all_warm_up(schedule)):
            return None
        return _call(schedule.name(), **schedule.model_dump(include=schedule.model_fields_set - {"type"}))
    return _same(schedule, lr, 0)


def _is_all_warm_up(schedule: TransformersPolynomial) -> bool:
    return schedule.num_training_steps == schedule.num_warmup_steps


def _call(name: str, **arguments: Any) -> Code:
    """get_scheduler with the two counts by name and the other arguments as scheduler_specific_kwargs."""
    given = {key: value for key, value in arguments.items() if value is not None}
    counts = {key: given.pop(key) for key in COUNTS if key in given}
    own = {"scheduler_specific_kwargs": given} if given else {}
    return written("transformers.get_scheduler", name, Code("optimizer"), **counts, **own)


@singledispatch
def _same(schedule: Schedule, lr: float, warm: int) -> Code | None:
    """A schedule of another framework, after a warm-up from 0, by transformers' function for it."""
    return None


@_same.register
def _(s: Constant, lr: float, warm: int) -> Code | None:
    return _call("constant_with_warmup", num_warmup_steps=warm) if warm else _call("constant")


@_same.register
def _(s: CosineAnnealingLR, lr: float, warm: int) -> Code | None:
    if lr == 0 or s.last_epoch != -1:
        return None
    counts = {"num_warmup_steps": warm, "num_training_steps": warm + s.T_max}
    return _call("cosine_with_min_lr", **counts, min_lr=s.eta_min) if s.eta_min else _call("cosine", **counts)


@_same.register
def _(s: PolynomialLR, lr: float, warm: int) -> Code | None:
    if lr == 0 or s.power == 0 or s.last_epoch != -1:
        return None
    counts = {"num_warmup_steps": warm, "num_training_steps": warm + s.total_iters}
    return _call("linear", **counts) if s.power == 1 else _call("polynomial", **counts, lr_end=0.0, power=s.power)


@_same.register
def _(s: WarmUp, lr: float, warm: int) -> Code | None:
    if warm or s.mode != "shift" or s.shape != "linear" or s.start != 0:
        return None
    return _same(s.schedule, lr, s.warmup_steps)


@_same.register
def _(s: ReduceLROnPlateau, lr: float, warm: int) -> Code | None:
    return None if s.initial_lr is not None else _call("reduce_lr_on_plateau", **torch.given(s))


def _plateau(
    mode: Literal["min", "max"] = "min",
    factor: FactorBelowOne = 0.1,
    patience: Count = 10,
    threshold: Rate = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: Count = 0,
    min_lr: GroupRates = 0.0,
    eps: Rate = 1e-8,
) -> dict[str, Any]:
    return {"type": "ReduceLROnPlateau"} | locals()


READERS: dict[str, Callable[..., dict[str, Any]]] = {"reduce_lr_on_plateau": _plateau}
