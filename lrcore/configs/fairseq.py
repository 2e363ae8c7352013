"""fairseq: the flags of its command line, or lr_scheduler and optimization of a Hydra configuration."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import Field, field_validator

from lrcore.configs._base import Context, Found, Json, Options, Path, choose, section, validated
from lrcore.configs._pieces import CONSTANT, fixed, line, polynomial, scaled, sequence, warm_up
from lrcore.errors import CurveError
from lrcore.family import Flag, Items, Number
from lrcore.schedules._base import Count, Factor, Fraction, Index, Rate

InitialRate = Annotated[Number, Field(ge=-1)]  # negative: the default
COMMON = ("lr", "max_update")


class _Scheduler(Options):
    lr: Annotated[list[Rate], Items(10_000, least=1)]
    max_update: Index = 0
    warmup_updates: Index = 0

    @field_validator("lr", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """One rate, a list, or a list as a command line and YAML have it: "[0.0005]"."""
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return value
        return [value] if isinstance(value, int | float) else value


class _Fixed(_Scheduler):
    force_anneal: Count | None = None
    lr_shrink: Factor = 0.1


class _Cosine(_Scheduler):
    warmup_init_lr: InitialRate = -1.0
    min_lr: Rate = 0.0
    t_mult: Annotated[Number, Field(ge=1, le=1000)] = 1.0
    lr_period_updates: Annotated[Number, Field(ge=-1, le=1e15)] = -1.0
    lr_shrink: Factor = 0.1


class _InverseSqrt(_Scheduler):
    warmup_updates: Count = 4000
    warmup_init_lr: InitialRate = -1.0


class _Polynomial(_Scheduler):
    force_anneal: Count | None = None
    end_learning_rate: Rate = 0.0
    power: Factor = 1.0
    total_num_update: Annotated[Number, Field(ge=0, le=1e15)] = 0.0


class _Step(_Scheduler):
    warmup_init_lr: InitialRate = -1.0
    min_lr: Rate = 0.0
    lr_deacy_period: Count = 25_000
    lr_decay: Annotated[Factor, Field(le=1)] = 0.5


class _TriStage(_Scheduler):
    warmup_steps: Index = 0
    hold_steps: Index = 0
    decay_steps: Index = 0
    phase_ratio: Annotated[list[Fraction], Field(min_length=3, max_length=3)] | None = None
    init_lr_scale: Rate = 0.01
    final_lr_scale: Factor = 0.01


class _Triangular(_Scheduler):
    max_lr: Rate
    lr_period_updates: Annotated[Number, Field(ge=2, le=1e15)] = 5000.0
    lr_shrink: Factor = 0.1
    shrink_min: Flag = False


CLASSES: dict[str, type[_Scheduler]] = {
    "cosine": _Cosine,
    "fixed": _Fixed,
    "inverse_sqrt": _InverseSqrt,
    "pass_through": _Scheduler,
    "polynomial_decay": _Polynomial,
    "step": _Step,
    "tri_stage": _TriStage,
    "triangular": _Triangular,
}


def fits(config: Any) -> bool:
    """Whether this looks like fairseq's."""
    if not isinstance(config, dict):
        return False
    block = config.get("lr_scheduler")
    if isinstance(block, dict):
        return block.get("_name") in CLASSES
    return isinstance(block, str) and block in CLASSES and "learning_rate" not in config


def read(config: Any, context: Context) -> Found:
    """Read lr_scheduler and what it takes."""
    if not isinstance(config, dict):
        raise CurveError((), "Input should be a valid object, or the flags of a command line")
    block = config.get("lr_scheduler", "fixed")
    path: Path = ("lr_scheduler",) if isinstance(block, dict) else ()
    where = (*path, "_name") if path else ("lr_scheduler",)
    name = choose(block.get("_name") if isinstance(block, dict) else block, CLASSES, "the scheduler", where)
    fields = CLASSES[name].model_fields
    if isinstance(block, dict):
        given = {key: value for key, value in block.items() if key != "_name" and not _is_reference(value)}
        rest = section(config, "optimization")
    else:
        given, rest = {key: value for key, value in config.items() if key in fields}, config
        context.left_out(
            key for key in config.keys() - fields.keys() - {"lr_scheduler"} if key.startswith(("lr", "warmup"))
        )
    given = {key: rest[key] for key in COMMON if key in rest and not _is_reference(rest[key])} | given
    if "lr" not in given:
        given["lr"] = [context.rate()]
    try:
        found = validated(CLASSES[name], given, path)
    except CurveError as error:
        if path and error.field[1:2] and error.field[1] in COMMON and error.field[1] not in block:
            raise CurveError(("optimization", *error.field[1:]), str(error)) from None
        raise
    rate = context.rate(found.lr[0])
    total = context.total_steps or found.max_update or None
    return Found(_schedule(found, rate, total, context, path), rate, total)


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("${")


def _schedule(found: _Scheduler, rate: float, total: int | None, context: Context, path: Path) -> Json:
    if len(found.lr) > 1 and not isinstance(found, _Fixed):
        raise CurveError((*path, "lr"), "rates by epoch are supported for the fixed schedule only: give one")
    match found:
        case _Fixed():
            return _fixed(found, context, path)
        case _Cosine():
            return _cosine(found, rate, total, context, path)
        case _InverseSqrt():
            return _inverse_sqrt(found, rate)
        case _Polynomial():
            return _polynomial(found, total, context, path)
        case _Step():
            return _step(found, rate)
        case _TriStage():
            return _tri_stage(found, total, context, path)
        case _Triangular():
            return _triangular(found, rate, path)
    return CONSTANT


def _inverse_sqrt(found: _InverseSqrt, rate: float) -> Json:
    warm, low = found.warmup_updates, max(0.0, found.warmup_init_lr)
    if not low:
        return {"type": "inverse_sqrt", "num_warmup_steps": warm}
    after: Json = {"type": "inverse_sqrt", "num_warmup_steps": 0, "timescale": warm}
    return sequence([(line(low, rate, warm), warm), (after, None)])


def _polynomial(found: _Polynomial, total: int | None, context: Context, path: Path) -> Json:
    if found.force_anneal is not None:
        raise CurveError((*path, "force_anneal"), "not supported: leave it out")
    warm, end = found.warmup_updates, int(found.total_num_update) or total or context.total()
    return warm_up(warm, polynomial(end - warm, found.power, found.end_learning_rate))


def _step(found: _Step, rate: float) -> Json:
    warm, start = found.warmup_updates, found.warmup_init_lr if found.warmup_init_lr >= 0 else found.min_lr
    down: Json = {"type": "StepLR", "step_size": found.lr_deacy_period, "gamma": found.lr_decay}
    down = {"type": "Clamp", "min": found.min_lr, "schedule": down} if found.min_lr else down
    return sequence([(line(start, rate, warm), warm), (down, None)])


def _fixed(found: _Fixed, context: Context, path: Path) -> Json:
    """Rates by epoch, the last one held or shrunk, and a warm-up that begins at its second step."""
    warm = found.warmup_updates
    if len(found.lr) == 1 and found.force_anneal is None:
        return warm_up(warm, CONSTANT) if warm < 2 else sequence([
            ({"type": "LinearLR", "start_factor": 1 / warm, "end_factor": 1.0, "total_iters": warm - 1}, None)
        ])  # fmt: skip
    if warm > 1:
        raise CurveError((*path, "warmup_updates"), "a warm-up under rates by epoch is not supported: leave it out")
    epoch, rates = context.epoch(), found.lr
    if found.force_anneal is None:
        return {"type": "PiecewiseDecay", "boundaries": [epoch * i for i in range(1, len(rates))], "values": rates}
    before = found.force_anneal - 1
    rates = [rates[min(i, len(rates) - 1)] for i in range(min(before, len(rates)))]
    parts: list[tuple[Json, int | None]] = [(fixed(each), epoch) for each in rates[:-1]]
    if rates:
        parts.append((fixed(rates[-1]), (before - len(rates) + 1) * epoch))
    shrinking: Json = {"type": "StepLR", "step_size": epoch, "gamma": found.lr_shrink}
    last = {"type": "BaseLR", "base_lr": found.lr[-1] * found.lr_shrink, "schedule": shrinking}
    return sequence([*parts, (last, None)])


def _cosine(found: _Cosine, rate: float, total: int | None, context: Context, path: Path) -> Json:
    if found.min_lr >= rate:
        raise CurveError((*path, "min_lr"), f"it must be less than lr ({rate:g})")
    warm = found.warmup_updates
    start = found.warmup_init_lr if found.warmup_init_lr >= 0 else found.min_lr
    period = int(found.lr_period_updates) if found.lr_period_updates > 0 else (total or context.total()) - warm
    if period < 1:
        raise CurveError((*path, "warmup_updates"), "the warm-up must be shorter than the run")
    half = {"type": "CosineAnnealingLR", "T_max": period} | ({"eta_min": found.min_lr} if found.min_lr else {})
    if found.t_mult == 1:
        turns: Json = {"type": "Repeat", "cycle_steps": period, "decay": found.lr_shrink, "schedule": half}
    elif found.t_mult == int(found.t_mult):
        turns = _growing(found, period, total or context.total())
    else:
        raise CurveError((*path, "t_mult"), "supported only if it is whole")
    return sequence([(line(start, rate, warm), warm), (turns, None)])


def _growing(found: _Cosine, period: int, total: int) -> Json:
    """Cycles whose lengths and rates change from one to the next."""
    parts: list[tuple[Json, int | None]] = []
    length, end = period, found.warmup_updates
    while end < total or not parts:
        half: Json = {"type": "CosineAnnealingLR", "T_max": length} | (
            {"eta_min": found.min_lr} if found.min_lr else {}
        )
        parts.append((scaled(half, found.lr_shrink ** len(parts)), length))
        end, length = end + length, int(length * found.t_mult)
    return sequence([*parts[:-1], (parts[-1][0], None)])


def _tri_stage(found: _TriStage, total: int | None, context: Context, path: Path) -> Json:
    if found.phase_ratio is not None:
        end = total or context.total()
        warm, hold, decay = (int(end * ratio) for ratio in found.phase_ratio)
    else:
        warm, hold, decay = found.warmup_steps, found.hold_steps, found.decay_steps
    if decay < 1:
        raise CurveError((*path, "decay_steps"), "it must be at least 1")
    down: Json = {"type": "ExponentialLR", "gamma": found.final_lr_scale ** (1 / decay)}
    last = scaled(CONSTANT, found.final_lr_scale)
    if found.init_lr_scale > 1:
        raise CurveError((*path, "init_lr_scale"), "it must be at most 1")
    ramp = warm_up(warm, CONSTANT, found.init_lr_scale)
    return sequence([(ramp, warm), (CONSTANT, hold), (down, decay), (last, None)])


def _triangular(found: _Triangular, rate: float, path: Path) -> Json:
    if not found.max_lr > rate > 0:
        raise CurveError((*path, "max_lr"), f"it must be more than lr ({rate:g}), and lr more than 0")
    half = int(found.lr_period_updates // 2)
    ratio, shrink = found.max_lr / rate, found.lr_shrink
    turn = f"{shrink!r} ** (epoch // {2 * half})"
    low = turn if found.shrink_min else "1"
    wave = f"(1 - abs(epoch % {2 * half} / {half} - 1))"
    return {"type": "LambdaLR", "lr_lambda": f"{low} + ({ratio!r} * {turn} - {low}) * {wave}"}
