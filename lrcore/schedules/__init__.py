"""Every schedule lrserve knows: one family a file, each spec with its closed form beside it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lrcore.family import discover, union
from lrcore.schedules._base import Rates, Schedule

SCHEDULES: dict[str, type[Schedule]] = discover(__name__, __path__, Schedule)  # type: ignore[type-abstract, unused-ignore]

if TYPE_CHECKING:
    AnySchedule = Schedule
else:
    AnySchedule = union(SCHEDULES)
    for _member in SCHEDULES.values():  # composites name the union before it exists, and look it up at first use
        if not _member.__pydantic_fields_complete__:
            vars(sys.modules[_member.__module__])["AnySchedule"] = AnySchedule

__all__ = ["SCHEDULES", "AnySchedule", "Rates", "Schedule"]
