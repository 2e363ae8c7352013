"""From a logged learning rate back to the schedule that drew it.

A few closed-form estimators, one a family, propose specs; each is drawn, its numbers are refined by least squares and
rounded to the shortest decimals that cost no accuracy, and what is returned carries the error of the curve that the
spec really draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrcore.curve import CurveRequest, sample, table
from lrcore.grid import Array, Grid
from lrcore.schedules import SCHEDULES

Spec = dict[str, Any]

MAX_LENGTH = 1_000_000
EXACT = 1e-9  # the largest error of a spec that counts as the one behind the log
VIEW = 2048  # longer series are tried on three views of so many steps, and judged as a whole at the end
TRIED, TRIED_OF_A_TYPE = 12, 3  # candidates that are refined
CLEAN = 6  # digits of a number that somebody may have typed: worth an error far below EXACT
FRACTIONS = ("start_factor", "end_factor", "factor", "pct_start")
USUAL = {"start_factor": 1 / 3, "pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4}  # torch's defaults
NEEDED = ("cycle_momentum", "gamma", "total_iters", "factor", "base_lr", "lr", "max_lr", "start_factor")


@dataclass(frozen=True)
class Fit:
    """A schedule and how well it reproduces a series.

    Attributes:
        schedule: JSON of the schedule, most fields at their defaults left out.
        base_lr: the initial rate to ask its curve with.
        max_error: largest |fitted - logged|, as a share of the largest logged rate.
        rms_error: root of the mean square of the same.
        exact: whether max_error is at most 1e-9.
    """

    schedule: Spec
    base_lr: float
    max_error: float
    rms_error: float
    exact: bool


@dataclass(frozen=True)
class Candidate:
    """A spec to try. base_lr is None if the schedule brings its own."""

    schedule: Spec
    base_lr: float | None = None

    @property
    def family(self) -> str:
        """The type; of a sequence those of its parts as well."""
        return " ".join([self.schedule["type"], *(part["type"] for part in self.schedule.get("schedulers", ()))])

    @property
    def parts(self) -> int:
        """How many numbers, names and schedules it takes to write it down; a warm-up's length counts once."""
        sequence = self.schedule.get("milestones"), self.schedule.get("schedulers")
        twice = sequence[1] is not None and sequence[0] == [sequence[1][0].get("total_iters")]
        return _count(self.schedule) + (self.base_lr is not None) - twice

    @property
    def digits(self) -> int:
        """How many digits its numbers have."""
        return sum(map(str.isdigit, repr(self._tree)))

    @property
    def _tree(self) -> Spec:
        return self.schedule if self.base_lr is None else self.schedule | {"base_lr": self.base_lr}

    def numbers(self) -> list[tuple[str, float]]:
        """Names and values of everything that may take any value, base_lr included."""
        return list(_numbers(self._tree))

    def having(self, numbers: Iterable[float]) -> Candidate:
        """The same with other `numbers`."""
        tree = _having(self._tree, iter([float(number) for number in numbers]))
        return Candidate(tree) if self.base_lr is None else Candidate(schedule=tree, base_lr=tree.pop("base_lr"))


class Series:
    """A logged rate, or the rest of one after a warm-up.

    Attributes:
        y: the rates, shape (n,).
        scale: the largest of them, 1 if all are 0.
        views: the steps at which candidates are tried.
        seen: the rates there.
    """

    def __init__(self, y: Array) -> None:
        self.y = y
        self.scale = float(y.max()) or 1.0
        n = len(y)
        stride = -(-n // VIEW)
        views = (Grid(0, 1, VIEW), Grid(0, stride, -(-n // stride)), Grid(n - VIEW, 1, VIEW))
        self.views = views if n > 2 * VIEW else (Grid(0, 1, n),)
        self.seen = np.concatenate([y[v.start : v.last + 1 : v.stride] for v in self.views])

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def edges(self) -> list[int]:
        """First steps of the runs of equal rates but the first; of noisy rates, of runs between large jumps."""
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
        """The step from which on the rate stays as it is at the end."""
        other = np.flatnonzero(self.y != self.y[-1])
        return int(other[-1]) + 1 if len(other) else 0

    @cached_property
    def straight(self) -> int:
        """The last step of the straight line from step 0."""
        bends = np.abs(np.diff(self.y, 2)) > max(1e-9, 4 * self.resolution) * self.scale
        return int(bends.argmax()) + 1 if bends.any() else len(self) - 1

    @cached_property
    def resolution(self) -> float:
        """By how much the log was rounded, as a share of `scale`: float32, few digits or few decimals; else 0."""
        y = self.seen[self.seen > 0]
        if not len(y):
            return 0.0
        found = [2.0**-24] if (y == y.astype(np.float32)).all() else []
        digits = y / 10.0 ** np.floor(np.log10(y))
        for d in range(3, 9):
            if _whole_numbers(digits * 10.0 ** (d - 1)):
                found.append(0.5 * 10.0 ** (1 - d))
            if _whole_numbers(y * 10.0**d):
                found.append(0.5 * 10.0**-d / self.scale)
        return max(found, default=0.0)

    @cached_property
    def _jumps(self) -> Array:
        larger = np.maximum(self.y[1:], self.y[:-1])
        return np.asarray(np.abs(np.diff(self.y)) / np.where(larger > 0, larger, 1.0))

    @cached_property
    def _quiet(self) -> float:
        quarter = len(self._jumps) // 4
        return float(np.partition(self._jumps, quarter)[quarter])

    def draw(self, candidate: Candidate) -> Array | None:
        """The candidate's rates where `seen` looks; None if there is no such curve."""
        try:
            request = _request(candidate, len(self))
            return np.concatenate([table(request.schedule, request.base_lrs, v).lr[0] for v in self.views])
        except ValueError:  # pydantic's, or a CurveError
            return None

    def error(self, candidate: Candidate) -> float:
        """max_error where `seen` looks; infinite if there is no such curve."""
        drawn = self.draw(candidate)
        return np.inf if drawn is None else float(np.abs(drawn - self.seen).max()) / self.scale


def fit(lr: Sequence[float] | NDArray[Any], *, limit: int = 5) -> list[Fit]:
    """The schedules that draw a series of rates, or come nearest, best first.

    Ordered by max_error in units of 1e-9, then by how many fields and parts the spec has, then by type and digits. If
    no spec is exact, errors within the rounding of the log (to float32 or to a few digits) count as equal. A spec
    that draws the same curve as a simpler one is left out. Listed rates (PiecewiseConstantDecay) are offered only
    where no formula does. A log may not tell all: a line that reaches its end with the last step may have been meant
    to go on.

    Args:
        lr: the rates at steps 0, 1, …: 2 to 1,000,000 of them, finite and not negative.
        limit: how many are returned at most, at least 1.

    Raises:
        ValueError: `lr` or `limit` is not that.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    series = Series(_checked(lr))
    with np.errstate(all="ignore"):  # an estimate that is not a number is no candidate
        fits = _judged(series, _promising(series, PROPOSERS))
        least = min((result.max_error for _, result in fits), default=np.inf)
        if least > max(EXACT, series.resolution):
            listed = _judged(series, _promising(series, (_piecewise,)))
            fits += [pair for pair in listed if pair[1].max_error < least / 2]
        fits.sort(key=lambda pair: (_rank(pair[1], series), pair[0].parts, pair[0].family, pair[0].digits))
        return [result for _, result in _distinct(series, fits)[:limit]]


def _rank(result: Fit, series: Series) -> float:
    """The error that counts: what is nearer than the log's own digits is no better for that."""
    return round(result.max_error if result.exact else max(result.max_error, series.resolution), 9)


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
            raise ValueError(f"the rate at step {i} is {y[i]:g}, {what}")
    return y


def _promising(series: Series, proposers: Iterable[Proposer]) -> list[Candidate]:
    """The candidates nearest to the series, a few of each family."""
    errors: dict[str, tuple[float, int, Candidate]] = {}
    for propose in proposers:
        for candidate in map(_plain, propose(series)):
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


def _polished(series: Series, candidate: Candidate) -> Candidate:
    """The candidate with the numbers of the nearest curve: Gauss and Newton's steps, with differences for slopes."""
    names = [name for name, _ in candidate.numbers()]
    x = np.array([value for _, value in candidate.numbers()])
    drawn = series.draw(candidate)
    free = np.array([not (name in FRACTIONS and value == 1) for name, value in candidate.numbers()])
    most = np.where([name in FRACTIONS for name in names], 1.0, np.inf)
    for _ in range(5 if len(x) <= 8 else 0):
        if drawn is None or not free.any() or np.abs(drawn - series.seen).max() <= 1e-14 * series.scale:
            break
        units = free * 1e-7 * np.where(x > 0, -x, series.scale)  # downwards: fractions may be at 1 already
        slopes = _slopes(series, candidate, x, units, drawn)
        if not np.isfinite(slopes).all():
            break
        change = np.linalg.lstsq(slopes, (series.seen - drawn) / series.scale, rcond=1e-10)[0]
        new = np.clip(x + change * units, 0.0, most)
        free &= new > 0
        better = series.draw(candidate.having(new))
        if better is None or np.sum((better - series.seen) ** 2) >= np.sum((drawn - series.seen) ** 2):
            break
        candidate, x, drawn = candidate.having(new), new, better
    return candidate


def _slopes(series: Series, candidate: Candidate, x: Array, units: Array, drawn: Array) -> Array:
    """By how much of the scale the curve moves when one number moves by its unit, shape (steps, numbers)."""
    slopes = np.zeros((len(drawn), len(x)))
    for i in np.flatnonzero(units):
        moved = series.draw(candidate.having([*x[:i], x[i] + units[i], *x[i + 1 :]]))
        if moved is not None:
            slopes[:, i] = (moved - drawn) / series.scale
    return slopes


def _snapped(series: Series, candidate: Candidate) -> Candidate:
    """The candidate with the roundest numbers that are as good."""
    x = [value for _, value in candidate.numbers()]
    error = series.error(candidate)
    lossless = error <= 1e-12
    clean, tight = (1e-11, max(error, 1e-13)) if lossless else (max(error, series.resolution, 1e-11),) * 2
    for digits in range(1, 17):
        rounded = [_rounded(value, digits) for value in x]
        if series.error(candidate.having(rounded)) <= (clean if digits <= CLEAN else tight):
            x = rounded
            break
    for i, (name, _) in enumerate(candidate.numbers() if len(x) <= 8 else ()):
        for other in _rounder(x[i], USUAL.get(name, 0.0)):
            trial = candidate.having([*x[:i], other, *x[i + 1 :]])
            if series.error(trial) <= (clean if len(repr(other)) <= CLEAN + 2 or name in USUAL else tight):
                x[i] = other
                break
    return _plain(candidate.having(x))


def _rounder(value: float, usual: float) -> Iterator[float]:
    """Simpler numbers instead of one with many digits, the simplest first."""
    yield usual
    if len(repr(value)) > CLEAN + 2:
        yield from (_rounded(value, digits) for digits in range(1, CLEAN + 1))
        share = 1 / _whole(1 / np.float64(value))
        if abs(share - value) < 1e-9 * value:
            yield share
        yield from (_rounded(value, digits) for digits in range(CLEAN + 1, 16))


def _judged(series: Series, candidates: Iterable[Candidate]) -> list[tuple[Candidate, Fit]]:
    """The candidates with their best numbers, and the errors of their whole curves."""
    judged = []
    for candidate in candidates:
        candidate = _snapped(series, _polished(series, candidate))
        try:
            request = _request(candidate, len(series))
            wrong = (sample(request).lr[0] - series.y) / series.scale
        except ValueError:  # pydantic's, or a CurveError
            continue
        most, rms = float(np.abs(wrong).max()), float(np.sqrt(np.mean(wrong * wrong)))
        judged.append((candidate, Fit(candidate.schedule, request.base_lrs[0], most, rms, most <= EXACT)))
    return judged


def _distinct(series: Series, fits: list[tuple[Candidate, Fit]]) -> list[tuple[Candidate, Fit]]:
    """Without those that draw the curve of a simpler one."""
    kept: list[tuple[Candidate, Fit, Array]] = []
    for candidate, result in fits:
        drawn = series.draw(candidate)
        if drawn is not None and not any(
            (other.parts < candidate.parts or other.family == candidate.family)
            and best.max_error <= result.max_error + EXACT
            and np.abs(curve - drawn).max() <= EXACT * series.scale
            for other, best, curve in kept
        ):
            kept.append((candidate, result, drawn))
    return [(candidate, result) for candidate, result, _ in kept]


def _request(candidate: Candidate, steps: int) -> CurveRequest:
    fields = {"schedule": candidate.schedule, "base_lr": candidate.base_lr, "steps": steps}
    return CurveRequest.model_validate(fields)


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return sum(_count(item) for item in value.values())  # the type counts as well
    if isinstance(value, list):
        return sum(map(_count, value))
    return 1


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(item, key)
    elif isinstance(value, list) and not (value and isinstance(value[0], int)):
        for item in value:
            yield from _numbers(item, name)
    elif isinstance(value, float):
        yield name, float(value)


def _having(value: Any, numbers: Iterator[float]) -> Any:
    if isinstance(value, dict):
        return {key: _having(item, numbers) for key, item in value.items()}
    if isinstance(value, list) and not (value and isinstance(value[0], int)):
        return [_having(item, numbers) for item in value]
    return next(numbers) if isinstance(value, float) else value


def _plain(candidate: Candidate) -> Candidate:
    """The candidate without the fields that say no more than their defaults."""

    def trimmed(spec: Spec) -> Spec:
        fields = SCHEDULES[spec["type"]].model_fields
        kept = {k: v for k, v in spec.items() if k in NEEDED or k == "type" or fields[k].default != v}
        return {k: [trimmed(part) for part in v] if k == "schedulers" else v for k, v in kept.items()}

    same = candidate.having(value for _, value in candidate.numbers())  # with Python's own floats
    return Candidate(trimmed(same.schedule), same.base_lr)


def _rounded(value: float, digits: int) -> float:
    return float(f"{value:.{digits - 1}e}")


def _whole(value: float) -> int:
    """The nearest step count."""
    return round(min(max(float(value), 1.0), 1e15)) if np.isfinite(value) else 1


def _whole_numbers(values: Array) -> bool:
    return bool((np.abs(values - np.rint(values)) < 1e-7).all())


def _thin(n: int) -> Array:
    """At most 1000 of the steps 0 .. n - 1, the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, 1000)).astype(np.int64)).astype(np.float64)


def _line(x: Array, y: Array, weight: Array | float = 1.0) -> tuple[float, float]:
    """Intercept and slope of the nearest line."""
    weight = np.broadcast_to(weight, x.shape)
    total = weight.sum()
    mx, my = (weight * x).sum() / total, (weight * y).sum() / total
    slope = (weight * (x - mx) * (y - my)).sum() / (weight * (x - mx) ** 2).sum()
    return float(my - slope * mx), float(slope)


def _geometric(t: Array, y: Array) -> tuple[float, float]:
    """First value and factor of the nearest geometric series y[0] * factor ** t."""
    some = y > 1e-12 * y.max()
    start, slope = _line(t[some], np.log(y[some]), (y[some] / y.max()) ** 2)
    return float(np.exp(start)), float(np.exp(slope))


def _least(function: Callable[[float], float], low: float, high: float) -> float:
    """Where the function is least, by golden section."""
    ratio = (np.sqrt(5) - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = function(a), function(b)
    for _ in range(50):
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = function(b)
    return (low + high) / 2


def _misfit(shape: Array, y: Array) -> float:
    """What is left of y, as a share, after the nearest low + height * shape."""
    shape, y = shape - shape.mean(), y - y.mean()
    rest = y - shape * ((shape @ y) / max(float(shape @ shape), 1e-300))
    return float(rest @ rest)


def _cosine_length(y: Array) -> float:
    """Steps of half a wave of a cosine of any phase, by y[t - h] + y[t + h] = 2 cos(pi h / length) y[t] + constant."""
    h = max(1, len(y) // 3)
    if len(y) < 4:
        return float(len(y))
    _, twice = _line(y[h:-h], y[: -2 * h] + y[2 * h :])
    return float(np.pi * h / np.arccos(np.clip(twice / 2, -1.0, 1.0)))


def _cosine_lengths(y: Array) -> Iterator[int]:
    """Likely steps of half a wave that begins with its top at step 0."""
    least = int(y.argmin())
    guess = _cosine_length(y[: least + 1] if least > 3 else y)
    found = {_whole(guess), len(y), max(1, len(y) - 1), max(1, least)}
    if np.isfinite(guess):
        t = _thin(len(y))
        at = y[t.astype(np.int64)]
        found.add(_whole(_least(lambda length: _misfit(np.cos(np.pi * t / length), at), 0.8 * guess, 1.25 * guess)))
    yield from sorted(found)


def _falling_length(y: Array) -> int:
    """Steps of the half cosine from the top at step 0 down to a flat end."""
    half = int((y <= (y[0] + y.min()) / 2).argmax())
    t = _thin(min(len(y), 4 * half + 2))
    at = y[t.astype(np.int64)]

    def misfit(length: float) -> float:
        return _misfit(np.cos(np.pi * np.minimum(t / length, 1)), at)

    return _whole(_least(misfit, 1.5 * half, 3 * half + 1))


def _half_cosine(y: Array, length: int) -> tuple[float, float]:
    """Top and bottom of the nearest half cosine that begins at its top."""
    t = _thin(len(y))
    bottom, height = _line((1 + np.cos(np.pi * t / length)) / 2, y[t.astype(np.int64)])
    return bottom + height, max(bottom, 0.0)


def _constant(series: Series) -> Iterator[Candidate]:
    low, high = float(series.y.min()), float(series.y.max())
    yield Candidate({"type": "Constant"}, low + (high - low) / 2)


def _constant_then_base(series: Series) -> Iterator[Candidate]:
    edge = int(np.diff(series.y).argmax()) + 1
    first, base = float(np.median(series.y[:edge])), float(np.median(series.y[edge:]))
    if first < base:
        yield Candidate({"type": "ConstantLR", "factor": first / base, "total_iters": edge}, base)


def _step(series: Series) -> Iterator[Candidate]:
    edges = np.array(series.edges)
    if len(edges):
        for size in {int(edges[0]), _whole(np.median(np.diff([0, *edges])))}:
            base, gamma = _geometric(np.append(0, edges // size).astype(np.float64), series.levels)
            yield Candidate({"type": "StepLR", "step_size": size, "gamma": gamma}, base)


def _multi_step(series: Series) -> Iterator[Candidate]:
    if 0 < len(series.edges) <= min(10_000, len(series) // 2):
        base, gamma = _geometric(np.arange(len(series.levels), dtype=np.float64), series.levels)
        yield Candidate({"type": "MultiStepLR", "milestones": series.edges, "gamma": gamma}, base)


def _piecewise(series: Series) -> Iterator[Candidate]:
    if "PiecewiseConstantDecay" in SCHEDULES and 0 < len(series.edges) <= min(100, len(series) // 4):
        boundaries = [edge - 1 for edge in series.edges]
        values = [float(level) for level in series.levels]
        yield Candidate({"type": "PiecewiseConstantDecay", "boundaries": boundaries, "values": values})


def _exponential(series: Series) -> Iterator[Candidate]:
    base, gamma = _geometric(np.arange(len(series), dtype=np.float64), series.y)
    yield Candidate({"type": "ExponentialLR", "gamma": gamma}, base)


def _factor(series: Series) -> Iterator[Candidate]:
    end = series.flat if 1 < series.flat < len(series) - 1 else len(series)
    base, factor = _geometric(np.arange(1, end + 1, dtype=np.float64), series.y[:end])
    floor = float(series.y[-1]) if end < len(series) else min(1e-7, float(series.y.min()))
    yield Candidate({"type": "FactorScheduler", "factor": factor, "stop_factor_lr": floor, "base_lr": base})


def _square_root(series: Series) -> Iterator[Candidate]:
    yield Candidate({"type": "SquareRootScheduler", "lr": float(series.y[0])})


def _linear_lengths(series: Series) -> Iterator[tuple[int, float, float]]:
    """Likely lengths of a line that then stays flat, with the rates at its ends."""
    y, n = series.y, len(series)
    t = _thin(n)
    at = y[t.astype(np.int64)]
    start, slope = _line(t[t <= series.straight], at[t <= series.straight])
    corner = _whole(_least(lambda length: _misfit(np.minimum(t, length), at), 0.5, n - 1.0))
    for length in sorted({max(series.flat, 1), max(series.straight, 1), corner}):
        bottom, slope_there = _line(np.minimum(t, length), at)
        yield length, bottom, bottom + slope_there * length
    if series.flat == n - 1:  # the line may go on beyond the log
        yield n, start, start + slope * n
        if slope < 0:
            yield _whole(-start / slope), start, 0.0


def _linear(series: Series) -> Iterator[Candidate]:
    for length, start, end in _linear_lengths(series):
        if max(end, 0.0) < start:
            factors = {"start_factor": 1.0, "end_factor": max(end, 0.0) / start}
            yield Candidate({"type": "LinearLR", **factors, "total_iters": length}, start)
        elif start > 1e-9 * end:
            yield Candidate({"type": "LinearLR", "start_factor": start / end, "total_iters": length}, end)
        else:
            yield Candidate({"type": "LambdaLR", "lr_lambda": f"min(1, step / {length})"}, end)


def _polynomial(series: Series) -> Iterator[Candidate]:
    y, n = series.y, len(series)
    last = int(np.flatnonzero(y > 1e-4 * y[0])[-1]) if y[0] > 0 else 0
    if last < 2:
        return
    t = _thin(last + 1)
    logs = np.log(np.maximum(y[t.astype(np.int64)], 1e-300))
    guess = 1 / _least(lambda u: _misfit(np.log1p(-t * u), logs), 0.05 / (last + 1), 1 / (last + 1e-3))
    zero = [series.flat] if y[-1] == 0 else [n]
    for length in sorted({_whole(guess), last + 1, *zero}):
        if length > last:
            base, power = _line(np.log1p(-t / length), logs)
            yield Candidate({"type": "PolynomialLR", "total_iters": length, "power": power}, float(np.exp(base)))


def _cosine(series: Series) -> Iterator[Candidate]:
    for length in _cosine_lengths(series.y):
        top, bottom = _half_cosine(series.y, length)
        if top > bottom:
            yield Candidate({"type": "CosineAnnealingLR", "T_max": length, "eta_min": bottom}, top)


def _restarts(series: Series) -> Iterator[Candidate]:
    y = series.y
    starts = np.flatnonzero(np.diff(y) > 0.5 * (y.max() - y.min())) + 1
    if not len(starts):
        return
    first = int(starts[0])
    lengths = np.diff(starts) if len(starts) > 1 else np.array([_cosine_length(y[first:]), 1.0 * first])
    top, bottom = _half_cosine(y[:first], first)
    for times in sorted({1, 2, *(_whole(length / first) for length in lengths[:1])}):
        spec = {"type": "CosineAnnealingWarmRestarts", "T_0": first, "T_mult": times, "eta_min": bottom}
        yield Candidate(spec, top)


def _lowest_turn(y: Array) -> int | None:
    """The first step after which the rate rises again; None if it does not."""
    starts = np.append(0, np.flatnonzero(np.diff(y)) + 1)
    runs = y[starts]
    turns = np.flatnonzero((runs[1:-1] < runs[:-2]) & (runs[1:-1] < runs[2:])) + 1
    return int(starts[turns[0]] + starts[turns[0] + 1] - 1) // 2 if len(turns) else None


def _cyclic(series: Series) -> Iterator[Candidate]:
    y, n = series.y, len(series)
    height = y - y[0]
    cycle = _lowest_turn(y)
    peak = int(height[:cycle].argmax())
    if not 0 < peak < n - 1:
        return
    if cycle is None:
        down = _whole(height[peak] * (n - 1 - peak) / (y[peak] - y[-1]))
        cycle = peak + down
    spec = {"type": "CyclicLR", "base_lr": float(y[0]), "cycle_momentum": False}
    for mode in ("triangular", "triangular2"):
        sides = {"step_size_up": peak, "step_size_down": cycle - peak}
        yield _sides(spec | {"max_lr": float(y[peak]), "mode": mode}, **sides)
    ratio = (height[peak + cycle] / height[peak], cycle) if peak + cycle < n else (height[2] / height[1] / 2, 1)
    gamma = float(ratio[0] ** (1 / ratio[1]))
    undone = height[: cycle + 1] / gamma ** np.arange(min(cycle + 1, n))
    up = max(1, int(undone.argmax()))
    top = {"max_lr": float(y[0] + undone[up]), "mode": "exp_range", "gamma": gamma}
    yield _sides(spec | top, step_size_up=up, step_size_down=max(1, cycle - up))


def _sides(spec: Spec, step_size_up: int, step_size_down: int) -> Candidate:
    sides = {"step_size_up": step_size_up}
    return Candidate(spec | sides | ({"step_size_down": step_size_down} if step_size_down != step_size_up else {}))


def _one_cycle(series: Series) -> Iterator[Candidate]:
    y, n = series.y, len(series)
    peak = int(y.argmax())
    if not (0 < peak < n - 2 and 0 < y[0] < y[peak]):
        return
    rise, fall = _cosine_length(y[: peak + 1]), _cosine_length(y[peak + 1 :])
    low = float(y[-1])
    ends = ((rise, n), (n - 1 - fall, n), (0.3 * n - 1, n), (rise, max(n, _whole(1 + rise + fall))))
    for up, total in ((np.float64(up), total) for up, total in ends):
        risen = (1 - np.cos(np.pi * min(peak / up, 1.0))) / 2
        top = y[0] + (y[peak] - y[0]) / risen
        left = (1 + np.cos(np.pi * (n - 1 - up) / (total - 1 - up))) / 2
        yield from _one_cycles("cos", total, up, float(top), float(y[0]), (low - top * left) / (1 - left))
    before = max(peak - 1, 1)
    climb, drop = (y[before] - y[0]) / before, (y[-1] - y[peak + 1]) / (n - 2 - peak)
    up = (y[peak + 1] - drop * (peak + 1) - y[0]) / (climb - drop)
    yield from _one_cycles("linear", n, up, float(y[0] + climb * up), float(y[0]), low)


def _one_cycles(shape: str, total: int, up: float, top: float, start: float, low: float) -> Iterator[Candidate]:
    spec = {"type": "OneCycleLR", "max_lr": top, "total_steps": total, "pct_start": (up + 1) / total}
    ends = {"div_factor": top / start, "final_div_factor": start / low if low > 1e-7 * start else 1e4}
    spec |= {"anneal_strategy": shape, "cycle_momentum": False} | ends
    yield Candidate(spec)
    yield Candidate(spec | {"three_phase": True})


def _warm_ups(series: Series) -> list[int]:
    """Likely first steps after a warm-up."""
    y, n = series.y, len(series)
    if y[1] <= y[0]:
        return []
    peak = int(y.argmax())
    later = np.flatnonzero(y[peak:] != y[peak])
    drop = peak + int(later[0]) if len(later) else n
    after = np.flatnonzero(y[drop:] != y[min(drop, n - 1)])
    size = int(after[0]) if len(after) else 0  # of the first step after the top
    near = int((y >= 0.98 * y[peak]).argmax())  # noise may lift a later peak above the first
    first = near + int(y[near : near + near // 20 + 3].argmax())
    found = {first, peak, drop - 1, drop - size, series.straight, series.straight + 1}
    return sorted(m for m in found if 1 <= m < n - 1)


def _warm_cosine(series: Series) -> Iterator[Candidate]:
    """d2l's, which is flat at the end; with a warm-up or without."""
    y = series.y
    for warm in [0, *_warm_ups(series)]:
        rest = y[warm:]
        for length in {*_cosine_lengths(rest[: int(rest.argmin()) + 1]), _falling_length(rest)}:
            top, bottom = _half_cosine(rest[: length + 1], length)
            spec = {"type": "CosineScheduler", "max_update": warm + length, "base_lr": top, "final_lr": bottom}
            yield Candidate(spec | ({"warmup_steps": warm, "warmup_begin_lr": float(y[0])} if warm else {}))


def _warm_then(series: Series) -> Iterator[Candidate]:
    for warm in _warm_ups(series):
        rest = Series(series.y[warm:])
        for propose in AFTER_WARM_UP:
            for part in propose(rest):
                for first in _warm_parts(series, warm, part.base_lr or 0.0):
                    parts = [first, part.schedule]
                    yield Candidate({"type": "SequentialLR", "schedulers": parts, "milestones": [warm]}, part.base_lr)


def _warm_parts(series: Series, warm: int, base: float) -> Iterator[Spec]:
    """Lines up to `base`, or cut off at step `warm`."""
    if not base > 0:
        return
    start, end = float(series.y[0]), min(series.straight, warm - 1)
    slope = float(series.y[end] - start) / end if end else 0.0
    reach = _whole((base - start) / slope) if slope > 0 else warm
    for length in {warm, reach}:
        if start > 1e-9 * base:
            yield {"type": "LinearLR", "start_factor": min(start / base, 1.0), "total_iters": length}
        else:
            yield {
                "type": "LambdaLR",
                "lr_lambda": f"step / {length}" if length >= warm else f"min(1, step / {length})",
            }
    if 0 < start + slope * warm < 0.999 * base and start > 0:
        ends = {"start_factor": min(start / base, 1.0), "end_factor": (start + slope * warm) / base}
        yield {"type": "LinearLR", **ends, "total_iters": warm}


Proposer = Callable[[Series], Iterator[Candidate]]
AFTER_WARM_UP: tuple[Proposer, ...] = (
    _constant,
    _step,
    _multi_step,
    _exponential,
    _linear,
    _polynomial,
    _cosine,
    _restarts,
)
PROPOSERS: tuple[Proposer, ...] = (
    *AFTER_WARM_UP,
    _constant_then_base,
    _factor,
    _square_root,
    _cyclic,
    _one_cycle,
    _warm_cosine,
    _warm_then,
)
