"""What `lrserve doctor` checks: one module for each thing that can be wrong."""

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
        name: what was checked.
        found: what the check found.
        fix: what to do about it; "" if nothing needs to be done.
    """

    name: str
    level: Level
    found: str
    fix: str = ""


def ok(name: str, found: str) -> Finding:
    """A finding that needs no action."""
    return Finding(name, Level.OK, found)


def warning(name: str, found: str, fix: str) -> Finding:
    """A finding that needs attention, though nothing has failed yet."""
    return Finding(name, Level.WARNING, found, fix)


def problem(name: str, found: str, fix: str) -> Finding:
    """A finding that keeps something from working, or may lose jobs."""
    return Finding(name, Level.PROBLEM, found, fix)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
