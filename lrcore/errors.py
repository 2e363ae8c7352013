"""The refusals of lrcore. Each carries the field it is about, so that a caller can point at it.

LrcoreError
├── CurveError      a curve that does not exist: outside the schedule's steps, not finite, negative
├── DataUnavailable a data set that cannot be loaded
├── MissingPackage  an optional package that a job needs
└── SpecError       a job that does not fit its model, as only its worker can find
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class LrcoreError(ValueError):
    """Base of all refusals made after a spec has been validated by itself."""


class CurveError(LrcoreError):
    """No such curve.

    Attributes:
        field: path of the request's field that is to blame, outermost first.
    """

    def __init__(self, field: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.field = field


class DataUnavailable(LrcoreError):
    """A data set, or a file of weights, is neither on disk nor to be downloaded."""


class MissingPackage(LrcoreError):
    """The job needs a package that is not installed on its worker."""


class SpecError(LrcoreError):
    """The job names something that its model does not have. The message begins with the field."""


def message(error: Mapping[str, Any]) -> str:
    """Return what one of pydantic's errors says, in the words of the validator that raised it."""
    return str(error["msg"]).removeprefix("Value error, ")
