"""DeepSpeed: its schedules in. `LRRangeTest` is lrserve's own under the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from lrcore.errors import CurveError
from lrcore.schedules._base import Rate, StepCount


def _warm_up(
    warmup_min_lr: Rate = 0.0,
    warmup_max_lr: Rate | None = None,
    warmup_num_steps: StepCount = 1000,
    warmup_type: Literal["log", "linear"] = "log",
) -> dict[str, Any]:
    """Read WarmupLR: from warmup_min_lr to warmup_max_lr, by default the optimizer's rate, and flat from then on.

    Its first count of steps is -1, with the same rate as 0: each update has the rate of the step before it.
    """
    ramp = {
        "type": "WarmUp",
        "warmup_steps": max(2, warmup_num_steps),
        "shape": warmup_type,
        "schedule": {"type": "Constant"},
    }
    late = {"type": "Shift", "by": -1, "schedule": ramp}
    if warmup_max_lr is None:
        if warmup_min_lr:
            raise CurveError(("warmup_max_lr",), "give it, too: warmup_min_lr is read as a fraction of it")
        return late
    if warmup_min_lr > warmup_max_lr:
        raise CurveError(("warmup_min_lr",), f"it must be at most warmup_max_lr ({warmup_max_lr:g})")
    ramp["start"] = warmup_min_lr / warmup_max_lr if warmup_max_lr else 0.0
    return {"type": "BaseLR", "base_lr": warmup_max_lr, "schedule": late}


READERS: dict[str, Callable[..., dict[str, Any]]] = {"WarmupLR": _warm_up}
