"""Lengths in steps, also as shares of the run: "10%" of its steps, or "5ep" for five epochs.

A field takes shares if its type is `Steps`, and no other field does. A share that is not a whole number of steps is
rounded up, as `TrainingArguments.get_warmup_steps` of transformers does: "5%" of 50 steps is 3. It is computed in
integers from its digits, so that "7%" of 100 steps is 7, and only "0%" is 0.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from lrcore.errors import CurveError
from lrcore.family import Whole, whole

MAX_DEPTH = 8  # schedules inside each other
SHARE = re.compile(r"(\d{1,15})(?:\.(\d{1,15}))?(%|ep)", re.ASCII)
STEP = re.compile(r"\d{1,16}", re.ASCII)  # as a key of an object
SHARE_PATTERN = r"^\d{1,15}(\.\d{1,15})?(%|ep)$"
ROUNDING = "a share of the run, 10% of its steps or 5ep for five epochs, rounded up to a whole step"


class RunLength(NamedTuple):
    """What shares are shares of.

    Attributes:
        steps: steps of the run, for lengths in percent; None if unknown.
        steps_per_epoch: for lengths in epochs; None if unknown.
    """

    steps: int | None = None
    steps_per_epoch: int | None = None


UNKNOWN = RunLength()
_run: ContextVar[RunLength] = ContextVar("lrserve.run", default=UNKNOWN)


class SharesOf:
    """A context in which the shares in all that is validated become steps of `run`."""

    __slots__ = ("_run", "_token")

    def __init__(self, run: RunLength) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._token = _run.set(self._run)

    def __exit__(self, *error: object) -> None:
        _run.reset(self._token)


@dataclass(frozen=True)
class Steps(Whole):
    """A number of steps in bounds, or a share of the run, which `SharesOf` names: `Annotated[int, Steps(ge=1)]`.

    Attributes:
        key: whether it is a key of an object, which JSON has as text: "500".
    """

    key: bool = False

    def read(self, value: Any) -> Any:
        """Return the steps of a share. Raises CurveError if the run's steps are unknown."""
        if type(value) is int:
            return value
        if not isinstance(value, str):
            return super().read(value)
        if self.key and STEP.fullmatch(value):
            return int(value)
        share = SHARE.fullmatch(value)
        return value if share is None else _steps_of(share, _run.get())

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        share = {"pattern": SHARE_PATTERN, "description": ROUNDING}
        if self.key:  # pydantic makes propertyNames of it
            return {"type": "string", "anyOf": [{"pattern": rf"^{STEP.pattern}$"}, share]}
        return {"anyOf": [handler(schema), {"type": "string"} | share]}


@dataclass(frozen=True)
class Span(Steps):
    """A length that need not be a whole number of steps, such as 2.4, or a share of the run.

    Attributes:
        least: the shortest one; a step divided by it must not outgrow 64 bits.
    """

    least: float = 1e-3

    def read(self, value: Any) -> Any:
        """Return the steps of a share. Raises CurveError if the run's steps are unknown."""
        return value if isinstance(value, bool) else super().read(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = core_schema.float_schema(strict=True, ge=self.least, le=self.le, allow_inf_nan=False)
        whole_if_equal = core_schema.no_info_after_validator_function(whole, schema)
        return core_schema.no_info_before_validator_function(self.read, whole_if_equal)


def _steps_of(share: re.Match[str], run: RunLength) -> int:
    digits, decimals, unit = share[1], share[2] or "", share[3]
    length, parts = (run.steps, 100) if unit == "%" else (run.steps_per_epoch, 1)
    if length is None:
        needed = "total_steps" if unit == "%" else "steps_per_epoch"
        raise CurveError((), f"the length {share[0]} needs {needed}")
    return -(-int(digits + decimals) * length // int(parts * 10 ** len(decimals)))
