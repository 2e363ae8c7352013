"""The catalogue of job types: what can be submitted, and where."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from lrcore.families import FAMILIES
from lrcore.jobs.job_types import kind_of

from ..documented import DocumentedRoute
from ..requests import JOB_TYPES, JobType

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/kinds", tags=["jobs"])


class Kind(BaseModel):
    """A job type."""

    type: str
    summary: str
    submit: str = Field(description="where to post it; with ?dry_run=true to check it without submitting")
    parameters: dict[str, Any] = Field(
        description="JSON Schema of its JSON; where a schema says `catalogue`, each entry there has its own"
    )


class Kinds(BaseModel):
    """All job types."""

    kinds: list[Kind]


@router.get("", summary="List all job types", operation_id="list_kinds")
def list_kinds() -> Kinds:
    """Training, LR range test and experiment, each with the options that are its own."""
    return _kinds()


@cache
def _kinds() -> Kinds:
    return Kinds(kinds=[_kind(type, known) for type, known in JOB_TYPES.items()])


def _kind(type: str, known: JobType) -> Kind:
    schema = _without_members(known.request.model_json_schema())
    definitions = schema.get("$defs", {})
    used = _references(schema | {"$defs": None}, definitions, set())
    schema["$defs"] = {name: definition for name, definition in definitions.items() if name in used}
    summary = (kind_of(type).__doc__ or "").partition("\n")[0]
    return Kind(type=type, summary=summary, submit=known.submit, parameters=schema)


def _without_members(schema: Any) -> Any:
    """The schema with a word on its catalogue where a family's members are: there are hundreds, listed elsewhere."""
    if isinstance(schema, list):
        return [_without_members(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "discriminator" not in schema:
        return {name: _without_members(each) for name, each in schema.items()}
    known = schema["discriminator"]["mapping"].keys()
    family = next(name for name, members in FAMILIES.items() if known <= members.keys())
    named = {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]}
    said = {name: schema[name] for name in ("description", "default") if name in schema}
    return named | {"catalogue": f"/v1/{family}"} | said


def _references(schema: Any, definitions: dict[str, Any], found: set[str]) -> set[str]:
    """Names of all definitions that the schema needs."""
    if isinstance(schema, dict):
        name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
        if name and name not in found:
            found.add(name)
            _references(definitions[name], definitions, found)
    for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _references(each, definitions, found)
    return found
