"""DeepSpeed: a ds_config.json, or its `scheduler` alone."""

from __future__ import annotations

from typing import Any, Literal

from lrcore.configs._base import Context, Found, Json, Options, Path, choose, from_spec, rate_of, section, validated
from lrcore.configs._pieces import (
    CONSTANT,
    cosine_to,
    fixed,
    from_rate,
    line,
    line_to,
    scaled,
    sequence,
    shifted,
    warm_up,
)
from lrcore.errors import CurveError
from lrcore.family import Flag, Number
from lrcore.schedules._base import Count, Fraction, Index, Rate

Shape = Literal["log", "linear"]
LATE = "DeepSpeed's second update has the first rate again: its scheduler counts the updates from -1"


def fits(config: Any) -> bool:
    """Whether this looks like DeepSpeed's."""
    if not isinstance(config, dict):
        return False
    block = config.get("scheduler", config)
    return isinstance(block, dict) and block.get("type") in SCHEDULERS and isinstance(block.get("params", {}), dict)


def read(config: Any, context: Context) -> Found:
    """Read `scheduler`, and the rate of `optimizer`."""
    if not isinstance(config, dict):
        raise CurveError((), "Input should be a valid object: a ds_config.json, or its scheduler")
    whole = "type" not in config
    path = ("scheduler",) if whole else ()
    block = section(config, "scheduler") if whole else config
    if not block:
        raise CurveError(("scheduler",), "Field required")
    name = choose(block.get("type"), SCHEDULERS, "the scheduler", (*path, "type"))
    params, path = section(block, "params", path), (*path, "params")
    if whole:
        context.left_out(config.keys() - {"scheduler", "optimizer"})
    optimizer = section(section(config, "optimizer"), "params") if whole else {}
    lr = rate_of(optimizer, ("optimizer", "params"))
    return SCHEDULERS[name](params, path, context, lr)


class _Resumable(Options):
    last_batch_iteration: Literal[-1] = -1


class _WarmupLR(_Resumable):
    warmup_min_lr: Rate = 0.0
    warmup_max_lr: Rate | None = None
    warmup_num_steps: Count = 1000
    warmup_type: Shape = "log"


class _WarmupDecayLR(_WarmupLR):
    warmup_max_lr: Rate | None = 0.001
    total_num_steps: Count


class _WarmupCosineLR(_Resumable):
    total_num_steps: Count
    warmup_min_ratio: Fraction = 0.0
    warmup_num_steps: Count = 1000
    cos_min_ratio: Fraction = 0.0001
    warmup_type: Shape = "log"


class _OneCycle(_Resumable):
    cycle_min_lr: Rate
    cycle_max_lr: Rate
    decay_lr_rate: Rate = 0.0
    cycle_first_step_size: Count = 2000
    cycle_second_step_size: Count | None = None
    cycle_first_stair_count: Index = 0
    cycle_second_stair_count: Index | None = None
    decay_step_size: Index = 0
    cycle_momentum: Flag = True
    cycle_min_mom: Number = 0.8
    cycle_max_mom: Number = 0.9
    decay_mom_rate: Number = 0.0


def _range_test(params: Json, path: Path, context: Context, lr: float | None) -> Found:
    return Found(from_spec("deepspeed", "LRRangeTest", _without_resumption(params), path))


def _warm_up(params: Json, path: Path, context: Context, lr: float | None) -> Found:
    found = validated(_WarmupLR, params, path)
    high = context.rate(lr) if found.warmup_max_lr is None else found.warmup_max_lr
    context.note(LATE)
    return Found(from_rate(high, _late(found, high, path)))


def _warm_up_decay(params: Json, path: Path, context: Context, lr: float | None) -> Found:
    found = validated(_WarmupDecayLR, params, path)
    high = context.rate(lr) if found.warmup_max_lr is None else found.warmup_max_lr
    warm, total = max(2, found.warmup_num_steps), found.total_num_steps
    ramp = _late(found, high, path)["schedule"]
    down = line_to(total - warm, found.warmup_min_lr / high if high else 0.0)
    context.note(LATE)
    return Found(from_rate(high, shifted(sequence([(ramp, warm), (down, None)]), -1)), None, total)


def _late(found: _WarmupLR, high: float, path: Path) -> Json:
    """The warm-up, an update late."""
    names = ("warmup_min_lr", "warmup_num_steps", "warmup_type")
    arguments = {name: getattr(found, name) for name in names} | {"warmup_max_lr": high}
    late: Json = from_spec("deepspeed", "WarmupLR", arguments, path)["schedule"]
    return late


def _warm_up_cosine(params: Json, path: Path, context: Context, lr: float | None) -> Found:
    found = validated(_WarmupCosineLR, params, path)
    warm, total = max(2, found.warmup_num_steps), found.total_num_steps
    ramp = warm_up(warm, CONSTANT, found.warmup_min_ratio, found.warmup_type)
    down = shifted(cosine_to(max(1, total - warm), found.cos_min_ratio), 1)
    context.note("DeepSpeed's first update has a rate of 0, and the second one that of its step 0")
    whole = sequence([(scaled(CONSTANT, 0.0), 1), (ramp, warm), (down, None)])
    return Found(whole, context.rate(lr), total)


def _one_cycle(params: Json, path: Path, context: Context, lr: float | None) -> Found:
    found = validated(_OneCycle, params, path)
    low, high, first = found.cycle_min_lr, found.cycle_max_lr, found.cycle_first_step_size
    second = first if found.cycle_second_step_size is None else found.cycle_second_step_size
    stairs = found.cycle_first_stair_count
    down_stairs = stairs if found.cycle_second_stair_count is None else found.cycle_second_stair_count
    if found.cycle_momentum:
        context.note("momentum is left out: cycle_momentum")
    after = fixed(low)
    if found.decay_lr_rate and found.decay_step_size:
        after = {
            "type": "InverseTimeDecay",
            "initial_learning_rate": low,
            "decay_steps": found.decay_step_size,
            "decay_rate": found.decay_lr_rate,
        }
    up = _stairs(low, high, first, stairs)
    down = _stairs(high, low, second, down_stairs)
    return Found(sequence([(up, first), (down, second), (after, None)]))


def _stairs(start: float, end: float, steps: int, stairs: int) -> Json:
    """From one rate to another, in a line or in stairs: those down begin a step after their whole share."""
    if not stairs:
        return line(start, end, steps)
    if start <= end:
        firsts = [-(-k * steps // stairs) for k in range(1, stairs)]
    else:
        firsts = [k * steps // stairs + 1 for k in range(stairs)]
    values = [start + (end - start) * k / stairs for k in range(len(firsts) + 1)]
    return {"type": "PiecewiseDecay", "boundaries": firsts, "values": values} if firsts else fixed(start)


def _without_resumption(params: Json) -> Json:
    return {name: value for name, value in params.items() if (name, value) != ("last_batch_iteration", -1)}


SCHEDULERS = {
    "LRRangeTest": _range_test,
    "OneCycle": _one_cycle,
    "WarmupCosineLR": _warm_up_cosine,
    "WarmupDecayLR": _warm_up_decay,
    "WarmupLR": _warm_up,
}
