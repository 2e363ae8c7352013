"""transformers: TrainingArguments, as its Trainer writes them, or as YAML or flags of a command line give them."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from pydantic import Field

from lrcore.configs._base import Context, Found, Json, Section, choose, from_spec, validated
from lrcore.errors import CurveError
from lrcore.family import Number
from lrcore.schedules import SCHEDULES
from lrcore.schedules._base import Fraction, Rate

NAMES = (
    *("constant", "constant_with_warmup", "cosine", "cosine_warmup_with_min_lr", "cosine_with_min_lr"),
    *("cosine_with_restarts", "greedy", "inverse_sqrt", "linear", "polynomial", "reduce_lr_on_plateau"),
    "warmup_stable_decay",
)
LEARNING_RATE, EPOCHS = 5e-5, 3.0  # by default


class _Arguments(Section):
    learning_rate: Rate | None = None
    lr_scheduler_type: Any = None
    lr_scheduler_kwargs: dict[str, Any] | str | None = None
    warmup_ratio: Fraction | None = None
    warmup_steps: Annotated[Number, Field(ge=0, le=1e15)] | None = None
    max_steps: Annotated[int, Field(le=10**15)] | None = None
    num_train_epochs: Annotated[Number, Field(gt=0, le=1e9)] | None = None


def fits(config: Any) -> bool:
    """Whether this looks like TrainingArguments."""
    return isinstance(config, dict) and bool(config.keys() & {"lr_scheduler_type", "num_train_epochs"})


def read(config: Any, context: Context) -> Found:
    """Read the schedule that the Trainer makes of its arguments."""
    found = validated(_Arguments, config)
    context.left_out(found.others)
    given = found.lr_scheduler_type
    if given is None:
        context.note("lr_scheduler_type linear, the default")
    name = given.rpartition(".")[2].lower() if isinstance(given, str) else given  # SchedulerType.COSINE as well
    name = choose("linear" if name is None else name, NAMES, "the schedule", ("lr_scheduler_type",))
    if found.learning_rate is None and context.base_lr is None:
        context.note("learning_rate 5e-05, the default")
    rate = context.rate(LEARNING_RATE if found.learning_rate is None else found.learning_rate)
    fields = SCHEDULES[name].model_fields if name in SCHEDULES else {}
    arguments = _kwargs(found)
    if "num_training_steps" in fields or found.warmup_ratio or _is_share(found.warmup_steps):
        total: int | None = _total(found, context)
    else:
        total = context.total_steps or (found.max_steps if (found.max_steps or 0) > 0 else None)
    if "num_warmup_steps" in fields:
        arguments = {"num_warmup_steps": _warm_up(found, total)} | arguments
    if "num_training_steps" in fields and total is not None and "num_stable_steps" not in arguments:
        arguments = {"num_training_steps": total} | arguments
    schedule = from_spec("transformers", name, arguments, ("lr_scheduler_kwargs",))
    if SCHEDULES[schedule["type"]].metric_driven:
        context.note("one step is one evaluation, after which the Trainer steps the schedule")
        return Found(schedule, rate, total, "epoch")
    return Found(schedule, rate, total)


def _kwargs(found: _Arguments) -> Json:
    given: Any = found.lr_scheduler_kwargs or {}
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            given = None
    if not isinstance(given, dict):
        raise CurveError(("lr_scheduler_kwargs",), "Input should be a valid object, or its JSON as a text")
    for name in ("num_warmup_steps", "num_training_steps"):
        if name in given:
            raise CurveError(("lr_scheduler_kwargs", name), "the Trainer gives it: leave it out")
    return {key: value for key, value in given.items() if key != "verbose"}  # which prints


def _total(found: _Arguments, context: Context) -> int:
    if found.max_steps is not None and found.max_steps > 0:
        return context.total(found.max_steps)
    if context.total_steps is not None:
        return context.total_steps
    if found.num_train_epochs is None:
        if context.steps_per_epoch is None:
            return context.total()
        context.note("num_train_epochs 3, the default")
    return max(1, math.ceil((found.num_train_epochs or EPOCHS) * context.epoch()))


def _is_share(steps: float | None) -> bool:
    return steps is not None and 0 < steps < 1


def _warm_up(found: _Arguments, total: int | None) -> int:
    """Steps of the warm-up: a share is rounded up, and goes after a number of steps."""
    steps = found.warmup_steps or 0
    if steps >= 1:
        return int(steps)
    return math.ceil((steps or found.warmup_ratio or 0.0) * (total or 0))
