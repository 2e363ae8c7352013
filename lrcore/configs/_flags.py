"""Flags of a command line as options."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from lrcore.errors import CurveError

MAX_TEXT = 20_000
LITERAL = frozenset('-+.0123456789[{"tfn')  # what a number, a list, an object, true, false and null begin with
SHELL = re.compile(r"[)};|&]|\w+=")  # ends an array of flags or a command, or assigns a variable


def options_of(config: Any) -> Any:
    """Return the options in a text such as "--sched step --decay-epochs 2.4", or anything else as it is.

    Words before the first flag are left out. Names get `_` for `-`; a flag without a value is true; one with several
    is a list of them.

    Raises:
        CurveError: the text is no command line.
    """
    if not isinstance(config, str):
        return config
    if len(config) > MAX_TEXT:
        raise CurveError((), f"a command line may have {MAX_TEXT:,} characters at most: leave out other commands")
    try:
        words = shlex.split(config.replace("\\\n", " "), comments=True)
    except ValueError as error:
        raise CurveError((), f"not the flags of a command line: {error}") from None
    found: dict[str, list[Any]] = {}
    values: list[Any] | None = None
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            values = found.setdefault(name.replace("-", "_"), [])
            values.clear()
            values.extend([_literal(value)] if equals else [])
        elif SHELL.match(word):
            values = None
        elif values is not None:
            values.append(_literal(word))
    if not found:
        raise CurveError((), "a text must be the flags of a command line, such as --lr 0.1; anything else is JSON")
    return {name: each[0] if len(each) == 1 else each or True for name, each in found.items()}


def _literal(word: str) -> Any:
    if word[:1] not in LITERAL:
        return word
    try:
        value = json.loads(word)
    except (ValueError, RecursionError):
        try:
            value = float(word)  # .5 and 1.
        except ValueError:
            return word
    return value
