"""What all benchmarks share. Needs nothing but Python."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def elapsed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(
    sides: Mapping[str, Callable[[], object]], rounds: int, seconds: Callable[..., float] = elapsed
) -> dict[str, float]:
    """Median seconds of each side, by its name. The sides take turns, after one that does not count.

    Args:
        seconds: how a call is timed; operator.call where it returns the seconds itself.
    """
    for call in sides.values():
        call()
    taken = [{name: seconds(call) for name, call in sides.items()} for _ in range(rounds)]
    return {name: statistics.median(each[name] for each in taken) for name in sides}


def verdict(met: bool) -> str:
    """Whether a claim holds."""
    return "met" if met else "MISSED"
