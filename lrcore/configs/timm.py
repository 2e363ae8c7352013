"""timm: the arguments of its training script, as args.yaml or as flags."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field

from lrcore.configs._base import Context, Found, Json, Needed, Section, choose, from_spec, validated
from lrcore.configs._pieces import CONSTANT
from lrcore.errors import CurveError
from lrcore.family import Flag, Items, Number
from lrcore.schedules._base import Factor, Index, Rate

Epochs = Annotated[Number, Field(gt=0, le=1e12)]
Share = Annotated[Number, Field(ge=0, le=1e6)]
SCRIPT = {
    "t_initial": "epochs",
    "decay_t": "decay_epochs",
    "warmup_t": "warmup_epochs",
    "warmup_lr_init": "warmup_lr",
    "lr_min": "min_lr",
    "power": "decay_rate",
    "patience_t": "patience_epochs",
    "decay_fn": "lr_decay_fn",
    "stable_timescale": "lr_stable_timescale",
    "cycle_mul": "lr_cycle_mul",
    "cycle_decay": "lr_cycle_decay",
    "cycle_limit": "lr_cycle_limit",
    "k_decay": "lr_k_decay",
}  # the script's arguments, by those of the classes
KINDS = ("cosine", "tanh", "step", "constant", "multistep", "plateau", "poly", "wsd", "rsqrt", "none")


class _Arguments(Section):
    sched: Any = "cosine"
    sched_on_updates: Flag = False
    lr: Rate | None = None
    lr_base: Rate | None = None
    epochs: Annotated[Number, Field(ge=1, le=1e9)] = 300
    decay_epochs: Epochs | None = None
    decay_milestones: Annotated[list[Index], Items(10_000)] = [90, 180, 270]
    decay_rate: Factor = 0.1
    warmup_epochs: Annotated[Number, Field(ge=0, le=1e9)] = 5
    warmup_lr: Rate = 1e-5
    warmup_prefix: Flag = False
    min_lr: Rate = 0.0
    cooldown_epochs: Annotated[Number, Field(ge=0, le=1e9)] = 0
    patience_epochs: Index = 10
    eval_metric: str = "top1"
    lr_noise: Share | Annotated[list[Share], Items(2)] | None = None
    lr_noise_pct: Number = 0.67
    lr_noise_std: Number = 1.0
    seed: Index = 42
    lr_cycle_mul: Factor = 1.0
    lr_cycle_decay: Rate = 0.5
    lr_cycle_limit: Annotated[int, Field(ge=1, le=10**6)] = 1
    lr_k_decay: Factor = 1.0
    lr_decay_fn: str | None = None
    lr_stable_timescale: Epochs | None = None


def fits(config: Any) -> bool:
    """Whether this looks like timm's."""
    return isinstance(config, dict) and "sched" in config and not isinstance(config["sched"], dict)


def read(config: Any, context: Context) -> Found:
    """Read what timm's create_scheduler makes of the arguments."""
    found = validated(_Arguments, config)
    context.left_out(found.others)
    if found.sched is None:
        found = found.model_copy(update={"sched": "none"})
    kind = choose(found.sched, KINDS, "the schedule", ("sched",))
    if found.lr is None and context.base_lr is None:
        raise Needed(("base_lr",), "without lr the rate depends on the number of devices: give base_lr")
    rate, unit = context.rate(found.lr), context.epoch() if found.sched_on_updates else 1
    name, arguments, length = _scheduler(kind, found, unit)
    if not found.sched_on_updates:
        context.note("one step is one epoch")
    schedule = _noisy(_schedule(name, arguments), found, found.epochs * unit)
    return Found(schedule, rate, max(1, round(length)), "step" if found.sched_on_updates else "epoch")


def _schedule(name: str | None, arguments: Json) -> Json:
    """The schedule of timm's class, None for none. Raises CurveError, with the argument of the script."""
    if name is None:
        return CONSTANT
    try:
        return from_spec("timm", name, arguments, ())
    except CurveError as error:
        field, *inside = error.field or ("sched",)
        raise CurveError((SCRIPT.get(str(field), field), *inside), str(error)) from None


def _noisy(schedule: Json, found: _Arguments, steps: float) -> Json:
    """The schedule with noise between two shares of the run, but for its first rate. Raises CurveError."""
    shares = [found.lr_noise] if isinstance(found.lr_noise, float) else found.lr_noise or []
    if not shares or schedule == CONSTANT:
        return schedule
    if found.sched == "plateau":
        raise CurveError(("lr_noise",), "noise on a plateau is not supported: leave it out")
    first, *last = (max(1, math.ceil(share * steps)) for share in shares)
    if last and last[0] <= first:
        return schedule
    noise = {"noise_pct": found.lr_noise_pct, "noise_std": found.lr_noise_std, "noise_seed": found.seed}
    return {"type": "Noise", "noise_range_t": [first, *last] if last else first, "schedule": schedule} | noise


def _scheduler(kind: str, found: _Arguments, unit: int) -> tuple[str | None, Json, float]:
    """Class of timm, its arguments, and the steps of the run."""
    run: float = found.epochs * unit
    warm = {
        "warmup_t": found.warmup_epochs * unit,
        "warmup_lr_init": found.warmup_lr,
        "warmup_prefix": found.warmup_prefix,
    }
    decay = found.decay_epochs or (0.2 if kind in ("wsd", "rsqrt") else 90)
    cycles = {
        "t_initial": run,
        "lr_min": found.min_lr,
        "cycle_mul": found.lr_cycle_mul,
        "cycle_decay": found.lr_cycle_decay,
        "cycle_limit": found.lr_cycle_limit,
    }
    prefix = found.warmup_epochs * unit if found.warmup_prefix else 0
    turns = (found.lr_cycle_mul**i for i in range(found.lr_cycle_limit))
    whole = (
        run * sum(turns) + found.cooldown_epochs * unit + prefix if kind in ("cosine", "tanh", "poly") else run + prefix
    )
    match kind:
        case "cosine":
            return "CosineLRScheduler", cycles | warm | {"k_decay": found.lr_k_decay}, whole
        case "tanh":
            return "TanhLRScheduler", cycles | warm, whole
        case "poly":
            return "PolyLRScheduler", cycles | warm | {"power": found.decay_rate, "k_decay": found.lr_k_decay}, whole
        case "step":
            return "StepLRScheduler", warm | {"decay_t": decay * unit, "decay_rate": found.decay_rate}, whole
        case "constant":
            return "StepLRScheduler", warm | {"decay_t": 1, "decay_rate": 1.0}, whole
        case "multistep":
            milestones = [milestone * unit for milestone in found.decay_milestones]
            return "MultiStepLRScheduler", warm | {"decay_t": milestones, "decay_rate": found.decay_rate}, whole
        case "plateau":
            mode = "min" if "loss" in found.eval_metric else "max"
            bounds = {"patience_t": found.patience_epochs, "lr_min": found.min_lr, "mode": mode}
            return "PlateauLRScheduler", {"decay_rate": found.decay_rate, "warmup_t": warm["warmup_t"]} | bounds, whole
        case "wsd" | "rsqrt":
            return "WSDLRScheduler", _stable(kind, found, unit, decay), whole
    return None, {}, run


def _stable(kind: str, found: _Arguments, unit: int, decay: float) -> Json:
    """Arguments of WSDLRScheduler, which begins its own clock after the warm-up."""
    steps = (found.epochs - (0 if found.warmup_prefix else found.warmup_epochs)) * unit
    last = round(decay * steps if 0 < decay < 1 else decay * unit)
    if not 0 < last <= steps:
        raise CurveError(("decay_epochs",), f"it must be at most the {steps:g} steps after the warm-up")
    scale = found.lr_stable_timescale
    return {
        "t_initial": steps,
        "decay_t": last,
        "lr_min": found.min_lr,
        "stable_fn": "rsqrt" if kind == "rsqrt" else "constant",
        "stable_timescale": None if scale is None else float(scale * unit),
        "decay_fn": found.lr_decay_fn or ("linear" if kind == "rsqrt" else "1-sqrt"),
        "warmup_t": found.warmup_epochs * unit,
        "warmup_lr_init": found.warmup_lr,
    }
