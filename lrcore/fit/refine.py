"""From a rough spec to the numbers and lengths of the nearest curve, as round as they may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lrcore.fit.candidate import Candidate
from lrcore.fit.numerics import least_largest, rounded, whole
from lrcore.fit.series import Series
from lrcore.numerics.grid import Array

CLEAN = 6  # digits of a number that somebody may have typed: worth an error far below EXACT
PATIENCE = 6_000_000  # rates drawn for one log, after which lengths are no longer moved
NEARLY = 5.0  # times the log's rounding: an error that may become less than that
MANY = 12  # numbers that are too many to be moved together
STEPS = 6  # of Gauss and Newton
FRACTIONS = ("start_factor", "end_factor", "factor", "pct_start", "cut_frac", "alpha", "min_ratio", "start", "ratio")
USUAL = {"start_factor": 1 / 3, "pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4}  # torch's defaults


def hopeless(series: Series) -> float:
    """The error of a spec that is not worth a search for other lengths, once there is an exact one."""
    return 1e-4 if series.dense else 0.05


def refined(series: Series, candidate: Candidate, settled: bool) -> Candidate:
    """The nearest curve of the candidate's kind, by its best and roundest numbers.

    Args:
        series: what it is to draw.
        candidate: the rough one.
        settled: whether there is an exact one already, so that more than a look at this one is not worth it.
    """
    if len(candidate.numbers()) + len(candidate.lengths()) <= MANY:
        candidate = _fitted(series, candidate, settled)
    return _snapped(series, candidate, settled)


def _fitted(series: Series, candidate: Candidate, settled: bool) -> Candidate:
    weight = 1 / series.scale
    candidate = polished(series, candidate, weight)
    if series.spent > PATIENCE or (settled and series.error(candidate) > hopeless(series)):
        return candidate
    if series.error(candidate) > max(1e-12, series.resolution):
        candidate = _shifted(series, candidate, weight)
    if series.error(candidate) < 30 * series.resolution:
        weights = 1 / series.tolerance(series.seen)
        other = polished(series, candidate, weights)
        if series.misfit(series.draw(other)) < series.misfit(series.draw(candidate)):
            candidate = other
        if series.misfit(series.draw(candidate)) > 1:
            candidate = _evened(series, candidate, weights)
        if series.misfit(series.draw(candidate)) > 1:
            candidate = _evened(series, _shifted(series, candidate, weights), weights)
    return candidate


def _evened(series: Series, candidate: Candidate, weights: Array) -> Candidate:
    """The candidate with a smaller largest error, where least squares are near."""
    for _ in range(3):
        drawn = series.draw(candidate)
        best = series.misfit(drawn)
        if drawn is None or not 1 < best <= NEARLY or series.spent > PATIENCE:
            break
        free = _Free(candidate)
        units = free.units(series)
        slopes = _slopes(series, candidate, free.x, units, drawn, weights)
        if not units.any() or not np.isfinite(slopes).all():
            break
        change = least_largest(slopes[:, units != 0], (series.seen - drawn) * weights)
        new = free.x.copy()
        new[units != 0] += change * units[units != 0]
        other = candidate.having(free.bounded(new))
        if not series.misfit(series.draw(other)) < best:
            break
        candidate = other
    return candidate


def _cost(series: Series, drawn: Array | None, weight: Array | float) -> float:
    return np.inf if drawn is None else float(np.sum(((drawn - series.seen) * weight) ** 2))


def polished(series: Series, candidate: Candidate, weight: Array | float) -> Candidate:
    """The candidate with the numbers of the nearest curve: Gauss and Newton's steps, with differences for slopes."""
    free = _Free(candidate)
    x, drawn = free.x, series.draw(candidate)
    for _ in range(STEPS):
        units = free.units(series)
        if drawn is None or not units.any() or np.abs(drawn - series.seen).max() <= 1e-14 * series.scale:
            break
        slopes = _slopes(series, candidate, x, units, drawn, weight)
        if not np.isfinite(slopes).all():
            break
        change = np.linalg.lstsq(slopes, (series.seen - drawn) * weight, rcond=1e-10)[0] * units
        for share in (1.0, 0.3):
            new = free.bounded(x + share * change)
            better = series.draw(candidate.having(new))
            if _cost(series, better, weight) < _cost(series, drawn, weight):
                break
        else:
            break
        candidate, x, drawn = candidate.having(new), new, better
        free.move(new)
    return candidate


class _Free:
    """The numbers of a candidate that may be moved.

    Attributes:
        x: all its numbers, shape (numbers,).
    """

    def __init__(self, candidate: Candidate) -> None:
        names = [name for name, _ in candidate.numbers()]
        fractions = np.array([name in FRACTIONS for name in names], dtype=bool)
        self.x = np.array([value for _, value in candidate.numbers()])
        self._free = ~(fractions & (self.x == 1))
        self._most = np.where(fractions, 1.0, np.inf)
        self._signed = np.array([name in ("gamma", "lb", "ub") for name in names], dtype=bool)

    def units(self, series: Series) -> Array:
        """Small changes of each, 0 for those that stay; downwards, as fractions may be at 1 already."""
        return np.asarray(self._free * 1e-7 * np.where(self.x != 0, -np.abs(self.x), series.scale))

    def bounded(self, new: Array) -> Array:
        """Other numbers, within what they may be."""
        return np.where(self._signed & (self.x < 0), new, np.clip(new, 0.0, self._most))

    def move(self, new: Array) -> None:
        """Go on from other numbers. One that has become 0 stays there."""
        self.x, self._free = new, self._free & (new != 0)


def _slopes(series: Series, candidate: Candidate, x: Array, units: Array, drawn: Array, weight: Array | float) -> Array:
    """By how much the weighted curve moves when one number moves by its unit, shape (steps, numbers)."""
    slopes = np.zeros((len(drawn), len(x)))
    for i in np.flatnonzero(units):
        moved = series.draw(candidate.having([*x[:i], x[i] + units[i], *x[i + 1 :]]))
        if moved is not None:
            slopes[:, i] = (moved - drawn) * weight
    return slopes


def _shifted(series: Series, candidate: Candidate, weight: Array | float) -> Candidate:
    """The candidate with better lengths: a joint step of all of them, then one by one."""
    best = _cost(series, series.draw(candidate), weight)
    for _ in range(4):
        other = _joint(series, candidate, weight)
        cost = _cost(series, series.draw(other), weight)
        if not cost < best * (1 - 1e-3):
            break
        candidate, best = other, cost
    enough = max(1e-12, series.resolution)
    for stride in dict.fromkeys((max(1, series.gap // 3), 1)):
        for _ in range(4):
            before = best
            for i in range(len(candidate.lengths())):
                for way in (-stride, stride):
                    candidate, cost = _moved(series, candidate, best, i, way, weight)
                    if cost < best:
                        best = cost
                        break
            if not best < before or series.error(candidate) <= enough or series.spent > PATIENCE:
                break
    return candidate


def _moved(
    series: Series, candidate: Candidate, best: float, i: int, way: int, weight: Array | float
) -> tuple[Candidate, float]:
    """The candidate with one length moved one way, twice as far each time, while its cost becomes less than `best`."""
    while i < len(lengths := candidate.lengths()):  # two of them may become one
        lengths[i] = max(0, lengths[i] + way)
        other = polished(series, candidate.lasting(lengths), weight)
        cost = _cost(series, series.draw(other), weight)
        if not cost < best * (1 - 1e-9):
            break
        candidate, best, way = other, cost, 2 * way
    return candidate, best


def _joint(series: Series, candidate: Candidate, weight: Array | float) -> Candidate:
    """One step of Gauss and Newton's in the lengths and the numbers together, the lengths rounded."""
    drawn, lengths = series.draw(candidate), candidate.lengths()
    if drawn is None or not lengths:
        return candidate
    x = np.array([value for _, value in candidate.numbers()])
    units = 1e-7 * np.where(x != 0, -np.abs(x), series.scale)
    columns = [_slopes(series, candidate, x, units, drawn, weight)] if len(x) else []
    for i, length in enumerate(lengths):
        unit = max(1, min(series.gap // 2, length // 8))
        moved = [candidate.lasting([*lengths[:i], length + d, *lengths[i + 1 :]]) for d in (unit, -unit)]
        above, below = map(series.draw, moved)
        above, below, wide = (above, below, 2) if below is not None else (above, drawn, 1)
        slope = np.zeros_like(drawn) if above is None else (above - below) / (wide * unit)
        columns.append((slope * weight)[:, None])
    slopes = np.concatenate(columns, axis=1)
    if not np.isfinite(slopes).all():
        return candidate
    change = np.linalg.lstsq(slopes, (series.seen - drawn) * weight, rcond=1e-9)[0][len(x) :]
    for share in (1.0, 0.4):
        new = [
            max(0, round(n + share * float(np.clip(c, -n / 2 - 1, n + 1))))
            for n, c in zip(lengths, change, strict=True)
        ]
        other = polished(series, candidate.lasting(new), weight)
        if _cost(series, series.draw(other), weight) < _cost(series, drawn, weight):
            return other
    return candidate


def _snapped(series: Series, candidate: Candidate, settled: bool) -> Candidate:
    """The candidate with the roundest numbers that are as good."""
    x = [value for _, value in candidate.numbers()]
    drawn = series.draw(candidate)
    if drawn is None:
        return candidate
    error = float(np.abs(drawn - series.seen).max()) / series.scale
    good = _judge(series, error, series.misfit(drawn))
    for digits in range(1, 17):
        trial = [rounded(value, digits) for value in x]
        if good(candidate.having(trial), digits <= CLEAN):
            x = trial
            break
    if len(x) > 8 or (error > 1e-9 and settled):
        return candidate.having(x).plain()
    for i, (name, _) in enumerate(candidate.numbers()):
        for other in _rounder(x[i], USUAL.get(name, 0.0)):
            if good(candidate.having([*x[:i], other, *x[i + 1 :]]), len(repr(other)) <= CLEAN + 2 or name in USUAL):
                x[i] = other
                break
    return candidate.having(x).plain()


def _judge(series: Series, error: float, misfit: float) -> Callable[[Candidate, bool], bool]:
    """Whether a candidate, with round numbers or not, is as good as one with that error and misfit."""
    if error > 1e-12 and series.resolution and misfit <= NEARLY:
        most = max(1.0, misfit)  # what rounding of the log may have caused
        return lambda trial, is_round: series.misfit(series.draw(trial)) <= most
    clean, tight = (1e-11, max(error, 1e-13)) if error <= 1e-12 else (max(error, 1e-11),) * 2
    return lambda trial, is_round: series.error(trial) <= (clean if is_round else tight)


def _rounder(value: float, usual: float) -> Iterator[float]:
    """Simpler numbers instead of one with many digits, the simplest first."""
    yield usual
    if len(repr(value)) > CLEAN + 2:
        yield from (rounded(value, digits) for digits in range(1, CLEAN + 1))
        share = 1 / whole(1 / value) if value else 0.0
        if abs(share - value) < 1e-9 * value:
            yield share
        yield from (rounded(value, digits) for digits in range(CLEAN + 1, 16))
