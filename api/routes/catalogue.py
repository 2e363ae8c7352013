"""The catalogues of what a job is made of: models, data sets and optimizers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field

from api.problems import documented
from lrcore.datasets import DATASETS
from lrcore.family import Member, describe
from lrcore.models import MODELS
from lrcore.optimizers import OPTIMIZERS


class Entry(BaseModel):
    """A model, data set or optimizer."""

    type: str
    summary: str
    origin: str
    parameters: dict[str, Any] = Field(description="JSON Schema of its JSON")
    example: dict[str, Any]


class Entries(BaseModel):
    """All of a kind."""

    entries: list[Entry]


def _catalogue(kind: str, members: Mapping[str, type[Member]]) -> APIRouter:
    made = APIRouter(prefix=f"/v1/{kind}", tags=["catalogues"])

    @cache
    def entry(type: str) -> Entry:
        return Entry.model_validate(describe(members[type], type))

    @made.get("", summary=f"List all {kind}", operation_id=f"list_{kind}")
    def list_members() -> Entries:
        """Each with its origin, parameters and an example, in alphabetical order."""
        return Entries(entries=[entry(type) for type in members])

    @made.get("/{type}", summary=f"One of the {kind}", operation_id=f"get_{kind}", responses=documented(404))
    def get_member(type: str) -> Entry:
        """What it is and which parameters it takes."""
        if type not in members:
            raise HTTPException(404, f"{type[:80]!r} is none of the {kind}; /v1/{kind} lists them")
        return entry(type)

    return made


routers = [
    _catalogue("models", MODELS),
    _catalogue("datasets", DATASETS),
    _catalogue("optimizers", OPTIMIZERS),
]
