"""Lengths as shares of a run: "10%" of its steps, "5ep" for five epochs."""

from __future__ import annotations

import re
from typing import Any

from lrcore.errors import CurveError
from lrcore.expression import MAX_LENGTH

MAX_DEPTH = 8  # schedules inside each other
MAX_JSON_DEPTH = 3 * MAX_DEPTH  # objects and lists of their JSON: a schedule lies in a list, its last field holds two
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
        CurveError: the schedule nests too deep, has more than MAX_TEXT characters of text, MAX_PARTS parts or
            MAX_FIELDS fields, a length in a unit that is not known here, or a name of another framework that is not
            known here. `field` is the path in `data`.
    """
    shares, foreign = _looked_through(data)
    if shares:
        data = _in_steps(data, {"%": None if run is None else run / 100, "ep": steps_per_epoch})
    if foreign:
        from lrcore.dialects._read import read  # noqa: PLC0415  # it stands on the schedules, which stand on this

        data = read(data)
    return data


def _looked_through(data: Any) -> tuple[bool, bool]:
    """Whether there are lengths, and names of other frameworks. Raises CurveError if there is too much to read."""
    level, depth, text, parts, shares, foreign = [data], 0, 0, 0, False, False
    while level:
        if depth > MAX_JSON_DEPTH:
            raise CurveError((), f"schedules may nest {MAX_DEPTH} deep at most")
        inside: list[Any] = []
        for value in level:
            match value:
                case str() as words if len(words) <= MAX_LENGTH:  # longer ones are refused unread
                    text += len(words)
                    shares = shares or (words[:1].isdigit() and LENGTH.fullmatch(words) is not None)
                case dict() as fields:
                    inside.extend(fields.values())
                    if "type" in fields:
                        parts += 1
                        kind = fields["type"]
                        foreign = foreign or (isinstance(kind, str) and "." in kind)
                        _refuse_more(len(fields), MAX_FIELDS, "fields")
                case list() | tuple() as items:
                    inside.extend(item for item in items if not isinstance(item, int | float))  # there may be many
        _refuse_more(parts, MAX_PARTS, "parts")
        _refuse_more(text, MAX_TEXT, "characters of text")
        level, depth = inside, depth + 1
    return shares, foreign


def _refuse_more(count: int, most: int, what: str) -> None:
    if count > most:
        raise CurveError((), f"the schedule has more than {most} {what}")


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


def _in_steps(data: Any, units: dict[str, float | None], path: tuple[str | int, ...] = ()) -> Any:
    if isinstance(data, dict):
        return {name: _in_steps(value, units, (*path, name)) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [
            value if isinstance(value, int | float) else _in_steps(value, units, (*path, i))
            for i, value in enumerate(data)
        ]
    if isinstance(data, str) and (found := LENGTH.fullmatch(data)):
        unit = units[found[2]]
        if unit is None:
            needed = "steps_per_epoch" if found[2] == "ep" else "total_steps"
            raise CurveError(path, f"the length {data} needs {needed}")
        return round(float(found[1]) * unit)
    return data
