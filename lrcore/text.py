"""Escape other people's text for terminals, logs and spreadsheets, and suggest known names."""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterable
from typing import Any

# What moves the cursor, rings, ends a line or reorders what is read: C0, DEL and C1, line and paragraph separators, the
# marks, embeddings and isolates of bidirectional text; and halves of surrogate pairs, which no encoding can write
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
MAX_NAME = 80  # characters of an unknown name that are compared
SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, keep: str = "") -> str:
    """Write the characters that a reader would not see as escapes of JSON, so that JSON stays the same value.

    Args:
        keep: characters that are left as they are.
    """
    return HIDDEN.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def cell(text: str) -> str:
    """Write text for a cell of CSV so that a spreadsheet takes it for text: it computes what begins as a formula does.

    Source: OWASP, CSV injection.
    """
    return f"'{text}" if text.startswith(FORMULA) else text


def csv_of(rows: Iterable[Iterable[Any]]) -> str:
    """Write rows as CSV, each with a newline at its end. None is an empty cell."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Write the question after an unknown name, such as "did you mean 'AdamW'?", or "" if no known name is near.

    Names that differ only in case, `_`, `-`, `.` and spaces are all given. Otherwise it is the nearest one.

    Args:
        cutoff: how near it must be, as in difflib: 1 for the same name.
    """
    plain: dict[str, list[str]] = {}
    for each in known:
        plain.setdefault(_plain(each), []).append(each)
    wanted = _plain(name[:MAX_NAME])
    near = [wanted] if wanted in plain else difflib.get_close_matches(wanted, plain, 1, cutoff)
    return f"did you mean {' or '.join(map(repr, plain[near[0]]))}?" if near else ""


def _plain(name: str) -> str:
    return re.sub(r"[-_. ]", "", name.casefold())


def _escape(character: str) -> str:
    return SHORT.get(character) or f"\\u{ord(character):04x}"
