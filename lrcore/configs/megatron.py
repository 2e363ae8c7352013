"""Megatron-LM: the flags of its training scripts, or the same names in YAML."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from lrcore.configs._base import Context, Found, Json, Needed, Section, validated
from lrcore.configs._pieces import CONSTANT, cosine, fixed, line, sequence
from lrcore.errors import CurveError
from lrcore.schedules._base import Count, Fraction, Index, Rate

SHAPES: dict[str, Json] = {
    "linear": {"cooldown": "linear"},
    "cosine": {"cooldown": "cosine"},
    "exponential": {"cooldown": "exp", "ratio": 0.5},
    "minus_sqrt": {"cooldown": "1-sqrt"},
}


class _Arguments(Section):
    lr: Rate | None = None
    min_lr: Rate = 0.0
    lr_decay_style: Literal["constant", "linear", "cosine", "inverse-square-root", "WSD"] = "linear"
    lr_decay_iters: Count | None = None
    lr_decay_samples: Count | None = None
    lr_wsd_decay_style: Literal["exponential", "linear", "cosine", "minus_sqrt"] = "exponential"
    lr_wsd_decay_iters: Count | None = None
    lr_wsd_decay_samples: Count | None = None
    lr_warmup_fraction: Fraction | None = None
    lr_warmup_iters: Index = 0
    lr_warmup_samples: Index = 0
    lr_warmup_init: Rate = 0.0
    train_iters: Count | None = None
    train_samples: Count | None = None
    global_batch_size: Annotated[int, Field(ge=1, le=10**12)] | None = None
    rampup_batch_size: Any = None


def fits(config: Any) -> bool:
    """Whether this looks like Megatron's."""
    return isinstance(config, dict) and bool(
        config.keys()
        & {"lr_decay_style", "lr_decay_iters", "lr_warmup_fraction", "lr_warmup_iters", "lr_decay_samples"}
    )


def read(config: Any, context: Context) -> Found:
    """Read the rates of OptimizerParamScheduler, which counts samples: iterations of equal batches are the same."""
    found = validated(_Arguments, config)
    context.left_out(name for name in found.others if name.startswith("lr") or "min_lr" in name)
    if found.rampup_batch_size not in (None, []):
        raise CurveError(("rampup_batch_size",), "batches that grow are not supported: leave it out")
    rate = context.rate(found.lr)
    low = found.min_lr
    if low > rate or found.lr_warmup_init > rate:
        raise CurveError(("min_lr" if low > rate else "lr_warmup_init",), f"it must be at most lr ({rate:g})")
    total = _iterations(found, "train_iters", "train_samples")
    total = context.total(total) if context.total_steps is not None or total is not None else None
    decay = _iterations(found, "lr_decay_iters", "lr_decay_samples") or total
    if decay is None:
        raise Needed(("total_steps",), "neither lr_decay_iters nor train_iters is there: give total_steps")
    warm = _warm_up(found, decay)
    if warm >= decay:
        raise CurveError(("lr_warmup_iters",), f"the warm-up must be shorter than the decay ({decay})")
    after = _after(found, rate, warm, decay)
    ramp = line(found.lr_warmup_init, rate, warm) if found.lr_warmup_init else None
    if ramp is None and warm:
        ramp = {"type": "WarmUp", "warmup_steps": warm, "schedule": CONSTANT}
    return Found(sequence([(ramp or CONSTANT, warm), (after, None)]), rate, total)


def _iterations(found: _Arguments, iterations: str, samples: str) -> int | None:
    """A length in iterations, from samples by the size of a batch."""
    given: int | None = getattr(found, iterations) or None
    if given is not None or not getattr(found, samples):
        return given
    size = found.global_batch_size
    if size is None:
        raise CurveError(("global_batch_size",), f"{samples} needs it")
    count: int = getattr(found, samples)
    if count % size and samples != "train_samples":
        raise CurveError((samples,), f"it must be a multiple of global_batch_size ({size})")
    return count // size


def _warm_up(found: _Arguments, decay: int) -> int:
    if found.lr_warmup_fraction is None:
        return _iterations(found, "lr_warmup_iters", "lr_warmup_samples") or 0
    steps = found.lr_warmup_fraction * decay
    if abs(steps - round(steps)) > 1e-6 * max(1.0, steps):
        message = f"{steps:g} iterations of warm-up are not whole: give lr_warmup_iters"
        raise CurveError(("lr_warmup_fraction",), message)
    return round(steps)


def _after(found: _Arguments, rate: float, warm: int, decay: int) -> Json:
    """The schedule from the end of the warm-up on."""
    low, steps = found.min_lr, decay - warm
    match found.lr_decay_style:
        case "constant":
            return CONSTANT
        case "linear":
            end = low / rate if rate else 0.0
            return {"type": "LinearLR", "start_factor": 1.0, "end_factor": end, "total_iters": steps}
        case "cosine":
            return cosine(steps, low)
        case "inverse-square-root":
            root: Json = {"type": "inverse_sqrt", "num_warmup_steps": 0, "timescale": warm}
            if not warm:  # the samples themselves count
                if found.global_batch_size is None:
                    raise CurveError(("global_batch_size",), "inverse-square-root without a warm-up needs it")
                root = {"type": "LambdaLR", "lr_lambda": f"1 / sqrt(max(1, {found.global_batch_size} * epoch))"}
            bounded = {"type": "Clamp", "min": low, "schedule": root} if low else root
            return sequence([(bounded, steps + 1), (fixed(low), None)])
    last = _iterations(found, "lr_wsd_decay_iters", "lr_wsd_decay_samples")
    if last is None:
        raise CurveError(("lr_wsd_decay_iters",), "lr_decay_style WSD needs it")
    if last > steps:
        raise CurveError(("lr_wsd_decay_iters",), f"it must be at most the {steps} iterations after the warm-up")
    ratio = {"min_ratio": low / rate} if low and rate else {}
    stable: Json = {"type": "WSD", "warmup_steps": 0, "stable_steps": steps - last, "decay_steps": last}
    return stable | SHAPES[found.lr_wsd_decay_style] | ratio
