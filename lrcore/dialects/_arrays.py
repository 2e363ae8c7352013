"""What optax and Keras have in common: schedules that are functions of the step, computed in float32."""

from __future__ import annotations

from dataclasses import dataclass

from lrcore.dialects import _base as base
from lrcore.dialects._base import Code, Translation
from lrcore.dialects.torch import refuse_groups, remarks
from lrcore.schedules import Schedule

FLOAT32 = "computed in float32: 7 digits, and whole steps up to 2 ** 24"
AFTER_ONE_COSINE = "stays at its lowest rate after {} steps, where CosineAnnealingLR rises again"


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


def of_native(native: Native, imports: list[str], schedule: Schedule, base_lr: float) -> Translation:
    """`schedule = …`."""
    rate = schedule.as_formula(base_lr)
    wrong = [native.differs] if native.differs else []
    wrong += base.wrong_in_float32(rate, base.first_rates(schedule, base_lr))
    code = base.module(imports, f"schedule = {native.code}")
    return Translation(code, not wrong, (*wrong, FLOAT32, *remarks(schedule)))


def of_formula(schedule: Schedule, base_lr: float, language: base.Language, imports: list[str], end: str,
               framework: str) -> Translation:  # fmt: skip
    """Functions of the step, and what makes a schedule of them."""
    refuse_groups(schedule, framework)
    rate = schedule.as_formula(base_lr)
    wrong = base.wrong_in_float32(rate, base.first_rates(schedule, base_lr))
    program = base.Program(language)
    program.define("rate", rate)
    code = base.module(imports, *program.functions, end)
    return Translation(code, not wrong, (*wrong, FLOAT32, *remarks(schedule)))
