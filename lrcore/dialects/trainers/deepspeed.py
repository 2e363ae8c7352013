"""DeepSpeed: the `scheduler` block of its configuration.

DeepSpeed's warm-ups are an update late: of each rate g(t) of its formula, update t + 1 has it, and update 0 the first.
"""

from __future__ import annotations

import json
import math
from typing import Any

from lrcore.dialects._base import Translation
from lrcore.dialects.torch import given, refuse_groups, remarks
from lrcore.dialects.trainers._phases import Phases, difference, phases
from lrcore.numerics import formulas
from lrcore.numerics.formulas import PI, Node, NoFormula, T, Value
from lrcore.schedules import Schedule
from lrcore.schedules.algebra import Shift
from lrcore.schedules.budget import SlantedTriangular
from lrcore.schedules.plateau import MetricSchedule
from lrcore.schedules.range_test import LRRangeTest

WAY_OUT = "translate it to {}, and pass make_scheduler(optimizer) to deepspeed.initialize as lr_scheduler"
LATE = "DeepSpeed's warm-ups are an update late, as this schedule in a Shift by -1 is"
SHORTEST = 2  # steps of a warm-up

Block = tuple[str, dict[str, Any], Value]  # type, params, and the rates that DeepSpeed draws with them


def translate(schedule: Schedule, base_lr: float) -> Translation:
    """The schedule as JSON with the field `scheduler`."""
    refuse_groups(schedule, "DeepSpeed")
    if isinstance(schedule, MetricSchedule):
        raise NoFormula(("type",), f"DeepSpeed has no {schedule.type}: {WAY_OUT.format(schedule.framework)}")
    name, params, drawn = _block(schedule, base_lr)
    off = difference(drawn, schedule, base_lr)
    notes = [f"{name} {off}: {LATE}" if name.startswith("Warmup") else f"{name} {off}"] if off else []
    if name == "WarmupCosineLR":
        notes.append(f"for an optimizer whose rate is {base_lr:g}")
    code = json.dumps({"scheduler": {"type": name, "params": params}}, indent=2) + "\n"
    return Translation(code, off is None, (*notes, *remarks(schedule)))


def _block(schedule: Schedule, lr: float) -> Block:
    if isinstance(schedule, LRRangeTest):
        return "LRRangeTest", given(schedule), schedule.as_formula(lr)
    if isinstance(schedule, SlantedTriangular):
        return _triangle(schedule, lr)
    found = phases(schedule.schedule if isinstance(schedule, Shift) and schedule.by == -1 else schedule, lr)
    if found is not None and found.fall == "flat" and not found.warm:
        raise NoFormula(("type",), "DeepSpeed needs no scheduler for a constant rate: leave the block out")
    if found is None or found.peak == 0 or (found.fall == "power" and found.power != 1):
        has = "a warm-up with a constant rate, a line or half a cosine after it, a triangle and a range test"
        way_out = WAY_OUT.format("torch")
        raise NoFormula(("type",), f"a configuration of DeepSpeed can say {has}; for other schedules {way_out}")
    return _cosine(found) if found.fall == "cosine" else _line(found)


def _triangle(s: SlantedTriangular, lr: float) -> Block:
    up = int(s.total_steps * s.cut_frac)
    params = {
        "cycle_min_lr": lr / s.ratio, "cycle_max_lr": lr, "cycle_first_step_size": up,
        "cycle_second_step_size": s.total_steps - up, "cycle_momentum": False,
    }  # fmt: skip
    return "OneCycle", params, s.as_formula(lr)


def _line(found: Phases) -> Block:
    """A warm-up, and then the highest rate, or a line to the first one."""
    params = {"warmup_min_lr": found.start, "warmup_max_lr": found.peak, **_ramp(found)}
    step, warm = _late(), _warm(found)
    total = warm if found.fall == "flat" else found.warm + found.length
    after: Value = 1.0 if found.fall == "flat" else formulas.call("max", (total - step) / max(1, total - warm), 0.0)
    drawn = found.start + (found.peak - found.start) * formulas.piecewise(step, [warm], [_risen(found), after])
    if found.fall == "flat":
        return "WarmupLR", params, drawn
    return "WarmupDecayLR", {"total_num_steps": total, **params}, drawn


def _cosine(found: Phases) -> Block:
    """A warm-up and half a cosine, as shares of the optimizer's rate; update 0 has the rate 0."""
    first, last, warm = found.start / found.peak, found.low / found.peak, _warm(found)
    total = found.warm + found.length
    params = {"total_num_steps": total, "warmup_min_ratio": first, **_ramp(found), "cos_min_ratio": last}
    u = formulas.call("min", (T - warm) / max(1, total - warm), 1.0)
    falling = last + (1 - last) * (1 + formulas.call("cos", PI * u)) / 2
    ratio = formulas.piecewise(T, [1, warm + 1], [0.0, first + (1 - first) * _risen(found), falling])
    return "WarmupCosineLR", params, found.peak * ratio


def _ramp(found: Phases) -> dict[str, Any]:
    return {"warmup_num_steps": max(1, found.warm), "warmup_type": found.shape}


def _warm(found: Phases) -> int:
    return max(SHORTEST, found.warm)


def _late() -> Node:
    """DeepSpeed's count of steps at update T."""
    return formulas.call("max", T - 1, 0)


def _risen(found: Phases) -> Value:
    """The share of the warm-up that is behind."""
    step, warm = _late(), _warm(found)
    return formulas.call("log", 1 + step) / math.log(warm) if found.shape == "log" else step / warm
