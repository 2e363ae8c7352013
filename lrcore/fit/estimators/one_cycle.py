"""One rise to a peak that may lie between two steps, and one fall or two."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lrcore.fit.candidate import Candidate
from lrcore.fit.numerics import wave_length, whole
from lrcore.fit.series import Series


def one_cycle(series: Series) -> Iterator[Candidate]:
    """torch's, with lines or half cosines, two phases or three."""
    y, t, n = series.y, series.t, len(series)
    peak = int(y.argmax())
    if not (0 < peak < n - 2 and 0 < y[0] < y[peak]):
        return
    end, at = series.end, float(t[peak])
    rise, fall = wave_length(t[: peak + 1], y[: peak + 1]), wave_length(t[peak + 1 :], y[peak + 1 :])
    low = float(y[-1])
    total_of = ((rise, end), (end - 1 - fall, end), (0.3 * end - 1, end), (rise, max(end, whole(1 + rise + fall))))
    ends = [(rise if up is None else up, total) for up, total in total_of]
    for up, total in ((np.float64(up), total) for up, total in ends):
        risen = (1 - np.cos(np.pi * min(at / up, 1.0))) / 2
        top = y[0] + (y[peak] - y[0]) / risen
        left = (1 + np.cos(np.pi * (t[-1] - up) / (total - 1 - up))) / 2
        bottom = (low - top * left) / (1 - left) if left < 1 else low
        yield from _phases("cos", total, up, float(top), float(y[0]), float(bottom))
    before = max(peak - 1, 1)
    climb, drop = (y[before] - y[0]) / (t[before] - t[0]), (y[-1] - y[peak + 1]) / (t[-1] - t[peak + 1])
    up = (y[peak + 1] - drop * t[peak + 1] - y[0] + climb * t[0]) / (climb - drop)
    yield from _phases("linear", end, up, float(y[0] + climb * (up - t[0])), float(y[0] - climb * t[0]), low)
    yield from _three_lines(series, peak, float(climb))


def _three_lines(series: Series, peak: int, climb: float) -> Iterator[Candidate]:
    """A line down to where the line up began, and one from there to the end: torch's third phase, and optax's."""
    y, t, n = series.y, series.t, len(series)
    drop = (y[peak + 2] - y[peak + 1]) / (t[peak + 2] - t[peak + 1])
    last = (y[-1] - y[-2]) / (t[-1] - t[-2])
    start = float(y[0] - climb * t[0])
    up = float((y[peak + 1] - drop * t[peak + 1] - start) / (climb - drop))
    top = start + climb * up
    if not (drop < 0 and start > 0 and top > start):
        return
    down = up + (top - start) / -drop
    flat = float(t[series.flat]) if series.flat < n - 1 else float(series.end)
    yield from _phases("linear", series.end, up, top, start, float(y[-1]))
    for end in {whole(flat), whole(t[-1] - y[-1] / last) if last < 0 else whole(flat)}:
        if up < down < end:
            spec = {"type": "linear_onecycle_schedule", "transition_steps": end, "peak_value": top}
            knots = {"pct_start": (round(up) + 0.5) / end, "pct_final": (round(down) + 0.5) / end}
            low = max(float(y[-1] + last * (end - t[-1])), 1e-4 * start)
            yield Candidate(spec | knots | {"div_factor": top / start, "final_div_factor": start / low})


def _phases(shape: str, total: int, up: float, top: float, start: float, low: float) -> Iterator[Candidate]:
    if not (start > 0 and top > 0):
        return
    spec = {"type": "OneCycleLR", "max_lr": top, "total_steps": total, "pct_start": float((up + 1) / total)}
    ends = {"div_factor": top / start, "final_div_factor": start / low if low > 1e-7 * start else 1e4}
    spec |= {"anneal_strategy": shape, "cycle_momentum": False} | ends
    yield Candidate(spec)
    yield Candidate(spec | {"three_phase": True})


def slanted(series: Series) -> Iterator[Candidate]:
    """A line up, and a line down to where it began."""
    y, t = series.y, series.t
    peak = int(y.argmax())
    if not (0 < peak < len(y) - 1 and 0 < y[0] < y[peak]):
        return
    slope = (y[peak] - y[-1]) / (t[-1] - t[peak])
    totals = {series.end, whole(t[peak] + (y[peak] - y[0]) / slope)} if slope > 0 else {series.end}
    for total in totals:
        cut = (float(t[peak]) + 0.5) / total
        if cut < 1:
            spec = {"type": "SlantedTriangular", "total_steps": total, "cut_frac": cut, "ratio": float(y[peak] / y[0])}
            yield Candidate(spec, float(y[peak]))


ESTIMATORS = (one_cycle, slanted)
