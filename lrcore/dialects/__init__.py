"""Schedules as runnable code of other frameworks: one framework a file. Nothing here imports one; it writes text."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Literal, get_args

from lrcore.errors import CurveError
from lrcore.numerics import cost
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import NoFormula
from lrcore.schedules import Schedule

CHECKED = 201  # steps on which a translation is compared with lrserve's own rates
MAX_LISTED = 40_000  # numbers in a formula that are not in the spec: half a megabyte

if TYPE_CHECKING:
    from lrcore.dialects._base import Translation

Framework = Literal["torch", "optax", "keras", "transformers", "timm", "deepspeed", "mmengine", "composer", "lightning"]
TRAINERS = ("deepspeed", "mmengine", "composer", "lightning")


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
    _check(schedule, to)
    try:
        module = importlib.import_module(
            f"lrcore.dialects.trainers.{to}" if to in TRAINERS else f"lrcore.dialects.{to}"
        )
        translation: Translation = module.translate(schedule, base_lr)
    except RecursionError:
        raise CurveError(("schedule",), f"no translation to {to}: its formula is nested too deeply") from None
    except NoFormula as error:
        raise CurveError(("schedule", *error.field), f"no translation to {to}: {error}") from None
    return translation


def _check(schedule: Schedule, to: Framework) -> None:
    """Raise CurveError if writing or checking the code would take too long."""
    if (listed := schedule.listed) > MAX_LISTED:
        message = f"its formula would list up to {listed} numbers, more than {MAX_LISTED}"
        raise CurveError(("schedule",), f"no translation to {to}: {message}: translate its parts one by one")
    if (excess := cost.excess(schedule.cost(Load(0, CHECKED - 1, CHECKED)))) is not None:
        raise CurveError(("schedule",), f"no translation to {to}: {excess} for the first {CHECKED} rates")


FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)

__all__ = ["FRAMEWORKS", "Framework", "translate"]
