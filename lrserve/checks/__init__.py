"""What `lrserve doctor` looks at: one module for each thing that can be out of order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"  # it works, but perhaps not as it is meant, or not for long
    PROBLEM = "problem"  # something does not work, or jobs may get lost


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's.

    Attributes:
        name: what was looked at.
        found: what is so.
        fix: what to do about it; "" if there is nothing to do.
    """

    name: str
    level: Level
    found: str
    fix: str = ""


def ok(name: str, found: str) -> Finding:
    """All is well."""
    return Finding(name, Level.OK, found)


def warning(name: str, found: str, fix: str) -> Finding:
    """It works, but."""
    return Finding(name, Level.WARNING, found, fix)


def problem(name: str, found: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(name, Level.PROBLEM, found, fix)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
