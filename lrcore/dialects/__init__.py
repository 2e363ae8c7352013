"""Schedules as runnable code of other frameworks: one framework a file. Nothing here imports one; it writes text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from lrcore.dialects import keras, optax, timm, torch, transformers
from lrcore.dialects._base import Translation
from lrcore.dialects._formulas import NoFormula
from lrcore.errors import CurveError
from lrcore.schedules import Schedule

Framework = Literal["torch", "optax", "keras", "transformers", "timm"]

DIALECTS: dict[Framework, Callable[[Schedule, float], Translation]] = {
    "torch": torch.translate,
    "optax": optax.translate,
    "keras": keras.translate,
    "transformers": transformers.translate,
    "timm": timm.translate,
}


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
        return DIALECTS[to](schedule, base_lr)
    except NoFormula as error:
        raise CurveError(("schedule", *error.field), f"no translation to {to}: {error}") from None


__all__ = ["DIALECTS", "Framework", "Translation", "translate"]
