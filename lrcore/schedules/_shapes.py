"""What several frameworks' schedules are made of: ramps before a shape, decays by name, cycles of growing length.

Beside what writes an array stands the same as a formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from lrcore import formulas, grid
from lrcore.formulas import Node, Value
from lrcore.grid import Array, Extent, Fill, Grid

Shape = Callable[[Array, Grid, float, float], Extent]  # out, t, length, offset: from 1 at step 0 to 0 at `length`

FASTEST = 1.001  # the least factor between cycles: with it a far step is in one of the first 30,000
NEVER = 1e18  # beyond every step that may be asked for
MAX_CYCLES = 10_000  # for cycles that become shorter
MAX_LISTED = 10_000  # cycles in a formula: 20 million steps where they grow as slowly as they may


def warm_up(out: Array, t: Grid, steps: int, start: float, end: float, then: Fill) -> Extent:
    """A line from `start` at step 0 to `end` at `steps`, then `then`, on the steps as they are."""
    return grid.in_turn(out, t, (steps,), (lambda o, t: grid.line(o, t, steps, start, end), then))


def until(out: Array, t: Grid, steps: int, fill: Fill, last: float) -> Extent:
    """`fill` up to step `steps`, then the constant `last`."""
    return grid.in_turn(out, t, (steps,), (fill, lambda o, t: grid.constant(o, last)))


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
    edges: list[int] = []
    fills: list[Fill] = []
    cycle, start = 0, 0.0
    while math.ceil(start) <= t.last and (limit is None or cycle < limit):
        begin, start = start, cycle_start(first, factor, cycle + 1)
        if math.ceil(start) > t.start:
            edges.append(math.ceil(start))
            fills.append(_cycle(begin, start - begin, shape, float(amplitude(np.array([cycle * 1.0]))[0]), low))
        cycle += 1
    return grid.in_turn(out, t, edges, [*fills, lambda o, t: grid.constant(o, low)])


def _cycle(start: float, length: float, shape: Shape, height: float, low: float) -> Fill:
    def fill(out: Array, t: Grid) -> Extent:
        whole = math.ceil(start)
        shape(out, t - whole, length, whole - start)
        np.multiply(out, height, out=out)
        return grid.extent(np.add(out, low, out=out))

    return fill


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
        return found if limit is None else formulas.in_turn(t, [first * limit], [found, low])
    starts = list(cycle_starts(lambda cycle: cycle_start(first, factor, cycle), limit))
    begins = [start for start, _ in starts]
    lengths = [first * factor**cycle for _, cycle in starts]
    heights = [_height(amplitude, cycle) for _, cycle in starts]
    i = formulas.let("i", formulas.passed(map(math.ceil, begins[1:]), t))
    u = formulas.let("u", (t - formulas.pick(begins, i)) / formulas.pick(lengths, i))
    found = low + formulas.pick(heights, i) * shape(u)
    if limit is None or (factor > 1 and starts[-1][1] + 1 < limit):
        return found
    return formulas.in_turn(t, [math.ceil(cycle_start(first, factor, limit))], [found, low])


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
