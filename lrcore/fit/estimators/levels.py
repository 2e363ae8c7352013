"""Curves of runs of equal rates: constants, steps at even distances or at milestones, and lists of rates."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lrcore.fit.candidate import Candidate, Spec
from lrcore.fit.estimators.falls import optax_decay
from lrcore.fit.estimators.phases import turns
from lrcore.fit.numerics import geometric, line
from lrcore.fit.series import Series
from lrcore.numerics.grid import Array

MOST_STEPS, MOST_LISTED = 10_000, 100


def constant(series: Series) -> Iterator[Candidate]:
    """The middle of all rates."""
    low, high = float(series.y.min()), float(series.y.max())
    yield Candidate({"type": "Constant"}, low + (high - low) / 2)


def constant_then_base(series: Series) -> Iterator[Candidate]:
    """Two rates, the lower one first."""
    edge = int(np.diff(series.y).argmax()) + 1
    first, base = float(np.median(series.y[:edge])), float(np.median(series.y[edge:]))
    if first < base:
        yield Candidate({"type": "ConstantLR", "factor": first / base, "total_iters": int(series.steps[edge])}, base)


def even_steps(series: Series) -> Iterator[Candidate]:
    """Drops at even distances, the first as far from step 0, or later."""
    if not 0 < len(series.edges) <= len(series) // 2:
        return
    for size in _sizes(series):
        drops, levels = series.steps[[0, *series.edges]] // size, series.levels
        counted = drops.astype(np.float64)
        if (levels > 0).all():
            base, gamma = geometric(counted, levels)
            yield Candidate({"type": "StepLR", "step_size": size, "gamma": gamma}, base)
            spec = {"transition_steps": size, "decay_rate": gamma, "staircase": True, "end_value": float(levels[-1])}
            yield Candidate({"type": "exponential_decay", "init_value": base, **spec})
            start, slope = line(counted, 1 / levels)
            if start > 0 and slope > 0:
                spec = {"initial_learning_rate": 1 / start, "decay_steps": size, "decay_rate": slope / start}
                yield Candidate({"type": "InverseTimeDecay", "staircase": True, **spec})
        start, slope = line(counted, levels)
        if start > 0 and slope > 0:
            spec = {"lr_range_test_min_lr": start, "lr_range_test_step_size": size}
            rate = {"lr_range_test_step_rate": slope / start, "lr_range_test_staircase": True}
            yield Candidate({"type": "LRRangeTest", **spec, **rate})


def _sizes(series: Series) -> list[int]:
    """Distances that put a drop between the right rates, the roundest and the plainest."""
    s, edges = series.steps, np.array(series.edges)
    before, at = s[edges - 1], s[edges]  # a drop is after the one and not after the other
    found = []
    count = np.arange(1, len(edges) + 1)
    low, high = int((before // count).max()) + 1, int((at // count).min())
    if low <= high:
        found += [_roundest(low, high), high]
    found += [int(at[0]), max(1, round(float(np.median(np.diff([0, *at])))))]
    return list(dict.fromkeys(found))


def _roundest(low: int, high: int) -> int:
    """The number with the most zeros at its end from low to high."""
    unit = 1
    while -(-low // (unit * 10)) * unit * 10 <= high:
        unit *= 10
    return -(-low // unit) * unit


def late_steps(series: Series) -> Iterator[Candidate]:
    """Drops at even distances that begin late, after a warm-up or a plateau, or stop at a bound."""
    for turn in turns(series)[:4] if len(series.edges) >= 1 else ():
        rest = series.after(turn.warm)
        edges = np.array(rest.edges)
        if not (0 < len(edges) <= len(rest) // 2 and (rest.levels > 0).all()):
            continue
        at = rest.steps[edges]
        for size in {int(np.median(np.diff(at))) if len(at) > 1 else int(at[0]), int(np.diff([0, *at]).min())}:
            if size < 1:
                continue
            begin = max(0, int(at[0]) - size)
            drops = (np.append(0, np.arange(1, len(at) + 1))).astype(np.float64)
            base, gamma = geometric(drops, rest.levels)
            decay = {"transition_steps": size, "decay_rate": gamma, "staircase": True, "transition_begin": begin}
            for bound in ({}, {"end_value": float(rest.levels[-1])}):
                yield optax_decay(turn, base, decay | bound)


def timm_steps(series: Series) -> Iterator[Candidate]:
    """timm's drops, with a warm-up over the beginning of their count."""
    for turn in turns(series)[:5]:
        rest = series.since(turn.warm)
        if not (turn.warm and len(rest) > 3 and 0 < len(rest.edges) <= len(rest) // 2 and (rest.levels > 0).all()):
            continue
        at, warm = rest.steps[rest.edges], {"warmup_t": turn.warm, "warmup_lr_init": turn.start, "warmup_prefix": False}
        gaps = np.diff(at) if len(at) > 1 else at
        for size in {int(np.median(gaps)), int(at[0])}:
            drops = np.append(turn.warm // size, at // size).astype(np.float64)
            base, rate = geometric(drops, rest.levels)
            yield Candidate({"type": "StepLRScheduler", **warm, "decay_t": size, "decay_rate": rate}, base)
        milestones = [int(step) + 1 for step in at]
        base, rate = geometric(np.arange(len(at) + 1.0), rest.levels)
        for early in range(min(4, turn.warm)):
            spec = {"decay_t": [*range(1, early + 1), *milestones], "decay_rate": rate}
            yield Candidate({"type": "MultiStepLRScheduler", **warm, **spec}, base / rate**early)


def milestones(series: Series) -> Iterator[Candidate]:
    """Drops by one factor at listed steps."""
    if 0 < len(series.edges) <= min(MOST_STEPS, len(series) // 2) and (series.levels > 0).all():
        base, gamma = geometric(np.arange(len(series.levels), dtype=np.float64), series.levels)
        yield Candidate({"type": "MultiStepLR", "milestones": _edges(series), "gamma": gamma}, base)


def _edges(series: Series) -> list[int]:
    return [int(step) for step in series.steps[series.edges]]


def listed(series: Series) -> Iterator[Candidate]:
    """Every rate of a few."""
    if 0 < len(series.edges) <= min(MOST_LISTED, max(len(series) // 4, 1)):
        values = [float(level) for level in series.levels]
        yield Candidate(
            {"type": "PiecewiseConstantDecay", "boundaries": [e - 1 for e in _edges(series)], "values": values}
        )


def knotted(series: Series) -> Iterator[Candidate]:
    """Lines, or half cosines, from knot to knot."""
    bends = _bends(series)
    if 0 < len(bends) <= min(MOST_LISTED // 5, len(series) // 4):
        yield from _through(series, bends, "linear")
    y = series.y
    turning = _turning(y)
    if 0 < len(turning) < min(MOST_LISTED // 5, len(series) // 6):
        last = series.flat if series.flat > turning[-1] else len(series) - 1
        yield from _through(series, [*turning, last], "cosine")


def _turning(y: Array) -> list[int]:
    """Indices where the rate turns, or stands still on its way; none if they are many."""
    moving = np.append(0, np.flatnonzero(np.diff(y)) + 1)
    runs = y[moving]
    if len(runs) < 3:
        return []
    change = np.abs(np.diff(runs))
    turns = np.flatnonzero((runs[1:-1] - runs[:-2]) * (runs[2:] - runs[1:-1]) < 0) + 1
    slow = np.flatnonzero((change[1:-1] < change[:-2]) & (change[1:-1] <= change[2:])) + 1
    if len(turns) + len(slow) > MOST_LISTED:
        return []
    still = [int(i) + int(change[i] > change[min(i + 1, len(change) - 1)]) for i in slow]
    apart = [i for i in still if np.abs(i - turns).min(initial=9) > 2]
    return sorted({int(moving[i]) for i in [*turns.tolist(), *apart]})


def _bends(series: Series) -> list[int]:
    """Indices of the ends of straight lines."""
    y, t = series.y, series.t
    slopes = np.diff(y) / np.diff(t)
    noise = max(1e-10, 3 * series.resolution) * series.scale / series.gap
    bent = np.flatnonzero(np.abs(np.diff(slopes)) > noise) + 1
    if not len(bent):
        return [len(y) - 1]
    groups = np.split(bent, np.flatnonzero(np.diff(bent) > 1) + 1)
    if len(groups) > 1000:
        return []
    found = [int(group[np.abs(np.diff(slopes))[group - 1].argmax()]) for group in groups]
    return found if series.flat == found[-1] else [*found, len(y) - 1]


def _through(series: Series, knots: list[int], kind: str) -> Iterator[Candidate]:
    y, scales, before = series.y, {}, float(series.y[0])
    if not before > 0:
        return
    for knot in knots:
        value = float(y[knot])
        if not before > 0:
            return
        scales[str(int(series.steps[knot]))] = value / before
        before = value
    spec: Spec = {"interpolate_type": kind, "boundaries_and_scales": scales}
    yield Candidate({"type": "piecewise_interpolate_schedule", "init_value": float(y[0]), **spec})


ESTIMATORS = (constant, constant_then_base, even_steps, late_steps, timm_steps, milestones, knotted)
LAST_RESORTS = (listed,)
