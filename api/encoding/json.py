"""JSON by orjson, numpy arrays included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

CHUNK = 2**16  # values of an array that are written at once
PIECE = 2**18  # bytes that are passed on at once, at least


def dumps(value: Any) -> bytes:
    """UTF-8 JSON. Arrays must be contiguous; NaN becomes null, as JSON has no other word for it."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def pieces(value: Any) -> Iterator[bytes]:
    """What `dumps` gives, bit by bit: a long array never lies in memory as text."""
    gathered = bytearray()
    for each in _each(value):
        gathered += each
        if len(gathered) >= PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)


def _each(value: Any) -> Iterator[bytes]:
    """The same in smaller bits: a short array, a bracket, a comma."""
    match value:
        case dict():
            yield b"{"
            for i, (name, each) in enumerate(value.items()):
                yield (b"," if i else b"") + dumps(name) + b":"
                yield from _each(each)
            yield b"}"
        case np.ndarray() if value.ndim == 1:
            yield b"["
            for start in range(0, len(value), CHUNK):
                yield (b"," if start else b"") + dumps(value[start : start + CHUNK])[1:-1]
            yield b"]"
        case np.ndarray() | [dict(), *_]:
            yield b"["
            for i, each in enumerate(value):
                yield b"," if i else b""
                yield from _each(each)
            yield b"]"
        case _:
            yield dumps(value)
