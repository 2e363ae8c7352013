"""JSON by orjson, numpy arrays included."""

from __future__ import annotations

from typing import Any

import orjson


def dumps(value: Any) -> bytes:
    """UTF-8 JSON. Arrays must be contiguous; NaN becomes null, as JSON has no other word for it."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
