"""Schedules put together from parts, as JSON: what the readers of configurations write."""

from __future__ import annotations

from collections.abc import Sequence

from lrcore.configs._base import Json

CONSTANT: Json = {"type": "Constant"}


def fixed(rate: float) -> Json:
    """A rate of its own, whatever the optimizer's is."""
    return from_rate(rate, CONSTANT)


def from_rate(rate: float, schedule: Json) -> Json:
    """A schedule from a rate of its own."""
    return {"type": "BaseLR", "base_lr": rate, "schedule": schedule}


def scaled(schedule: Json, factor: float) -> Json:
    """A schedule times a factor."""
    return schedule if factor == 1 else {"type": "Scale", "factor": factor, "schedule": schedule}


def shifted(schedule: Json, by: int) -> Json:
    """A schedule begun so many steps earlier."""
    return {"type": "Shift", "by": by, "schedule": schedule} if by else schedule


def sequence(parts: Sequence[tuple[Json, int | None]]) -> Json:
    """Schedules one after another, each with its steps; those without any are left out. The last one has no end."""
    kept = [part for part in parts[:-1] if part[1]] + [parts[-1]]
    if len(kept) == 1:
        return kept[0][0]
    ends: list[int] = []
    for _, steps in kept[:-1]:
        ends.append((ends[-1] if ends else 0) + (steps or 0))
    return {"type": "SequentialLR", "schedulers": [part for part, _ in kept], "milestones": ends}


def product(schedules: Sequence[Json]) -> Json:
    """Schedules multiplied, each as a factor of the base rate."""
    return schedules[0] if len(schedules) == 1 else {"type": "ChainedScheduler", "schedulers": list(schedules)}


def warm_up(steps: int, schedule: Json, start: float = 0.0, shape: str = "linear") -> Json:
    """A warm-up before a schedule, from a fraction of its first rate."""
    if steps == 0:
        return schedule
    ramp = {"type": "WarmUp", "warmup_steps": steps, "schedule": schedule}
    return ramp | ({"start": start} if start else {}) | ({"shape": shape} if shape != "linear" else {})


def line(start: float, end: float, steps: int) -> Json:
    """A straight line between two rates, then flat."""
    if steps < 1:
        return fixed(end)
    return {"type": "linear_schedule", "init_value": start, "end_value": end, "transition_steps": steps}


def line_to(steps: int, ratio: float) -> Json:
    """A straight line from the base rate to a fraction of it, then flat."""
    if steps < 1:
        return scaled(CONSTANT, ratio)
    return {"type": "LinearLR", "start_factor": 1.0, "end_factor": ratio, "total_iters": steps}


def cosine(steps: int, end: float = 0.0) -> Json:
    """Half a cosine from the base rate to a rate, which holds."""
    if steps < 1:
        return fixed(end)
    down = {"type": "CosineAnnealingLR", "T_max": steps} | ({"eta_min": end} if end else {})
    return sequence([(down, steps), (fixed(end), None)])


def cosine_to(steps: int, ratio: float) -> Json:
    """Half a cosine from the base rate to a fraction of it, which holds."""
    if steps < 1:
        return scaled(CONSTANT, ratio)
    run = {"num_warmup_steps": 0, "num_training_steps": steps}
    down = {"type": "cosine_with_min_lr", "min_lr_rate": ratio} | run if ratio else {"type": "cosine"} | run
    return sequence([(down, steps), (scaled(CONSTANT, ratio), None)])


def polynomial(steps: int, power: float, end: float = 0.0) -> Json:
    """A power of what is left of the steps, from the base rate to a rate, which holds."""
    if steps < 1:
        return fixed(end)
    return {"type": "PolyLRScheduler", "t_initial": steps, "power": power} | ({"lr_min": end} if end else {})
