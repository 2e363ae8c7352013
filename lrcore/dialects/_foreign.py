"""Schedules in other frameworks' names, and how much of a schedule is read at all."""

from __future__ import annotations

from typing import Any

from lrcore.dialects._read import read
from lrcore.errors import CurveError
from lrcore.expressions.expression import MAX_LENGTH
from lrcore.numerics.lengths import MAX_DEPTH

MAX_JSON_DEPTH = 3 * MAX_DEPTH  # objects and lists of their JSON: a schedule lies in a list, its last field holds two
MAX_TEXT = 65 * MAX_LENGTH  # characters of all names and expressions of a schedule: a long one for each of 64 groups
MAX_PARTS = 2000  # schedules in a schedule, those that only hold others included
MAX_FIELDS = 100  # of a schedule, those it does not have included


def in_own_names(data: Any) -> Any:
    """Return the JSON of a schedule in lrserve's own names.

    The names of other frameworks take lengths as well, so call this in the context of `SharesOf`.

    Raises:
        CurveError: the schedule nests too deep, has more than MAX_TEXT characters of text, MAX_PARTS parts or
            MAX_FIELDS fields, or a name of another framework that is not known here. `field` is the path in `data`.
    """
    if not _has_foreign_names(data):
        return data
    return read(data)


def _has_foreign_names(data: Any) -> bool:
    """Whether there are names of other frameworks. Raises CurveError if there is too much to read."""
    level, depth, text, parts, foreign = [data], 0, 0, 0, False
    while level:
        if depth > MAX_JSON_DEPTH:
            raise CurveError((), f"schedules may nest {MAX_DEPTH} deep at most")
        inside: list[Any] = []
        for value in level:
            match value:
                case str() as words if len(words) <= MAX_LENGTH:  # longer ones are refused unread
                    text += len(words)
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
    return foreign


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
