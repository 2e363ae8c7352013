"""Rates of a candidate at the steps of a log, however these are spaced."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lrcore.curve import table
from lrcore.fit.candidate import Candidate
from lrcore.numerics.grid import Array, Grid

Steps = NDArray[np.int64]

COVERED = 4  # steps that are drawn for one that was logged, at most, rather than stretches one by one
STRETCHES = 500  # evenly spaced stretches of a log, at most


class StepError(ValueError):
    """The steps of a log are not a rising list, or spaced too unevenly."""


class Sampling:
    """Lists of steps, each in rising order, as few evenly spaced grids.

    Raises:
        StepError: the steps are spaced so unevenly that it would take too many grids.
    """

    def __init__(self, *steps: Steps) -> None:
        self._pieces = [piece for each in steps for piece in _pieces(each)]

    def draw(self, candidate: Candidate) -> Array | None:
        """The candidate's rates, shape (n,); None if there is no such curve."""
        found = []
        for grid, where in self._pieces:
            drawn = rates(candidate, grid)
            if drawn is None:
                return None
            found.append(drawn if where is None else drawn[where])
        return found[0] if len(found) == 1 else np.concatenate(found)


def rates(candidate: Candidate, t: Grid) -> Array | None:
    """The candidate's rates; None where it has none."""
    try:
        schedule = candidate.request.schedule
        if schedule.length is not None and t.last >= schedule.length:
            return None
        drawn: Array = table(schedule, candidate.request.base_lrs, t).lr[0]
        return drawn
    except ValueError:  # pydantic's, or a CurveError
        return None


def _pieces(steps: Steps) -> Iterator[tuple[Grid, Steps | None]]:
    """Grids and which of their values are wanted, None for all."""
    first, last, count = int(steps[0]), int(steps[-1]), len(steps)
    gaps = np.diff(steps)
    if count < 2 or gaps.min() == gaps.max():
        yield Grid(first, int(gaps[0]) if count > 1 else 1, count), None
        return
    common = int(np.gcd.reduce(gaps))
    covering = (last - first) // common + 1
    if covering <= COVERED * count + 1000:
        yield Grid(first, common, covering), (steps - first) // common
        return
    begin, stretches = 0, []
    changes = np.append(np.flatnonzero(np.diff(gaps)) + 1, count - 1)  # the last step of each stretch
    for end in changes.tolist():
        if end < begin:
            continue
        stretches.append((begin, end))
        begin = end + 1
        if len(stretches) > STRETCHES:
            raise StepError(
                f"step has more than {STRETCHES} stretches of even spacing over {last - first} steps: "
                "leave out the odd ones, or send fewer rates"
            )
    if begin < count:
        stretches.append((begin, count - 1))
    for begin, end in stretches:
        stride = int(steps[begin + 1] - steps[begin]) if end > begin else 1
        yield Grid(int(steps[begin]), stride, end - begin + 1), None
