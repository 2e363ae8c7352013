"""Where a log may turn from a warm-up to a plateau and from there to a fall."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lrcore.fit.numerics import line, whole
from lrcore.fit.series import Series

MOST = 8  # turns that are tried


@dataclass(frozen=True)
class Turn:
    """A warm-up from rate `start` in `warm` steps, then a plateau, and a fall from step `begin` on.

    `reached` is where the warm-up's line gets to in its time.
    """

    warm: int
    begin: int
    start: float
    reached: float = np.inf


def turns(series: Series) -> list[Turn]:
    """Likely ones, those without a warm-up first."""
    found: dict[tuple[int, int], Turn] = {}
    for turn in _turns(series):
        if 0 <= turn.warm <= turn.begin < series.steps[-1]:
            found.setdefault((turn.warm, turn.begin), turn)
    return list(found.values())[:MOST]


def _turns(series: Series) -> Iterator[Turn]:
    s, y = series.steps, series.y
    first, last = plateau(series)
    nothing = Turn(0, 0, float(y[0]))
    if first == 0:
        yield nothing
        if last > 0:
            yield from (Turn(0, step, float(y[0])) for step in _between(series, last))
        return
    start, slope = ramp(series, first)
    if last == len(series) - 1:
        yield nothing
    if last > first:
        reach = (
            [int(s[first])] if series.dense or slope <= 0 else [whole((series.scale - start) / slope), int(s[first])]
        )
        for warm in reach:
            begins = [begin for begin in _between(series, last) if begin >= warm]
            yield from (Turn(warm, begin, start, start + slope * warm) for begin in begins)
    yield from (Turn(warm, warm, start, start + slope * warm) for warm in warm_ups(series))
    yield nothing
    if last > first:
        yield from (Turn(0, begin, float(y[0])) for begin in _between(series, last))


def _between(series: Series, last: int) -> list[int]:
    """Steps from one that was logged up to the next."""
    step, s = int(series.steps[last]), series.steps
    gap = int(s[last + 1]) - step if last + 1 < len(s) else 1
    return [step] if gap == 1 else sorted({step, step + gap // 2, step + gap - 1})


def plateau(series: Series) -> tuple[int, int]:
    """Indices of the first and the last of the highest rates in a row."""
    high = series.y >= series.scale * (1 - max(1e-9, 2.5 * series.resolution))
    first = int(high.argmax())
    lower = np.flatnonzero(~high[first:])
    return first, (first + int(lower[0]) if len(lower) else len(series)) - 1


def ramp(series: Series, first: int) -> tuple[float, float]:
    """Rate at step 0 and slope of the line before index `first`."""
    y, t = series.y, series.t
    end = max(1, min(first, series.straight if series.straight > 0 else first))
    if end >= 2 or first < 2:
        end = min(end, first)
    if end >= 1 and t[end] > t[0]:
        start, slope = line(t[: end + 1], y[: end + 1]) if end > 1 else (0.0, float((y[1] - y[0]) / (t[1] - t[0])))
        if end == 1:
            start = float(y[0] - slope * t[0])
    else:
        start, slope = float(y[0]), 0.0
    if series.steps[0] == 0:
        start = float(y[0])
    return (0.0 if start < 1e-4 * series.scale and series.steps[0] > 0 else max(start, 0.0)), slope


def warm_ups(series: Series) -> list[int]:
    """Likely first steps after a warm-up."""
    y, s, n = series.y, series.steps, len(series)
    if y[1] <= y[0] and series.straight < 2:
        return []
    peak = int(y.argmax())
    if peak == 0:
        return []
    later = np.flatnonzero(y[peak:] != y[peak])
    drop = peak + int(later[0]) if len(later) else n
    after = np.flatnonzero(y[drop:] != y[min(drop, n - 1)])
    size = int(after[0]) if len(after) else 0  # of the first step after the top
    near = int((y >= 0.98 * y[peak]).argmax())  # noise may lift a later peak above the first
    first = near + int(y[near : near + near // 20 + 3].argmax())
    found = dict.fromkeys((peak, series.straight, first, drop - 1, drop - size, series.straight + 1))
    steps = [int(s[m]) for m in found if 1 <= m < n - 1]
    if not series.dense:
        gap = series.gap
        steps = [step + d for step in steps for d in (0, gap // 2, -gap // 2)]
    return [step for step in dict.fromkeys(steps) if 0 < step < s[-1]]
