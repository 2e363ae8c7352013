"""A plateau, then half a cosine that may begin between two steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lrcore.fit.candidate import Candidate
from lrcore.fit.numerics import wave_length, whole
from lrcore.fit.series import Series

USUAL, LARGEST = 1e5, 1e6  # fastai's div_final, and one whose lowest rate is lost in the fit's own rounding


def flat_cosine(series: Series) -> Iterator[Candidate]:
    """fastai's."""
    y, t, top = series.y, series.t, float(series.y[0])
    first = int((y < top).argmax())
    if not (first > 0 and 0 < y[-1] < top and (y[:first] == top).all()):
        return
    last = min(series.flat + 1, len(y))
    length = wave_length(t[first:last], y[first:last])
    if not 0 < length < np.inf:
        return
    wave = np.pi * t[first:last] / length
    rows = np.stack([np.ones_like(wave), np.cos(wave), np.sin(wave)], axis=1)
    middle, cosine, sine = np.linalg.lstsq(rows, y[first:last], rcond=None)[0]
    low = max(float(2 * middle - top), 0.0)
    begin = float(np.arctan2(sine, cosine) * length / np.pi)
    for end in {whole(begin + length), series.end}:
        start = min(max(begin if end != series.end else end - length, 0.0), float(t[first]))
        ratio = top / low if low * LARGEST > top else USUAL
        spec = {"type": "FlatCosine", "total_steps": end, "pct_start": start / end, "div_final": max(ratio, 1.0)}
        if start < end:
            yield Candidate(spec, top)
            yield Candidate(spec | {"div_final": USUAL}, top)


ESTIMATORS = (flat_cosine,)
