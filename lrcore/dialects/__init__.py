"""Schedules as runnable code of other frameworks: one framework a file. Nothing here imports one; it writes text."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Literal, get_args

from lrcore.errors import CurveError
from lrcore.formulas import NoFormula
from lrcore.schedules import Schedule

if TYPE_CHECKING:
    from lrcore.dialects._base import Translation

Framework = Literal["torch", "optax", "keras", "transformers", "timm"]


def translate(schedule: Schedule, base_lr: float | None, to: Framework) -> Translation:
    """The schedule in a framework's own terms, for an optimizer whose rate is `base_lr`.

    Raises:
        CurveError: the initial rate is missing, or the framework cannot say the schedule. `field` is that of a request
            with the fields schedule and base_lr.
    """
    if base_lr is None:
        own = schedule.own_base_lr
        if own is None:
            raise CurveError(("base_lr",), f"{schedule.type} needs the initial rate")
        base_lr = own[0] if isinstance(own, tuple) else own
    try:
        translation: Translation = importlib.import_module(f"lrcore.dialects.{to}").translate(schedule, base_lr)
    except NoFormula as error:
        raise CurveError(("schedule", *error.field), f"no translation to {to}: {error}") from None
    return translation


FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)

__all__ = ["FRAMEWORKS", "Framework", "translate"]
