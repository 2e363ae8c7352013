"""Curves without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lrcore.curve import CurveRequest, sample
from lrcore.schedules import Rates, Schedule


def curve(
    schedule: Mapping[str, Any] | Schedule,
    steps: int,
    base_lr: float | Sequence[float] | None = None,
    *,
    start: int = 0,
    stride: int = 1,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
    metrics: Sequence[float] | None = None,
) -> Rates:
    """Compute a schedule's rates, without a server.

    Args:
        schedule: as JSON in a dict, or a spec object of lrcore.schedules.
        steps: how many rates.
        base_lr: the optimizer's initial rate, or a list with one per parameter group; required unless the schedule has
            its own.
        start: the first step.
        stride: from one step to the next.
        total_steps: steps of the whole run, for lengths in percent; start + stride * steps if None.
        steps_per_epoch: for lengths in epochs.
        metrics: for a schedule that follows a metric, its value after each interval.

    Returns:
        The rates at start, start + stride, …: float64, shape (steps,), or (groups, steps) if `base_lr` is a list.

    Raises:
        ValueError: the schedule is not valid, or a rate is not finite.
    """
    spec = schedule.model_dump(mode="json", by_alias=True) if isinstance(schedule, Schedule) else dict(schedule)
    asked = {
        "schedule": spec,
        "steps": steps,
        "base_lr": base_lr,
        "start": start,
        "stride": stride,
        "total_steps": total_steps,
        "steps_per_epoch": steps_per_epoch,
        "metrics": metrics,
    }
    request = CurveRequest.model_validate({name: value for name, value in asked.items() if value is not None})
    rates = sample(request).lr
    return rates if request.grouped else rates[0]
