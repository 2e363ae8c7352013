"""Lightning: the configuration of its command line, an lr_scheduler_config, or a class_path with init_args."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lrcore.configs import torch
from lrcore.configs._base import Context, Found, Json, Options, Path, Section, an_object, rate_of, section, validated

SCHEDULER_CONFIG = {"scheduler", "interval", "frequency", "monitor", "strict", "name", "reduce_on_plateau"}


class _Trainer(Section):
    max_epochs: Annotated[int, Field(ge=-1, le=10**9)] | None = None
    max_steps: Annotated[int, Field(ge=-1, le=10**15)] | None = None


class _SchedulerConfig(Options):
    scheduler: dict[str, Any]
    interval: Literal["epoch", "step"] = "epoch"
    frequency: Literal[1] = 1
    monitor: str | None = None
    strict: bool = True
    name: str | None = None
    reduce_on_plateau: bool = False


def fits(config: Any) -> bool:
    """Whether this looks like Lightning's."""
    if not isinstance(config, dict):
        return False
    blocks = [config.get(name) for name in ("lr_scheduler", "lr_scheduler_config")]
    return any(isinstance(block, dict) and "_name" not in block for block in blocks) or (
        {"scheduler", "interval"} <= config.keys()
    )


def read(config: Any, context: Context) -> Found:
    """Read the scheduler, the rate of the optimizer and the length that the trainer has."""
    config = an_object(config)
    block, path = _block(config)
    interval: Literal["epoch", "step"] = "epoch"
    if "scheduler" in block:
        found = validated(_SchedulerConfig, block, path)
        block, path, interval = found.scheduler, (*path, "scheduler"), found.interval
    schedule = torch.of_class({key: value for key, value in block.items() if key != "monitor"}, path)
    if schedule["type"] == "ReduceLROnPlateau":
        schedule = {key: value for key, value in schedule.items() if key != "monitor"}
    elif interval == "epoch":
        context.note("one step is one epoch: Lightning's default interval")
    return Found(schedule, _rate(config, context), _length(config, context, interval), interval)


def _block(config: Json) -> tuple[Json, Path]:
    for name in ("lr_scheduler", "lr_scheduler_config"):
        if name in config:
            return section(config, name), (name,)
    return config, ()


def _rate(config: Json, context: Context) -> float | None:
    optimizer = section(config, "optimizer")
    key = next((each for each in torch.ARGUMENTS if isinstance(optimizer.get(each), dict)), None)
    inside, path = (optimizer[key], ("optimizer", key)) if key else (optimizer, ("optimizer",))
    return context.known_rate(rate_of(inside, path))


def _length(config: Json, context: Context, interval: str) -> int | None:
    trainer = validated(_Trainer, section(config, "trainer"), ("trainer",))
    if context.total_steps is not None:
        return context.total_steps
    own = trainer.max_epochs if interval == "epoch" else trainer.max_steps
    if own is not None and own > 0:
        return own
    if interval == "step" and (trainer.max_epochs or -1) > 0 and context.steps_per_epoch is not None:
        return (trainer.max_epochs or 0) * context.steps_per_epoch
    return None
