"""Other people's text where it must stay text: on a terminal, on a line of a log, in a spreadsheet."""

from __future__ import annotations

import re

# What moves the cursor, rings, ends a line or reorders what is read: C0, DEL and C1, line and paragraph separators, the
# marks, embeddings and isolates of bidirectional text; and halves of surrogate pairs, which no encoding can write
HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
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


def _escape(character: str) -> str:
    return SHORT.get(character) or f"\\u{ord(character):04x}"
