"""Job ids: opaque, sortable by time."""

from __future__ import annotations

import secrets
import time

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, in ASCII order
NOBODY = "default"  # the one tenant where no keys are asked for
LENGTH = 26  # 48 bits of milliseconds, 80 bits of chance, as in a ULID


def new_id() -> str:
    """An id that sorts after those made a millisecond or more before."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    digits = []
    for _ in range(LENGTH):
        number, digit = divmod(number, 32)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def display(stored: str) -> str:
    """An id as its tenant knows it: one that it chose itself is stored behind the tenant's name."""
    return stored.rpartition(":")[2]
