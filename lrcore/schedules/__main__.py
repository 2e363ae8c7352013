"""Print the reference of all schedules as Markdown: python -m lrcore.schedules > docs/schedules.md."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

from lrcore.schedules import SCHEDULES, Schedule

HEAD = """# Schedules

Made from the code by `make docs`; do not edit. The same, as JSON with full JSON Schemas, is at `GET /v1/schedules`.

`lr(t)` is the rate in force during interval `t` (an epoch or an optimizer step), counted from 0: what a torch optimizer
holds before the t-th `scheduler.step()`. `base_lr` is the optimizer's initial rate; a schedule that names a rate of its
own brings that. A length in steps may also be a share of the run: `"10%"`, or `"5ep"` for five epochs. Where a
framework's own class does something else than its name says, the entry says so.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for schedule in SCHEDULES.values() for line in _entry(schedule))])


def _entry(schedule: type[Schedule]) -> Iterator[str]:
    schema = schedule.model_json_schema()
    own = schema.get("properties") or schema["$defs"][schedule.name()]["properties"]
    required = schema.get("required") or schema["$defs"][schedule.name()]["required"]
    yield f"## {schedule.name()}\n"
    yield f"{schedule.summary[0].upper()}{schedule.summary[1:]}. Origin: {schedule.origin}.\n"
    yield f"    {schedule.formula}\n"
    yield f"{inspect.getdoc(schedule)}\n"
    yield "| parameter | type | default | |\n|---|---|---|---|"
    for name, field in own.items():
        if name != "type":
            default = "required" if name in required else f"`{json.dumps(field.get('default'))}`"
            yield f"| `{name}` | {_type(field)} | {default} | {field.get('description', '')} |"
    yield f"\n```json\n{json.dumps(schedule.example)}\n```\n"


def _type(field: dict[str, Any]) -> str:
    """A field's type and bounds in a few words."""
    if "oneOf" in field:
        return "a schedule"
    if "pattern" in field:
        return "a share of the run"
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"] if option.get("type") != "null")
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "object":
        return "numbers by step"
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}" if not {"oneOf", "$ref"} & set(field["items"]) else "list of objects"
    bounds = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    said = [f"{sign} {field[name]:g}" for name, sign in bounds.items() if name in field and field[name] < 1e15]
    return " ".join([str(field.get("type", "")), *said])


if __name__ == "__main__":
    print(reference(), end="")
