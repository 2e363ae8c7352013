"""Lengths as shares of a run: "10%" of its steps, "5ep" for five epochs."""

from __future__ import annotations

import re
from typing import Any

from lrcore.expression import MAX_LENGTH

MAX_TEXT = 65 * MAX_LENGTH  # characters of all names and expressions of a schedule: a long one for each of 64 groups
MAX_PARTS = 2000  # schedules in a schedule, those that only hold others included
MAX_FIELDS = 100  # of a schedule, those it does not have included
LENGTH = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)(%|ep)", re.ASCII)


def length_schema(least: int, most: int) -> dict[str, Any]:
    """JSON Schema of a length."""
    pattern = f"^{LENGTH.pattern}$"
    return {"anyOf": [{"type": "integer", "minimum": least, "maximum": most}, {"type": "string", "pattern": pattern}]}


def resolved(data: Any, run: int | None, steps_per_epoch: int | None) -> Any:
    """The JSON of a schedule in lrserve's own names, with its lengths in steps, rounded to the nearest.

    Args:
        run: steps of the run, for lengths in percent.

    Raises:
        ValueError: it has more than MAX_TEXT characters of text, MAX_PARTS parts or MAX_FIELDS fields, a length in a
            unit that is not known here, or a name of another framework that is not known here.
    """
    waiting, text, parts, shares, foreign = [data], 0, 0, False, False
    while waiting and text <= MAX_TEXT:
        match waiting.pop():
            case str() as words if len(words) <= MAX_LENGTH:  # longer ones are refused unread
                text += len(words)
                shares = shares or (words[:1].isdigit() and LENGTH.fullmatch(words) is not None)
            case {"type": name, **fields}:
                parts += 1
                if parts > MAX_PARTS:
                    raise ValueError(f"the schedule has more than {MAX_PARTS} parts")
                if len(fields) > MAX_FIELDS:
                    raise ValueError(f"a schedule has {len(fields)} fields, more than {MAX_FIELDS}")
                waiting.extend(fields.values())
                waiting.append(name)
                foreign = foreign or "." in str(name)[:MAX_LENGTH]
            case dict() as fields:
                waiting.extend(fields.values())
            case list() | tuple() as items:
                waiting.extend(item for item in items if not isinstance(item, int | float))  # there may be many
    if text > MAX_TEXT:
        raise ValueError(f"the schedule has more than {MAX_TEXT} characters of text")
    if foreign:
        from lrcore.dialects._read import read  # noqa: PLC0415  # it stands on the schedules, which stand on this

        data = read(data)
    return _in_steps(data, {"%": None if run is None else run / 100, "ep": steps_per_epoch}) if shares else data


def text_in(data: Any) -> int:
    """Characters of text in JSON, without names of fields and types: expressions take long to read."""
    waiting, found = [data], 0
    while waiting:
        match waiting.pop():
            case str() as words:
                found += len(words)
            case dict() as fields:
                waiting.extend(value for name, value in fields.items() if name != "type")
            case list() | tuple() as items:
                waiting.extend(items)
    return found


def _in_steps(data: Any, units: dict[str, float | None]) -> Any:
    if isinstance(data, dict):
        return {name: _in_steps(value, units) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [value if isinstance(value, int | float) else _in_steps(value, units) for value in data]
    if isinstance(data, str) and (found := LENGTH.fullmatch(data)):
        unit = units[found[2]]
        if unit is None:
            needed = "steps_per_epoch" if found[2] == "ep" else "total_steps"
            raise ValueError(f"the length {data} needs {needed}")
        return round(float(found[1]) * unit)
    return data
