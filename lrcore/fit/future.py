"""What a spec does after the log's end."""

from __future__ import annotations

import numpy as np

from lrcore.fit.candidate import Candidate
from lrcore.fit.sampling import rates
from lrcore.fit.series import Series
from lrcore.numerics.grid import Grid
from lrcore.schedules._base import MAX_STEP

FINE = 2048  # steps that are looked at
SOON, BACK = 0.25, 0.3  # a rise within so much of the log's length by so much of its range is absurd


def _after(series: Series, share: float) -> Grid:
    """Steps after the log, evenly spaced over so much of its length."""
    first = int(series.steps[-1]) + 1
    span = max(1, min(int(share * (first - int(series.steps[0]))), MAX_STEP - first))
    stride = -(-span // FINE)
    return Grid(first, stride, -(-span // stride))


def is_absurd(series: Series, candidate: Candidate) -> bool:
    """Whether the rate, which fell to the log's end and never rose again in it, jumps back up right after it."""
    y = series.y
    lowest_since_peak = np.minimum.accumulate(y[int(y.argmax()) :])
    height = float(y.max() - y.min())
    if y[-1] > y.min() + 0.5 * height or (y[int(y.argmax()) :] - lowest_since_peak).max() > BACK * height:
        return False
    later = rates(candidate, _after(series, SOON))
    return later is not None and bool(later.max() > y[-1] + BACK * height)


def divergence(series: Series, one: Candidate, other: Candidate, near: float) -> int | None:
    """Return the first step after the log at which two specs differ by more than `near`; None if there is none.

    Looks as far again as the log is long, and as both have rates. A difference that comes and goes within 1/2048 of
    that is missed.
    """
    t = _after(series, 1.0)
    ends = [end for each in (one, other) if (end := each.request.schedule.length) is not None]
    t = t.part(0, t.before(min(ends))) if ends else t
    if not t.count or t.last > MAX_STEP:
        return None
    while True:
        a, b = rates(one, t), rates(other, t)
        if a is None or b is None:
            return None
        apart = np.flatnonzero(np.abs(a - b) > near)
        if not len(apart):
            return None
        i = int(apart[0])
        if t.stride == 1 or i == 0:
            return t.start + t.stride * i
        first, last = t.start + t.stride * (i - 1) + 1, t.start + t.stride * i
        stride = -(-(last - first + 1) // FINE)
        t = Grid(last - stride * ((last - first) // stride), stride, (last - first) // stride + 1)
