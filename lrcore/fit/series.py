"""A logged rate, and what can be seen in it at a glance."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from lrcore.fit.candidate import Candidate
from lrcore.fit.sampling import Sampling, Steps
from lrcore.numerics.grid import Array

EXACT = 1e-9  # the largest error of a spec that counts as the one behind the log
FEW = 5  # different rates, with fewer of which short numbers are no sign of rounding
VIEW = 2048  # longer series are tried on three views of so many rates, and judged as a whole at the end


class Series:
    """A logged rate, or the rest of one after a warm-up.

    Attributes:
        t: the steps, shape (n,), float64; of the rest of a series they count from its own beginning.
        y: the rates, shape (n,).
        scale: the largest of them, 1 if all are 0.
        gap: the usual distance of two steps.
        spent: rates drawn so far, each curve counted with 500 more.
    """

    def __init__(self, steps: Steps, y: Array) -> None:
        self.steps = steps
        self.t = steps.astype(np.float64)
        self.y = y
        self.scale = float(y.max()) or 1.0
        self.spent = 0
        self.gap = int(np.median(np.diff(steps))) if len(steps) > 1 else 1

    def __len__(self) -> int:
        return len(self.y)

    def after(self, step: int) -> Series:
        """The rest from a step on, which becomes step 0."""
        first = int(np.searchsorted(self.steps, step))
        return Series(self.steps[first:] - step, self.y[first:])

    def since(self, step: int) -> Series:
        """The rest from a step on, with the steps that it had."""
        first = int(np.searchsorted(self.steps, step))
        return Series(self.steps[first:], self.y[first:])

    @cached_property
    def dense(self) -> bool:
        """Whether every step from 0 on was logged."""
        return bool(self.steps[0] == 0 and self.steps[-1] == len(self) - 1)

    @cached_property
    def end(self) -> int:
        """The first step after the log."""
        return int(self.steps[-1]) + self.gap

    @cached_property
    def _views(self) -> list[slice]:
        n = len(self)
        return [slice(n)] if n <= 2 * VIEW else [slice(VIEW), slice(0, n, -(-n // VIEW)), slice(n - VIEW, n)]

    @cached_property
    def _sampled(self) -> Sampling:
        return Sampling(*(self.steps[view] for view in self._views))

    @cached_property
    def seen(self) -> Array:
        """The rates in the views."""
        return np.concatenate([self.y[view] for view in self._views])

    @cached_property
    def whole(self) -> Sampling:
        """All the steps."""
        return Sampling(self.steps)

    def draw(self, candidate: Candidate) -> Array | None:
        """The candidate's rates where `seen` looks; None if there is no such curve."""
        drawn = self._sampled.draw(candidate)
        self.spent += 0 if drawn is None else 500 + len(self.seen)
        return drawn

    def error(self, candidate: Candidate) -> float:
        """The largest difference where `seen` looks, over `scale`; infinite if there is no such curve."""
        drawn = self.draw(candidate)
        return np.inf if drawn is None else float(np.abs(drawn - self.seen).max()) / self.scale

    def misfit(self, drawn: Array | None) -> float:
        """The largest difference in units of the log's own rounding: at most 1 if rounding may be all there is."""
        return np.inf if drawn is None else float((np.abs(drawn - self.seen) / self.tolerance(self.seen)).max())

    def tolerance(self, y: Array) -> Array:
        """How far from the logged rates `y` those behind them may lie for the log's rounding."""
        share, digits, absolute = self._rounding
        if digits:
            unit = 10.0 ** (np.floor(np.log10(np.maximum(y, 1e-300))) + 1 - digits)
            found = 0.5 * unit
        else:
            found = np.maximum(share * y, absolute)
        return np.maximum(found * (1 + 1e-6), 1e-12 * self.scale)

    @cached_property
    def resolution(self) -> float:
        """By how much the log was rounded, as a share of `scale`: float32, few digits or few decimals; else 0."""
        share, digits, absolute = self._rounding
        return max(share, absolute / self.scale, 0.5 * 10.0 ** (1 - digits) if digits else 0.0)

    @cached_property
    def _rounding(self) -> tuple[float, int, float]:
        """Share of the rate, significant digits, or an absolute distance; 0 where it is another of these, or none."""
        y = self.seen[self.seen > 0]
        if not len(y):
            return 0.0, 0, 0.0
        if len(np.unique(y[:: 1 + len(y) // VIEW])) < FEW and len(np.unique(y)) < FEW:  # they may have been typed
            return (2.0**-24, 0, 0.0) if (y == y.astype(np.float32)).all() else (0.0, 0, 0.0)
        mantissas = y / 10.0 ** np.floor(np.log10(y))
        places = next((d for d in range(4, 10) if _whole_numbers(y * 10.0**d)), 0)
        digits = next((d for d in range(3, 9) if _whole_numbers(mantissas * 10.0 ** (d - 1))), 0)
        if places and not 0 < digits < places + 1 + np.floor(np.log10(y.max())):
            return 0.0, 0, 0.5 * 10.0**-places  # the large ones have all their decimals, the small ones fewer digits
        if digits:
            return 0.0, digits, 0.0
        return (2.0**-24, 0, 0.0) if (y == y.astype(np.float32)).all() else (0.0, 0, 0.0)

    @cached_property
    def edges(self) -> list[int]:
        """Indices of the first rates of all runs of equal ones but the first; of noisy rates, after large jumps."""
        edges: list[int] = (np.flatnonzero(self._jumps > max(20 * self._quiet, 1e-12)) + 1).tolist()
        return edges

    @cached_property
    def levels(self) -> Array:
        """The rate of each run."""
        starts = np.array([0, *self.edges])
        if self._quiet <= 0:
            return np.asarray(self.y[starts])
        return np.asarray(np.add.reduceat(self.y, starts) / np.diff([*starts, len(self)]))

    @cached_property
    def flat(self) -> int:
        """The index from which on the rate stays as it is at the end."""
        other = np.flatnonzero(np.abs(self.y - self.y[-1]) > 1e-13 * self.scale)
        return int(other[-1]) + 1 if len(other) else 0

    @cached_property
    def straight(self) -> int:
        """The last index of the straight line from the first rate."""
        slopes = np.diff(self.y) / np.diff(self.t)
        bends = np.abs(np.diff(slopes)) * self.gap > max(1e-9, 4 * self.resolution) * self.scale
        return int(bends.argmax()) + 1 if bends.any() else len(self) - 1

    @cached_property
    def _jumps(self) -> Array:
        larger = np.maximum(self.y[1:], self.y[:-1])
        return np.asarray(np.abs(np.diff(self.y)) / np.where(larger > 0, larger, 1.0))

    @cached_property
    def _quiet(self) -> float:
        quarter = len(self._jumps) // 4
        return 0.0 if not len(self._jumps) else float(np.partition(self._jumps, quarter)[quarter])


def _whole_numbers(values: Array) -> bool:
    return bool((np.abs(values - np.rint(values)) < 1e-7).all())
