"""transformers.get_scheduler by its names; torch's classes for what it has not, as its Trainer takes them."""

from __future__ import annotations

from collections.abc import Callable
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
        return torch.translate(schedule, base_lr, OTHERWISE)
    translated = torch.make_scheduler(["import transformers"], code)
    if schedule.metric_driven:
        return Translation(translated, True, ())
    first_rates(schedule, base_lr)
    reads = isinstance(schedule, TransformersPolynomial | PolynomialLR) or '"min_lr":' in code
    return Translation(translated, True, (OWN_RATE,) if reads else ())


def native(schedule: Schedule, lr: float) -> Code | None:
    """The schedule by transformers' own function; None if it has none, or divides by 0."""
    if isinstance(schedule, TorchSchedule) and schedule.last_epoch != -1:
        return None
    if home_of(type(schedule)) == "transformers":
        all_warm_up = isinstance(schedule, TransformersPolynomial) and (
            schedule.num_training_steps == schedule.num_warmup_steps
        )
        if (lr == 0 and not schedule.metric_driven) or all_warm_up:
            return None
        return _call(schedule.name(), **schedule.model_dump(include=schedule.model_fields_set - {"type"}))
    return _same(schedule, lr, 0)


def _call(name: str, **arguments: Any) -> Code:
    """get_scheduler with the two counts by name and the other arguments as scheduler_specific_kwargs."""
    given = {key: value for key, value in arguments.items() if value is not None}
    counts = {key: given.pop(key) for key in COUNTS if key in given}
    own = {"scheduler_specific_kwargs": given} if given else {}
    return written("transformers.get_scheduler", name, Code("optimizer"), **counts, **own)


def _same(schedule: Schedule, lr: float, warm: int) -> Code | None:
    """A schedule of another framework, after a warm-up from 0, by transformers' function for it."""
    match schedule:
        case Constant():
            return _call("constant_with_warmup", num_warmup_steps=warm) if warm else _call("constant")
        case CosineAnnealingLR(last_epoch=-1) as s if lr:
            counts = {"num_warmup_steps": warm, "num_training_steps": warm + s.T_max}
            return _call("cosine_with_min_lr", **counts, min_lr=s.eta_min) if s.eta_min else _call("cosine", **counts)
        case PolynomialLR(last_epoch=-1) as s if lr and s.power:
            counts = {"num_warmup_steps": warm, "num_training_steps": warm + s.total_iters}
            own = {} if s.power == 1 else {"lr_end": 0.0, "power": s.power}
            return _call("polynomial" if own else "linear", **counts, **own)
        case WarmUp(mode="shift", shape="linear", start=0) as s if not warm:
            return _same(s.schedule, lr, s.warmup_steps)
        case ReduceLROnPlateau(initial_lr=None):
            return _call("reduce_lr_on_plateau", **torch.given(schedule))
    return None


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
