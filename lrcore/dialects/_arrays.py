"""What optax and Keras have in common: schedules that are functions of the step, computed in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lrcore.dialects import _base as base
from lrcore.dialects import _evaluate as evaluate
from lrcore.dialects._base import Code, Translation
from lrcore.dialects._integers import with_integers
from lrcore.dialects.torch import refuse_groups, remarks
from lrcore.schedules import Schedule

FLOAT32 = "computed in float32: 7 digits, and whole steps up to 2 ** 24"
AFTER_ONE_COSINE = "stays at its lowest rate after {} steps, where CosineAnnealingLR rises again"
LATE = "floors step / {0} in float32; compiled, XLA multiplies by 1 / {0}, so that some drops come a step late"
BAD_END = "compiled, XLA multiplies the step by 1 / {0} in float32: the rate at step {0} may be too high or NaN"
MOST = 2**30  # arguments beyond are no int32, or sums of two of them are none


@dataclass(frozen=True)
class Native:
    """A call of a framework's own schedule.

    Attributes:
        differs: what it does otherwise than the schedule; None if nothing.
        until: the first step at which that shows.
    """

    code: Code
    differs: str | None = None
    until: int = 0


def floors_late(size: int) -> bool:
    """Return whether step / size falls short of a whole number where XLA multiplies by the reciprocal in float32."""
    return bool(np.float32(size) * (np.float32(1) / np.float32(size)) < 1)


def ends_badly(size: int, power: float) -> bool:
    """Return whether (1 - step / size) ** power may be a small rate or NaN at step `size`.

    Compiled, XLA fuses the difference with a product by the rounded reciprocal, which is a little above or below 1.
    """
    return size & (size - 1) != 0 and power != int(power)


def fits(schedule: Schedule) -> bool:
    """Return whether every whole number of a spec can be an int32 argument."""
    waiting: list[Any] = [schedule.model_dump()]
    while waiting:
        match waiting.pop():
            case int() as number if number >= MOST:
                return False
            case dict() as fields:
                waiting += [*fields, *fields.values()]
            case list() | tuple() as items:
                waiting += items
    return True


def of_native(native: Native, imports: list[str], schedule: Schedule, base_lr: float) -> Translation:
    """Write `schedule = …`."""
    rate = schedule.as_formula(base_lr)
    wrong = [native.differs] if native.differs else []
    wrong += evaluate.wrong_in_float32(rate, with_integers(rate), schedule, base_lr)
    code = base.module(imports, f"schedule = {native.code}")
    return Translation(code, not wrong, (*wrong, FLOAT32, *remarks(schedule)))


def of_formula(schedule: Schedule, base_lr: float, language: base.Language, imports: list[str], end: str,
               framework: str) -> Translation:  # fmt: skip
    """Write functions of the step, and what makes a schedule of them.

    Args:
        end: with {step} for the type of the step.
    """
    refuse_groups(schedule, framework)
    rate = schedule.as_formula(base_lr)
    function = with_integers(rate)
    wrong = evaluate.wrong_in_float32(rate, function, schedule, base_lr)
    program = base.Program(language)
    program.define("rate", function.body)
    code = base.module(imports, *program.functions, end.replace("{step}", "int" if function.whole else "float"))
    return Translation(code, not wrong, (*wrong, FLOAT32, *remarks(schedule)))
