"""OLMo-core: a scheduler's configuration, by its class or its registered name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lrcore.configs._base import (
    Context,
    Found,
    Json,
    Options,
    Path,
    an_object,
    choose,
    first_section,
    rate_of,
    section,
    validated,
    value_at,
)
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
from lrcore.family import Items, Number
from lrcore.schedules._base import Count, Factor, Fraction, Index, Rate

SCHEDULERS = (("train_module", "scheduler"), ("scheduler",))  # where one may be
KEYS = ("_CLASS_", "type", "class_name", "name")


class _Scheduler(Options):
    units: Literal["steps"] = "steps"
    lr_field: str = "lr"
    initial_lr_field: str = "initial_lr"


class _Ramped(_Scheduler):
    warmup: Index | None = None
    warmup_steps: Index | None = None
    warmup_fraction: Fraction | None = None
    warmup_min_lr: Rate = 0.0


class _Decaying(_Ramped):
    decay: Index | None = None
    decay_steps: Index | None = None
    decay_fraction: Fraction | None = 0.1
    decay_min_lr: Rate = 0.0


class _Power(_Decaying):
    b: Annotated[Number, Field(lt=0)] = -0.51


class _Floored(_Ramped):
    alpha_f: Fraction = 0.1


class _Ending(_Floored):
    t_max: Count | None = None


class _CosineThenLine(_Ending, _Decaying):
    pass


class _Periods(_Ramped):
    period_lengths: Annotated[list[Count], Items(30, least=1)]
    period_lr_multipliers: Annotated[list[Factor], Items(30)] | None = None
    decay: Index | None = None
    decay_fraction: Fraction | None = None
    decay_min_lr: Rate = 0.0


class _Exponential(_Scheduler):
    lr_min: Factor = 1e-9


CLASSES: dict[str, tuple[str, type[_Scheduler]]] = {
    "ConstantScheduler": ("constant", _Scheduler),
    "ConstantWithWarmup": ("constant_with_warmup", _Ramped),
    "CosWithWarmup": ("cos_with_warmup", _Ending),
    "CosWithWarmupAndLinearDecay": ("cos_with_warmup_and_linear_decay", _CosineThenLine),
    "ExponentialScheduler": ("exponential", _Exponential),
    "HalfCosWithWarmup": ("half_cos_with_warmup", _Ending),
    "InvSqrtWithWarmup": ("inv_sqrt_with_warmup", _Floored),
    "LinearWithWarmup": ("linear_with_warmup", _Ending),
    "PowerLR": ("power_lr", _Power),
    "WSD": ("wsd", _Decaying),
    "WSDS": ("wsds", _Periods),
}
NAMES = {short: name for name, (short, _) in CLASSES.items()}


def fits(config: Any) -> bool:
    """Whether this looks like OLMo-core's."""
    if not isinstance(config, dict):
        return False
    block, _ = first_section(config, *SCHEDULERS)
    return any(str(block.get(key)).rpartition(".")[2] in CLASSES for key in KEYS) or str(
        block.get("_CLASS_", "")
    ).startswith("olmo_core")


def read(config: Any, context: Context) -> Found:
    """Read the scheduler, and the rate of the optimizer beside it."""
    config = an_object(config)
    block, path = first_section(config, *SCHEDULERS)
    key = next((key for key in KEYS if key in block), KEYS[0])
    given = block.get(key)
    given = given.rpartition(".")[2] if isinstance(given, str) else given
    name = choose(NAMES.get(given, given) if isinstance(given, str) else given, CLASSES, "the scheduler", (*path, key))
    arguments = {each: value for each, value in block.items() if each not in (*KEYS, "_warned_t_max_ignored")}
    found = validated(CLASSES[name][1], arguments, path)
    module = section(config, "train_module") if path[:1] == ("train_module",) else config
    base = context.rate(rate_of(section(module, "optim"), (*path[:-1], "optim")) if path else None)
    schedule = _schedule(name, found, context, base, path)
    context.note("OLMo-core's first update is its step 1")
    return Found(shifted(schedule, 1), base, context.total_steps)


def _length(found: Any, name: str, total: int | None, context: Context, path: Path) -> int:
    """Steps of the warm-up or of the decay: a share of the run is rounded, half to even."""
    steps: Any = getattr(found, name, None)
    steps = getattr(found, f"{name}_steps", None) if steps is None else steps
    share: Any = getattr(found, f"{name}_fraction", None)
    if steps is not None and share is not None and f"{name}_fraction" not in found.model_fields_set:
        share = None
    if (steps is None) == (share is None):
        raise CurveError((*path, name), f"give either {name} or {name}_fraction")
    return int(steps) if steps is not None else round((context.total() if total is None else total) * share)


def _schedule(name: str, found: _Scheduler, context: Context, base: float, path: Path) -> Json:
    if isinstance(found, _Exponential):
        return _exponential(found, context.total(), base, path)
    if isinstance(found, _Periods):
        return _periods(found, context, base, path)
    if not isinstance(found, _Ramped):
        return CONSTANT
    total = found.t_max if isinstance(found, _Ending) else None
    warm = _length(found, "warmup", total, context, path)
    if found.warmup_min_lr >= base > 0:
        raise CurveError((*path, "warmup_min_lr"), f"it must be less than lr ({base:g})")
    if not warm and isinstance(found, _Power | _Floored) and not isinstance(found, _Ending):
        raise CurveError((*path, "warmup"), "it must be at least 1")
    ramp = line(found.warmup_min_lr, base, warm) if found.warmup_min_lr else warm_up(warm, CONSTANT)
    if name == "ConstantWithWarmup":
        return sequence([(ramp, warm), (CONSTANT, None)])
    if isinstance(found, _Floored) and not isinstance(found, _Ending):
        low = found.alpha_f
        root = {"type": "LambdaLR", "lr_lambda": f"{low!r} + {1 - low!r} * sqrt({warm} / (epoch + {warm}))"}
        return sequence([(ramp, warm), (root, None)])
    total = context.total() if total is None else total
    if warm >= total:
        raise CurveError((*path, "warmup"), f"the warm-up must be shorter than the run ({total})")
    if isinstance(found, _Decaying):
        return _decaying(found, ramp, warm, total, context, base, path)
    return _ending(name, found, ramp, warm, total - warm, base)


def _ending(name: str, found: Any, ramp: Json, warm: int, steps: int, base: float) -> Json:
    """Warm-up and a decay to a fraction of the rate."""
    low: float = found.alpha_f
    if name == "LinearWithWarmup":
        return sequence([(ramp, warm), (line_to(steps, low), None)])
    if name == "CosWithWarmup":
        return sequence([(ramp, warm), (cosine_to(steps, low), None)])
    turn = f"cos(pi * (epoch + {steps}) / {2 * steps})"
    half = {"type": "LambdaLR", "lr_lambda": f"{low!r} + {1 - low!r} * (1 + {turn}) / 2"}
    ramp = line(found.warmup_min_lr, base * (1 + low) / 2, warm)
    return sequence([(ramp, warm), (half, steps), (scaled(CONSTANT, low), None)])


def _decaying(found: _Decaying, ramp: Json, warm: int, total: int, context: Context, base: float, path: Path) -> Json:
    """Warm-up, what follows it, and a line down at the end of the run."""
    run_length = context.total()
    last = _length(found, "decay", run_length, context, path)
    steps = run_length - last - warm
    if steps < 0:
        raise CurveError((*path, "decay"), f"warm-up and decay must be no longer than the run ({run_length})")
    middle = CONSTANT
    if isinstance(found, _Power):
        middle = {"type": "InversePower", "gamma": 1 / warm, "power": -found.b}
    elif isinstance(found, _CosineThenLine):
        middle = cosine_to(total - warm, found.alpha_f)
    high = value_at(middle, base, steps)
    if last == 0:
        return sequence([(ramp, warm), (middle, None)])
    if found.decay_min_lr >= high > 0:
        raise CurveError((*path, "decay_min_lr"), f"it must be less than the rate at its beginning ({high:g})")
    return sequence([(ramp, warm), (middle, steps), (line(high, found.decay_min_lr, last), None)])


def _periods(found: _Periods, context: Context, base: float, path: Path) -> Json:
    """Warm-up, and then in each period its peak and a line down at its end."""
    lengths = found.period_lengths
    peaks = found.period_lr_multipliers or [1.0] * len(lengths)
    if len(peaks) != len(lengths):
        raise CurveError((*path, "period_lr_multipliers"), f"there must be as many as periods, {len(lengths)}")
    warm = _length(found, "warmup", lengths[0], context, path)
    parts: list[tuple[Json, int | None]] = [(line(found.warmup_min_lr, base * peaks[0], warm), warm)]
    for i, (length, peak) in enumerate(zip(lengths, peaks, strict=True)):
        last = _length(found, "decay", length, context, path)
        stable = length - last - (warm if i == 0 else 0)
        if stable < 0:
            raise CurveError((*path, "period_lengths", i), "the period must hold its warm-up and its decay")
        # a period begins a step after its first step, which is the last one of the period before
        down = line(base * peak, found.decay_min_lr, last)
        parts += (
            [(from_rate(base * peak, CONSTANT), stable), (down, last)]
            if i == 0
            else _later(base * peak, down, stable, last, found.decay_min_lr)
        )
    return sequence([*parts, (fixed(found.decay_min_lr), None)])


def _later(peak: float, down: Json, stable: int, last: int, low: float) -> list[tuple[Json, int | None]]:
    """A period after the first, whose step 0 has the rate at the end of the one before."""
    if stable:
        return [(fixed(low), 1), (from_rate(peak, CONSTANT), stable - 1), (down, last)]
    return [(fixed(low), 1), (shifted(down, 1), last - 1)]


def _exponential(found: _Exponential, total: int, base: float, path: Path) -> Json:
    if found.lr_min >= base:
        raise CurveError((*path, "lr_min"), f"it must be less than lr ({base:g})")
    rise = {"type": "ExponentialRangeTest", "start_lr": found.lr_min, "end_lr": base, "num_iter": max(2, total)}
    return rise
