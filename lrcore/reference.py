"""Specs as tables in Markdown, for the pages that are made from the code."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

from lrcore.family import Member


def table(spec: type[BaseModel], only: Collection[str] | None = None, types: Mapping[str, str] | None = None) -> str:
    """A row for each field but `type`.

    Args:
        only: the fields shown; all if None.
        types: what stands for a field's type in place of what its JSON Schema says.
    """
    schema = spec.model_json_schema()
    definitions = schema.get("$defs", {})
    own = schema if "properties" in schema else definitions[schema["$ref"].rpartition("/")[2]]
    rows = ["| parameter | type | default | |", "|---|---|---|---|"]
    for name, field in own["properties"].items():
        if name != "type" and (only is None or name in only):
            default = "required" if name in own.get("required", ()) else f"`{json.dumps(field.get('default'))}`"
            kind = (types or {}).get(name) or type_of(field, definitions)
            rows.append(f"| `{name}` | {kind} | {default} | {field.get('description', '')} |")
    return "\n".join(rows)


def introduction(member: type[Member]) -> str:
    """What a member of a family is, and where it comes from."""
    return f"{member.summary[0].upper()}{member.summary[1:]}. Origin: {member.origin}."


def type_of(field: dict[str, Any], definitions: Mapping[str, Any]) -> str:
    """A field's type and bounds in a few words."""
    if "$ref" in field:
        target = definitions[field["$ref"].rpartition("/")[2]]
        return "{" + ", ".join(f"`{name}`" for name in target["properties"]) + "}"
    if "oneOf" in field:
        return "a schedule"
    if "pattern" in field and field["pattern"].endswith("(%|ep)$"):
        return "a share of the run"
    if "anyOf" in field:
        return " or ".join(type_of(option, definitions) for option in field["anyOf"] if option.get("type") != "null")
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "object":
        return "numbers by step or share of the run"
    if field.get("type") == "array":
        return _list_of(field, definitions)
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    said = [f"{sign} {field[name]:g}" for name, sign in bounds.items() if name in field and abs(field[name]) < 1e15]
    return " ".join([str(field.get("type", "")), *said])


def _list_of(field: dict[str, Any], definitions: Mapping[str, Any]) -> str:
    if "items" not in field:
        return f"list of {len(field['prefixItems'])} values"
    items = type_of(field["items"], definitions)
    return "list of schedules" if items == "a schedule" else f"list of {items}"
