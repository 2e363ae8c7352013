"""The catalogue of schedules."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from api.problems import documented
from lrcore.family import describe
from lrcore.schedules import SCHEDULES

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])


class ScheduleEntry(BaseModel):
    """A schedule in the catalogue."""

    type: str
    summary: str
    formula: str
    origin: str
    parameters: dict[str, Any] = Field(description="JSON Schema of the schedule's JSON")
    example: dict[str, Any]


class Catalogue(BaseModel):
    """Every schedule."""

    schedules: list[ScheduleEntry]


@cache
def _entry(type: str) -> ScheduleEntry:
    return ScheduleEntry.model_validate(describe(SCHEDULES[type]))


@router.get("", summary="List every schedule")
def list_schedules() -> Catalogue:
    """All schedules with their formula, origin, parameters and an example, in alphabetical order."""
    return Catalogue(schedules=[_entry(type) for type in SCHEDULES])


@router.get("/{type}", summary="One schedule", responses=documented(404))
def get_schedule(type: str) -> ScheduleEntry:
    """What a schedule does and which parameters it takes."""
    if type not in SCHEDULES:
        raise HTTPException(404, f"there is no schedule {type[:80]!r}; /v1/schedules lists them")
    return _entry(type)
