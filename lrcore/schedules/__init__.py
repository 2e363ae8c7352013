"""Every schedule lrserve knows: a file or a folder for each family, each spec with its closed form beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from lrcore.family import Family
from lrcore.schedules._base import Rates, Schedule

SCHEDULES: Family[Schedule] = Family(__name__, __path__, Schedule)

if TYPE_CHECKING:
    AnySchedule = Schedule
else:
    AnySchedule = Annotated[Any, SCHEDULES]

__all__ = ["SCHEDULES", "AnySchedule", "Rates", "Schedule"]
