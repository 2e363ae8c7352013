"""What several frameworks' schedules are made of: ramps before a shape, decays by name, cycles of growing length.

Beside what writes an array stands the same as a formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Array, Extent, Fill, Grid

Shape = Callable[[Array, Grid, float, float], Extent]  # out, t, length, offset: from 1 at step 0 to 0 at `length`

FASTEST = 1.001  # the least factor between cycles: with it a far step is in one of the first 30,000
NEVER = 1e18  # beyond every step that may be asked for
MAX_CYCLES = 10_000  # for cycles that become shorter
MAX_LISTED = 10_000  # cycles in a formula: 20 million steps where they grow as slowly as they may


def warm_up(out: Array, t: Grid, steps: int, start: float, end: float, then: Fill) -> Extent:
    """A line from `start` at step 0 to `end` at `steps`, then `then`, on the steps as they are."""
    return grid.piecewise(out, t, (steps,), (lambda o, t: grid.line(o, t, steps, start, end), then))


def until(out: Array, t: Grid, steps: int, fill: Fill, last: float) -> Extent:
    """`fill` up to step `steps`, then the constant `last`."""
    return grid.piecewise(out, t, (steps,), (fill, lambda o, t: grid.constant(o, last)))


def wave(out: Array, t: Grid, length: int, half_waves: float, high: float, low: float) -> Extent:
    """low + (high - low) * (1 + cos(pi * half_waves * t / length)) / 2, on and on."""
    if half_waves == int(half_waves) and half_waves > 0:
        times = int(half_waves)  # so many half waves are one on a grid that many times as wide
        wide = Grid(t.start * times, t.stride * times, t.count)
        return grid.periodic(out, wide, 2 * length, lambda o, t: grid.half_cosine(o, t, length, high, low))

    def value(steps: Array) -> Array:
        turn = np.mod(steps * half_waves / length, 2.0)
        return low + (high - low) * np.square(np.cos(np.pi / 2 * turn))

    return grid.elementwise(out, t, value)


def wave_cost(load: Load, length: int, half_waves: float) -> float:
    """What `wave` takes."""
    if half_waves != int(half_waves):
        return cost.formula(load, cost.REMAINDER + 2 * cost.TRIG + 2 * cost.ARITHMETIC)
    times, length = max(1, int(half_waves)), max(1, length)
    wide = Load(load.first * times, load.last * times, load.values, load.calls, load.dense and times == 1)
    return cost.periodic(wide, length) + cost.plain(wide.folded(length))


def wave_formula(t: Node, length: int, half_waves: float, high: float, low: float) -> Value:
    """`wave`; whole periods are taken off before the cosine, for the digits."""
    turn = t * (int(half_waves) if half_waves == int(half_waves) else half_waves)
    return formulas.half_cosine(turn % (2 * length) / length, high, low)


def decay(name: str, power: float = 0.5, ratio: float = 0.1) -> Callable[[Array], Array]:
    """A factor from 1 to 0 as a function of the share u of the way, 0 to 1.

    linear 1 - u, cosine (1 + cos(pi * u)) / 2, 1-sqrt 1 - u ** 0.5, power 1 - u ** power,
    exp (ratio ** u - ratio) / (1 - ratio).
    """
    return {
        "linear": lambda u: 1 - u,
        "cosine": lambda u: np.square(np.cos(np.pi / 2 * u)),
        "1-sqrt": lambda u: 1 - np.sqrt(u),
        "power": lambda u: 1 - u**power,
        "exp": lambda u: (np.power(ratio, u) - ratio) / (1 - ratio),
    }[name]


def decay_formula(name: str, u: Value, power: float = 0.5, ratio: float = 0.1) -> Value:
    """`decay` at the share `u`."""
    match name:
        case "linear":
            return 1 - u
        case "cosine":
            return unit_cosine_formula(u)
        case "1-sqrt":
            return 1 - formulas.call("sqrt", u)
        case "power":
            return 1 - u**power
    return (ratio**u - ratio) / (1 - ratio)


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


def cycles(
    out: Array,
    t: Grid,
    first: int,
    factor: float,
    shape: Shape,
    amplitude: Callable[[Array], Array],
    low: float,
    limit: int | None = None,
) -> Extent:
    """low + amplitude(cycle) * shape in each cycle, and `low` once there were `limit` of them.

    Args:
        first: steps of the first cycle; each is `factor` times as long as the one before.
        amplitude: of the numbers of cycles, in float64.
    """
    if factor == 1:
        end = t.last + 1 if limit is None else min(first * limit, t.last + 1)

        def even(out: Array, t: Grid) -> Extent:
            grid.periodic(out, t, first, lambda o, t: shape(o, t, first, 0.0))
            grid.times_runs(out, t, first, lambda cycle: amplitude(cycle.astype(np.float64)))
            return grid.extent(np.add(out, low, out=out))

        return until(out, t, max(end, 0), even, low)

    def begin(cycle: int) -> int:
        return math.ceil(cycle_start(first, factor, cycle))

    find = growing(begin, first, factor) if factor > 1 or limit is None else _shrinking(first, factor, limit)
    end = math.ceil(NEVER) if limit is None else begin(limit) if factor > 1 else int(_ends(first, factor, limit)[-1])

    def uneven(out: Array, t: Grid) -> Extent:
        extents = []
        for where, part, cycle in turns(t, find):
            start, height = cycle_start(first, factor, cycle), float(amplitude(np.array([cycle * 1.0]))[0])
            length = cycle_start(first, factor, cycle + 1) - start
            extents.append(_cycle(start, length, shape, height, low)(out[where], part))
        return grid.spanning(extents)

    return until(out, t, end, uneven, low)


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


def _shrinking(first: int, factor: float, limit: int) -> Find:
    """Find one of `limit` cycles that become shorter."""
    ends = _ends(first, factor, limit)

    def find(step: int, near: int) -> tuple[int, int]:
        cycle = int(np.searchsorted(ends, step, side="right"))
        return cycle, int(ends[cycle])

    return find


@lru_cache(maxsize=16)
def _ends(first: int, factor: float, limit: int) -> Array:
    """The first step after each cycle, or after one before it where rounding puts that later, shape (limit,)."""
    ends = [math.ceil(cycle_start(first, factor, cycle + 1)) for cycle in range(limit)]
    return np.maximum.accumulate(np.array(ends, dtype=np.float64))


def _cycle(start: float, length: float, shape: Shape, height: float, low: float) -> Fill:
    def fill(out: Array, t: Grid) -> Extent:
        whole = math.ceil(start)
        shape(out, t - whole, length, whole - start)
        np.multiply(out, height, out=out)
        return grid.extent(np.add(out, low, out=out))

    return fill


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


def cycles_formula(
    t: Node,
    first: int,
    factor: float,
    shape: Callable[[Value], Value],
    amplitude: Callable[[Value], Value],
    low: float,
    limit: int | None = None,
) -> Value:
    """`cycles`, with a shape of the share of the way through its cycle."""
    if factor == 1:
        u = formulas.let("u", t % first / first)
        found = low + amplitude(formulas.let("cycle", t // first)) * shape(u)
        return found if limit is None else formulas.piecewise(t, [first * limit], [found, low])
    starts = list(cycle_starts(lambda cycle: cycle_start(first, factor, cycle), limit))
    begins = [start for start, _ in starts]
    lengths = [first * factor**cycle for _, cycle in starts]
    heights = [_height(amplitude, cycle) for _, cycle in starts]
    i = formulas.let("i", formulas.passed(map(math.ceil, begins[1:]), t))
    u = formulas.let("u", (t - formulas.pick(begins, i)) / formulas.pick(lengths, i))
    found = low + formulas.pick(heights, i) * shape(u)
    if limit is None or (factor > 1 and starts[-1][1] + 1 < limit):
        return found
    return formulas.piecewise(t, [math.ceil(cycle_start(first, factor, limit))], [found, low])


def _height(amplitude: Callable[[Value], Value], cycle: int) -> float:
    try:
        height = amplitude(cycle)
    except OverflowError:
        return math.inf
    assert not isinstance(height, Node)
    return float(height)


def unit_cosine(out: Array, t: Grid, length: float, offset: float) -> Extent:
    """Half a cosine from 1 to 0."""
    return grid.half_cosine(out, t, length, 1.0, 0.0, offset)


def unit_cosine_formula(u: Value) -> Value:
    """`unit_cosine` at the share `u` of the way."""
    return formulas.half_cosine(u, 1, 0)
