"""The catalogues: schedules, and what else a job is made of."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field, create_model

from lrcore.families import FAMILIES
from lrcore.family import describe, is_none
from lrcore.schedules import SCHEDULES
from lrcore.text import did_you_mean

from ..documented import DocumentedRoute, documented


class Entry(BaseModel):
    """A schedule, model, data set or optimizer."""

    type: str
    summary: str
    formula: str | None = Field(None, description="of a schedule", exclude_if=is_none)
    origin: str
    parameters: dict[str, Any] = Field(description="JSON Schema of its JSON")
    example: dict[str, Any]


@cache
def _entry(kind: str, type: str) -> Entry:
    return Entry.model_validate(describe(FAMILIES[kind][type], type))


def _catalogue(kind: str) -> APIRouter:
    """Two routes, the list under the name of its kind."""
    made = APIRouter(route_class=DocumentedRoute, prefix=f"/v1/{kind}", tags=[kind])
    listed: Any = create_model(kind.capitalize(), **{kind: (list[Entry], ...)})  # type: ignore[call-overload]

    @made.get("", summary=f"List all {kind}", operation_id=f"list_{kind}", response_model=listed)
    def list_members() -> Any:
        """Each with its origin, parameters and an example, in alphabetical order."""
        return {kind: [_entry(kind, type) for type in FAMILIES[kind]]}

    @made.get(
        "/{type}", summary=f"One of the {kind}", operation_id=f"get_{kind.removesuffix('s')}", responses=documented(404)
    )
    def get_member(type: str) -> Entry:
        """What it is and which parameters it takes."""
        if type not in FAMILIES[kind]:
            hint = did_you_mean(type, FAMILIES[kind]) or f"/v1/{kind} lists them"
            raise HTTPException(404, f"{type[:80]!r} is none of the {kind}; {hint}")
        return _entry(kind, type)

    return made


def prepare() -> None:
    """Make the longest list, which the first to ask for would have to wait for."""
    for type in SCHEDULES:
        _entry("schedules", type)


routers = [_catalogue(kind) for kind in FAMILIES]
