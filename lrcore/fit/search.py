"""Candidates of all estimators, refined, judged over the whole log, and put in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrcore.fit import future
from lrcore.fit.candidate import Candidate, Spec
from lrcore.fit.estimators import ESTIMATORS, LAST_RESORTS, Estimator
from lrcore.fit.refine import hopeless, refined
from lrcore.fit.sampling import StepError, Steps
from lrcore.fit.series import EXACT, Series
from lrcore.numerics.grid import Array
from lrcore.schedules._base import MAX_STEP

MAX_LENGTH = 1_000_000
USUAL_LIMIT = 5  # so many are refined even if they are hopeless
ALIKE = 1.25  # times the least error of a noisy log is as good
TRIED, TRIED_OF_A_TYPE = 24, 3  # candidates that are refined


@dataclass(frozen=True)
class Fit:
    """A schedule and how well it reproduces a series.

    Attributes:
        schedule: JSON of the schedule, most fields at their defaults left out.
        base_lr: the initial rate to request its curve with.
        max_error: largest |fitted - logged|, as a share of the largest logged rate.
        rms_error: root of the mean square of the same.
        exact: whether max_error is at most 1e-9.
        diverges_at: the first step after the log at which its rate is not that of the best fit, where both agree on
            the log; None for the best fit itself, and where they agree as far again as the log is long, or differ on
            the log already.
    """

    schedule: Spec
    base_lr: float
    max_error: float
    rms_error: float
    exact: bool
    diverges_at: int | None = None


@dataclass(frozen=True)
class _Judged:
    candidate: Candidate
    fit: Fit
    drawn: Array  # where the series looks
    rank: float
    absurd: bool

    @property
    def order(self) -> tuple[float, bool, bool, int, str, int]:
        return (
            self.rank,
            self.absurd,
            self.candidate.is_rare,
            self.candidate.parts,
            self.candidate.family,
            self.candidate.digits,
        )


def fit(
    lr: Sequence[float] | NDArray[Any], *, step: Sequence[int] | NDArray[Any] | None = None, limit: int = 5
) -> list[Fit]:
    """The schedules that draw a series of rates, or come nearest, best first.

    Ordered by
    - max_error in units of 1e-9. Errors within the log's rounding (to float32, a few digits or decimals) count as
      equal, and of noisy logs those up to 1.25 times the least;
    - whether the rate jumps back up right after the log, though it never did in it;
    - whether it is a class of torch, transformers or d2l, or of a framework that fewer logs come from;
    - how many fields and parts the spec has, then its type and digits.
    A spec that draws the same curve as a simpler one, on the log and as far again after it, is left out. Listed rates
    (PiecewiseConstantDecay) are offered only where no formula does.

    Args:
        lr: the rates, 2 to 1,000,000 of them, finite and not negative.
        step: the steps at which they were logged, rising, at most 10**15; 0, 1, … if left out.
        limit: how many are returned at most, at least 1.

    Raises:
        StepError: `step` is not that, or the steps are spaced too unevenly: more than 500 stretches of even spacing.
        ValueError: another argument is not that.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    y = _checked(lr)
    series = Series(_checked_steps(step, len(y)), y)
    series.whole  # noqa: B018 - refuses steps that are spaced too unevenly
    with np.errstate(all="ignore"):  # an estimate that is not a number is no candidate
        found = _judged(series, _promising(series, ESTIMATORS))
        if not _is_settled(series, found) and series.steps[0] >= 1:
            found += _begun_late(series)
        if not _is_settled(series, found):
            listed = _judged(series, _promising(series, LAST_RESORTS))
            nearest = min((each.fit.max_error for each in found), default=np.inf)
            found += [each for each in listed if each.fit.max_error < nearest / 2]
        if not _is_settled(series, found):  # a little more noise is no worse: the simpler one first
            nearest = min((each.rank for each in found), default=np.inf)
            found = [replace(each, rank=max(each.rank, ALIKE * nearest)) for each in found]
        found.sort(key=lambda each: each.order)
        return _distinct(series, found, limit)


def _is_settled(series: Series, found: list[_Judged]) -> bool:
    """Whether there is a spec that the log's rounding does not tell from the one behind it."""
    return any(each.rank <= round(max(EXACT, series.resolution), 9) for each in found)


def _begun_late(series: Series) -> list[_Judged]:
    """Specs whose step 0 was logged as step 1, as transformers' Trainer does, or of a loop that counts from 1."""
    earlier = Series(series.steps - 1, series.y)
    found = _judged(earlier, _promising(earlier, ESTIMATORS))
    if not _is_settled(earlier, found):
        return []
    shifted = [
        Candidate({"type": "Shift", "by": -1, "schedule": each.candidate.schedule}, each.candidate.base_lr)
        for each in found
        if _is_settled(series, [each])
    ]
    return [each for candidate in shifted if (each := _judge(series, candidate)) is not None]


def _checked(lr: Sequence[float] | NDArray[Any]) -> Array:
    try:
        y = np.array(lr, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as wrong:
        raise ValueError("the series must be a list of numbers") from wrong
    if y.ndim != 1:
        raise ValueError(f"the series must have one axis, not {y.ndim}")
    if not 2 <= len(y) <= MAX_LENGTH:
        raise ValueError(f"the series must have 2 to {MAX_LENGTH} rates, not {len(y)}")
    for bad, what in ((~np.isfinite(y), "not a finite number"), (y < 0, "negative")):
        if bad.any():
            i = int(bad.argmax())
            raise ValueError(f"lr[{i}] is {y[i]:g}, {what}")
    return y


def _checked_steps(step: Sequence[int] | NDArray[Any] | None, count: int) -> Steps:
    if step is None:
        return np.arange(count)
    try:
        steps = np.array(step)
    except (TypeError, ValueError, OverflowError) as wrong:
        raise StepError("step must be a list of whole numbers") from wrong
    if steps.ndim != 1 or not np.issubdtype(steps.dtype, np.integer):
        raise StepError("step must be a list of whole numbers")
    if len(steps) != count:
        raise StepError(f"step must have one step for each rate, {count}, not {len(steps)}")
    if int(steps[0]) < 0 or int(steps.max()) > MAX_STEP:
        raise StepError(f"step must be from 0 to {MAX_STEP}")
    steps = steps.astype(np.int64)
    falls = np.flatnonzero(np.diff(steps) <= 0)
    if len(falls):
        i = int(falls[0])
        raise StepError(f"step must rise, but {steps[i]} is followed by {steps[i + 1]}")
    return steps


def _estimates(estimate: Estimator, series: Series) -> Iterator[Candidate]:
    """What an estimator yields, up to where a number leaves the range of floats."""
    with suppress(ArithmeticError):
        yield from estimate(series)


def _promising(series: Series, estimators: Iterable[Estimator]) -> list[Candidate]:
    """The candidates nearest to the series, a few of each family."""
    errors: dict[str, tuple[float, int, Candidate]] = {}
    for estimate in estimators:
        for candidate in _estimates(estimate, series):
            candidate = candidate.plain()
            if repr(candidate) not in errors:
                errors[repr(candidate)] = (series.error(candidate), candidate.parts, candidate)

    def order(entry: tuple[float, int, Candidate]) -> tuple[float, int]:
        return float(np.round(max(entry[0], series.resolution), 6)), entry[1]

    best: dict[str, list[Candidate]] = {}
    for error, _, candidate in sorted(errors.values(), key=order):
        of_family = best.setdefault(candidate.family, [])
        if error < np.inf and len(of_family) < TRIED_OF_A_TYPE and sum(map(len, best.values())) < TRIED:
            of_family.append(candidate)
    return [candidate for of_family in best.values() for candidate in of_family]


def _judged(series: Series, candidates: Iterable[Candidate]) -> list[_Judged]:
    """The candidates with their best numbers, and the errors of their whole curves."""
    judged: list[_Judged] = []
    for rough in candidates:
        settled = _is_settled(series, judged)  # others are of interest only if they soon are as good
        if settled and len(judged) >= USUAL_LIMIT and series.error(rough) > max(0.01, hopeless(series)):
            continue
        each = _judge(series, refined(series, rough, settled))
        if each is not None:
            judged.append(each)
    return judged


def _judge(series: Series, candidate: Candidate) -> _Judged | None:
    """The candidate with the errors of its whole curve; None if it has none."""
    drawn, rates = series.draw(candidate), series.whole.draw(candidate)
    if drawn is None or rates is None:
        return None
    wrong = (rates - series.y) / series.scale
    most, rms = float(np.abs(wrong).max()), float(np.sqrt(np.mean(wrong * wrong)))
    fitted = Fit(candidate.schedule, candidate.request.base_lrs[0], most, rms, most <= EXACT)
    rank = most
    if series.resolution and not fitted.exact:
        rank = series.resolution if series.misfit(drawn) <= 1 else max(most, 1.01 * series.resolution + EXACT)
    return _Judged(candidate, fitted, drawn, round(rank, 9), future.is_absurd(series, candidate))


def _distinct(series: Series, found: list[_Judged], limit: int) -> list[Fit]:
    """The first few without those that draw the curve of a simpler one, and where they part from the best."""
    kept: list[_Judged] = []
    for each in found:
        if not any(_is_same(series, each, other) for other in kept):
            kept.append(each)
            if len(kept) == limit:
                break
    fits = [each.fit for each in kept]
    near = 2 * max(EXACT, series.resolution) * series.scale
    for i, each in enumerate(kept[1:], 1):
        if np.abs(each.drawn - kept[0].drawn).max() <= near:
            diverges_at = future.divergence(series, kept[0].candidate, each.candidate, near)
            fits[i] = replace(each.fit, diverges_at=diverges_at)
    return fits


def _is_same(series: Series, each: _Judged, simpler: _Judged) -> bool:
    """Whether a spec draws the curve of one that comes first."""
    return bool(
        (simpler.candidate.parts < each.candidate.parts or simpler.candidate.family == each.candidate.family)
        and simpler.fit.max_error <= each.fit.max_error + EXACT
        and np.abs(simpler.drawn - each.drawn).max() <= EXACT * series.scale
        and (
            simpler.candidate.family == each.candidate.family
            or future.divergence(series, simpler.candidate, each.candidate, EXACT * series.scale) is None
        )
    )
