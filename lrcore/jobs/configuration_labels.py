"""Short names of an experiment's configurations, for legends."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

LONGEST = 60  # characters of a name
LONGEST_MEMBER = 40  # of a schedule with all its arguments: with more it goes by its type alone
LONGEST_VALUE = 16  # of an argument
UNSET = object()  # unlike any value, null included

Path = tuple[str | int, ...]


def label(settings: Mapping[str, Any]) -> str:
    """A name that says all that a configuration sets, as far as there is room: `StepLR(gamma=0.1) lr=0.1`."""
    return _cut(" ".join(_part(key, value) for key, value in settings.items()) or "as given")


def labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of configurations, no two the same, that say only what differs between them.

    A schedule goes by its type, and with the arguments that differ between schedules of that type. Where all of this
    leaves two alike, their indices follow.
    """
    differing = [key for key in dict.fromkeys(key for each in settings for key in each) if _differs(key, settings)]
    parts: list[list[str]] = [[] for _ in settings]
    for key in differing:
        for part, shown in zip(parts, _axis(key, [each.get(key, UNSET) for each in settings]), strict=True):
            part.extend(shown)
    made = [" ".join(part) or label(each) for part, each in zip(parts, settings, strict=True)]
    count = Counter(map(_cut, made))
    return [
        # a name with a # of its own might look like another one's name with an index
        _cut(label, f" #{i}") if count[_cut(label)] > 1 or "#" in label else _cut(label)
        for i, label in enumerate(made)
    ]


def _differs(key: str, settings: Sequence[Mapping[str, Any]]) -> bool:
    return len({_json(each[key]) if key in each else "" for each in settings}) > 1


def _axis(key: str, values: Sequence[Any]) -> Iterator[list[str]]:
    """What each configuration's name says about a setting; nothing where it is not set."""
    types: dict[str, dict[str, Mapping[str, Any]]] = {}
    for value in values:
        if _is_member(value):
            types.setdefault(_member(value), {})[_json(value)] = value
    kept = {kind: _differing(list(members.values())) for kind, members in types.items()}
    for value in values:
        if _is_member(value):
            yield [_member(value, kept[_member(value)])]
        else:
            yield [] if value is UNSET else [_part(key, value)]


def _differing(members: Sequence[Mapping[str, Any]]) -> set[Path]:
    """Where the arguments of members of the same type, parts included, are not the same."""
    found = [{path: _json(value) for path, value in _arguments(member)} for member in members]
    paths = {path for each in found for path in each}
    return {path for path in paths if len({each.get(path) for each in found}) > 1}


def _arguments(member: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All arguments that are no schedules, those of parts included, each with the keys that lead to it."""
    for key, value in member.items():
        inside = _members(value)
        for at, part in inside:
            yield from _arguments(part, (*path, key, *at))
        if not inside and key != "type":
            yield (*path, key), value


def _members(value: Any) -> list[tuple[Path, Mapping[str, Any]]]:
    """The schedules that an argument holds: one, or a list of them."""
    if _is_member(value):
        return [((), value)]
    if isinstance(value, list | tuple) and value and all(map(_is_member, value)):
        return [((i,), part) for i, part in enumerate(value)]
    return []


def _is_member(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def _member(member: Mapping[str, Any], kept: set[Path] | None = None, path: Path = ()) -> str:
    """The type, and in brackets the arguments at the paths in `kept` and the parts: `BaseLR(base_lr=0.3, StepLR)`."""
    inside = []
    for key, value in member.items():
        parts = _members(value)
        inside += [_member(part, kept, (*path, key, *at)) for at, part in parts]
        if not parts and kept and (*path, key) in kept:
            inside.append(f"{key}={_value(value)}")
    return f"{member['type']}({', '.join(inside)})" if inside else str(member["type"])


def _part(key: str, value: Any) -> str:
    if _is_member(value):
        said = _member(value, {path for path, argument in _arguments(value) if argument is not None})
        return said if len(said) <= LONGEST_MEMBER else _member(value)
    if key == "schedule" and value is None:
        return "Constant"
    return f"{key}={_value(value)}"


def _value(value: Any) -> str:
    return _shortened(value if isinstance(value, str) else _json(value), LONGEST_VALUE)


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False, default=str)


def _cut(label: str, end: str = "") -> str:
    return _shortened(label, LONGEST - len(end)) + end


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
