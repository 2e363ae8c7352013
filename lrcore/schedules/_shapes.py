"""What several frameworks' schedules are made of: waves, decays by name, powers, cycles of growing length."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formula_values import computed, write
from lrcore.numerics.formulas import PI, Node, T, Value
from lrcore.numerics.grid import Array, Extent, Grid

Shape = Callable[[Value, float], Value]  # t, length: from 1 at t = 0 to 0 at `length`

FASTEST = 1.001  # the least factor between cycles: with it a far step is in one of the first 30,000
NEVER = 1e18  # beyond every step that may be asked for
MAX_CYCLES = 10_000  # for cycles that become shorter
MAX_LISTED = 10_000  # cycles in a formula: 20 million steps where they grow as slowly as they may


def wave(t: Node, length: int, half_waves: float, high: float, low: float) -> Value:
    """low + (high - low) * (1 + cos(pi * half_waves * t / length)) / 2, on and on.

    Whole periods are taken off before the cosine, for the digits.
    """
    if half_waves == int(half_waves):
        return formulas.cosine(t * int(half_waves) % (2 * length), length, high, low)
    turn = t * half_waves / length % 2.0
    return formulas.written(
        low + (high - low) * _unit(turn),
        lambda: formulas.half_cosine(t * half_waves % (2 * length) / length, high, low),
    )


def wave_cost(load: Load, length: int, half_waves: float) -> float:
    """What `wave` takes."""
    if half_waves != int(half_waves):
        return cost.formula(load, cost.REMAINDER + 2 * cost.TRIG + 2 * cost.ARITHMETIC)
    times, length = max(1, int(half_waves)), max(1, length)
    wide = Load(load.first * times, load.last * times, load.values, load.calls, load.dense and times == 1)
    return cost.periodic(wide, length) + cost.plain(wide.folded(length))


def cosine_then_flat(t: Value, length: int, high: float, low: float, exponent: float = 1.0) -> Value:
    """Half a cosine from `high` at t = 0 to `low` at `length`, to a power, then `low`."""
    body = formulas.piecewise(T, [length], [formulas.cosine(T, length, high, low, exponent), low])
    return formulas.written(
        formulas.apart(body, t),
        lambda: formulas.half_cosine(formulas.call("min", t, length) / length, high, low, exponent),
    )


def _unit(u: Value) -> Value:
    """(1 + cos(pi * u)) / 2, with all its digits near 0."""
    return formulas.call("cos", PI / 2 * u) ** 2


def unit_cosine(u: Value) -> Value:
    """Half a cosine from 1 at u = 0 to 0 at 1."""
    return formulas.written(_unit(u), lambda: formulas.half_cosine(u, 1, 0))


def decay(name: str, u: Value, power: float = 0.5, ratio: float = 0.1) -> Value:
    """A factor from 1 to 0 at the share u of the way, 0 to 1.

    linear 1 - u, cosine (1 + cos(pi * u)) / 2, 1-sqrt 1 - u ** 0.5, power 1 - u ** power,
    exp (ratio ** u - ratio) / (1 - ratio).
    """
    match name:
        case "linear":
            return 1 - u
        case "cosine":
            return unit_cosine(u)
        case "1-sqrt":
            return 1 - formulas.call("sqrt", u)
        case "power":
            return 1 - u**power
    return (ratio**u - ratio) / (1 - ratio)


def polynomial(t: Value, length: float, start: float, end: float, power: float) -> Value:
    """end + (start - end) * (1 - t / length) ** power up to step `length`, then `end`."""
    if power == 1:
        return formulas.line_then_flat(t, length, start, end)

    def falling(left: Value) -> Value:  # 1 - t / length need not be 0 at the end in float32
        return (start - end) * (left / length) ** power + end

    last = end if power else start  # 0 ** 0 is 1
    body = formulas.piecewise(T, [length], [falling(length - T), last])
    return formulas.written(formulas.apart(body, t), lambda: falling(length - formulas.call("min", t, length)))


def powered_cost(load: Load, power: float) -> float:
    """What a line or a cosine to a power takes."""
    return cost.plain(load) + (0.0 if power == 1 else load.values * cost.POWER)


def exponential(t: Value, start: float, per: int, rate: float, staircase: bool) -> Value:
    """start * rate ** (t / per), the exponent floored with staircase."""
    return formulas.power(t // per, rate, start) if staircase else formulas.power(t, rate, start, per)


def exponential_cost(load: Load, per: int, staircase: bool) -> float:
    """What `exponential` takes."""
    return cost.runs(load, per) if staircase else cost.powers(load)


def cycle_start(first: int, factor: float, cycle: int) -> float:
    """The step at which a cycle begins, each `factor` times as long as the one before; exact where it is whole."""
    try:
        start = first * cycle if factor == 1 else first * (factor**cycle - 1) / (factor - 1)
    except OverflowError:
        return NEVER
    if start >= NEVER:
        return NEVER
    whole = round(start)
    return float(whole) if abs(start - whole) <= 1e-12 * max(1, whole) * (1 + cycle) else start


def cycle_starts(start: Callable[[int], float], limit: int | None) -> Iterator[tuple[float, int]]:
    """Where each cycle that holds a step begins, and its number: the first MAX_LISTED.

    Args:
        start: of the number of a cycle.
        limit: how many cycles there are; None if they never end.
    """
    cycle = 0
    for _ in range(MAX_LISTED):
        while limit is None or cycle < limit:
            begin, end = start(cycle), start(cycle + 1)
            cycle += 1
            if math.ceil(end) > math.ceil(begin):
                yield begin, cycle - 1
                break
            if end - begin < 1e-9:
                return
        else:
            return
        if end > 2**53:
            return


def listed_cycles(factor: float, limit: int | None) -> int:
    """How many cycles `cycle_starts` gives at most."""
    endless = MAX_LISTED if factor <= 1 else min(MAX_LISTED, int(53 / math.log2(factor)) + 2)
    return endless if limit is None else min(endless, limit)


@dataclass(frozen=True)
class Cycles:
    """low + amplitude(cycle) * shape in each cycle, and `low` once there were `limit` of them.

    Attributes:
        first: steps of the first cycle; each is `factor` times as long as the one before.
        amplitude: of the number of the cycle.
        limit: how many cycles there are; None if they never end.
    """

    first: int
    factor: float
    shape: Shape
    amplitude: Callable[[Value], Value]
    low: float
    limit: int | None = None

    def formula_at(self, t: Node) -> Value:
        """Return the formula."""
        first = self.first
        if self.factor != 1:
            return formulas.filled(t, self._fill, lambda: self._listed(t))
        height = formulas.stairs(t, first, lambda cycle: self.amplitude(formulas.let("cycle", cycle)))
        repeated = formulas.written(
            formulas.apart(self.shape(T, first), t % first),
            lambda: self.shape(formulas.let("u", t % first / first), 1),
        )
        found = self.low + height * repeated
        return found if self.limit is None else formulas.piecewise(t, [first * self.limit], [found, self.low])

    def _start(self, cycle: int) -> float:
        return cycle_start(self.first, self.factor, cycle)

    def _begin(self, cycle: int) -> int:
        return math.ceil(self._start(cycle))

    def _fill(self, out: Array, t: Grid) -> Extent:
        limit, height = self.limit, self.amplitude(T)
        if self.factor < 1 and limit is not None:
            find, end = _shrinking(ends := _ends(self.first, self.factor, limit)), int(ends[-1])
        else:
            find = growing(self._begin, self.first, self.factor)
            end = math.ceil(NEVER) if limit is None else self._begin(limit)

        def cycling(out: Array, t: Grid) -> Extent:
            extents = []
            for where, part, cycle in turns(t, find):
                start, whole = self._start(cycle), self._begin(cycle)
                shape = self.shape(T + (whole - start), self._start(cycle + 1) - start)
                write(shape, values := out[where], part - whole)
                np.multiply(values, computed(height, np.array([float(cycle)])), out=values)
                extents.append(grid.extent(np.add(values, self.low, out=values)))
            return grid.spanning(extents)

        return grid.piecewise(out, t, (end,), (cycling, lambda out, t: grid.constant(out, self.low)))

    def _listed(self, t: Node) -> Value:
        starts = list(cycle_starts(self._start, self.limit))
        begins = [start for start, _ in starts]
        lengths = [self.first * self.factor**cycle for _, cycle in starts]
        heights = [_height(self.amplitude, cycle) for _, cycle in starts]
        i = formulas.let("i", formulas.passed(map(math.ceil, begins[1:]), t))
        u = formulas.let("u", (t - formulas.pick(begins, i)) / formulas.pick(lengths, i))
        found = self.low + formulas.pick(heights, i) * self.shape(u, 1)
        if self.limit is None or (self.factor > 1 and starts[-1][1] + 1 < self.limit):
            return found
        return formulas.piecewise(t, [self._begin(self.limit)], [found, self.low])


Find = Callable[
    [int, int], tuple[int, int]
]  # of a step, and a cycle near it: the step's cycle, and the next one's step


def turns(t: Grid, find: Find) -> Iterator[tuple[slice, Grid, int]]:
    """Stretches of the grid in one cycle: their slice, their steps as they are, the cycle's number."""
    cycle, done = 0, 0
    while done < t.count:
        cycle, end = find(t.start + t.stride * done, cycle)
        stop = t.before(end)
        yield slice(done, stop), t.part(done, stop), cycle
        done = stop


def growing(begin: Callable[[int], int], first: int, factor: float) -> Find:
    """Find cycles of which each is `factor` > 1 times as long as the one before.

    Args:
        begin: the step of a cycle's start, by its number; it does not fall.
        first: about the steps of the first cycle.
    """

    def find(step: int, near: int) -> tuple[int, int]:
        cycle = near
        if not begin(cycle) <= step < begin(cycle + 2):  # the logarithm may miss by one
            cycle = int(_cycles_before(step, first, factor))
        while cycle and begin(cycle) > step:
            cycle -= 1
        while (end := begin(cycle + 1)) <= step:
            cycle += 1
        return cycle, end

    return find


def _cycles_before(step: int, first: int, factor: float) -> float:
    return math.log1p(step * (factor - 1) / first) / math.log(factor)


def cycles_met(load: Load, first: int, factor: float) -> int:
    """How many cycles a grid may meet, each `factor` > 1 times as long as the one before."""
    return int(_cycles_before(load.last, first, factor) - _cycles_before(load.first, first, factor)) + 3


def _shrinking(ends: Array) -> Find:
    """Find one of the cycles that become shorter."""

    def find(step: int, near: int) -> tuple[int, int]:
        cycle = int(np.searchsorted(ends, step, side="right"))
        return cycle, int(ends[cycle])

    return find


@lru_cache(maxsize=16)
def _ends(first: int, factor: float, limit: int) -> Array:
    """The first step after each cycle, or after one before it where rounding puts that later, shape (limit,)."""
    ends = [math.ceil(cycle_start(first, factor, cycle + 1)) for cycle in range(limit)]
    return np.maximum.accumulate(np.array(ends, dtype=np.float64))


def cycles_cost(load: Load, first: int, factor: float, value: float, limit: int | None) -> float:
    """What `cycles` take, with a shape that takes `value` a step beside a half cosine's own time."""
    if factor == 1:
        within = load.folded(first)
        shape = cost.plain(within) + within.values * value
        return cost.periodic(load, first) + shape + cost.runs(load, first, 2 * cost.POWER)
    met = cycles_met(load, first, factor) if factor > 1 else limit or 1
    cut = load.cut(min(met, limit or met) + 1)
    listing = 0.0 if factor > 1 else load.calls * (limit or 1) * cost.ENTRY
    return listing + cost.plain(cut) + load.values * (value + 2 * cost.ARITHMETIC)


def _height(amplitude: Callable[[Value], Value], cycle: int) -> float:
    try:
        height = amplitude(cycle)
    except OverflowError:
        return math.inf
    assert not isinstance(height, Node)
    return float(height)


def half_cosine(t: Value, length: float) -> Value:
    """Half a cosine from 1 at t = 0 to 0 at `length`."""
    return formulas.cosine(t, length, 1, 0)
