"""Evenly spaced steps, and the fast ways to write a function of them into an array.

Every function here gives a step the same bits whatever grid it is asked on: a job's table, a page of a long curve and
a single step agree. Steps are taken apart as `t = TILE * i + j`; powers and angles of the tiles and of the places in
a tile go into two short tables, and their outer product is the curve: a few thousand expensive functions, and only
multiplications for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Extent = tuple[float, float]  # the smallest and the largest value written; NaN if one of them is NaN

TILE = 4096  # numpy's outer products of shorter rows take three times as long a value
CHUNK = 1 << 15  # values at once where several passes are made: they stay in the cache
# the same where arrays are made for each: malloc takes larger ones from the system and gives them back
PIECE = 15 * 1024
RAMP = np.arange(PIECE, dtype=np.float64)  # numpy's own takes five times as long as an addition
RAMP.flags.writeable = False
EPS = 2.0**-52
NOTHING: Extent = (math.inf, -math.inf)
WHOLE = slice(None)
LEAST, MOST = np.minimum.reduce, np.maximum.reduce  # what an array's own min and max call


@dataclass(slots=True)  # never changed; but a frozen one takes three times as long to make, and there are many
class Grid:
    """The steps start, start + stride, …: `count` of them, count >= 0."""

    start: int
    stride: int = 1
    count: int = 1

    def __len__(self) -> int:
        return self.count

    def __contains__(self, step: float) -> bool:
        beyond = step - self.start
        return 0 <= beyond < self.stride * self.count and beyond % self.stride == 0

    def __add__(self, steps: int) -> Grid:
        return self if steps == 0 else Grid(self.start + steps, self.stride, self.count)

    def __sub__(self, steps: int) -> Grid:
        return self if steps == 0 else Grid(self.start - steps, self.stride, self.count)

    @property
    def last(self) -> int:
        """The last step; the one before `start` if there is none."""
        return self.start + self.stride * (self.count - 1)

    def part(self, begin: int, end: int) -> Grid:
        """The grid's steps with the indices begin .. end - 1."""
        return Grid(self.start + self.stride * begin, self.stride, end - begin)

    def before(self, step: int) -> int:
        """How many of the grid's steps are less than `step`."""
        return min(max(-((self.start - step) // self.stride), 0), self.count)

    def segments(self, edges: Iterable[int]) -> Iterator[tuple[int, slice, Grid]]:
        """The stretches between rising edges that hold steps: number of edges passed, their slice, their steps."""
        begin = 0
        for i, edge in enumerate((*edges, self.last + 1)):
            end = min(-((self.start - edge) // self.stride), self.count)
            if end > begin:
                yield i, slice(begin, end), self.part(begin, end)
                begin = end

    def chunks(self) -> Sequence[tuple[slice, Grid]]:
        """The grid in pieces of at most PIECE steps."""
        if self.count <= PIECE:
            return ((WHOLE, self),) if self.count else ()
        ends = [*range(0, self.count, PIECE), self.count]
        return [(slice(begin, end), self.part(begin, end)) for begin, end in pairwise(ends)]

    def integers(self) -> NDArray[np.int64]:
        """The steps, shape (count,)."""
        if self.stride == 1:
            return np.arange(self.start, self.start + self.count)
        return self.start + self.stride * np.arange(self.count)

    def floats(self) -> Array:
        """The steps in float64, shape (count,), to be read alone. Exact up to 2**53."""
        if self.stride == 1 and self.count <= PIECE and self.last < 2**53:
            return RAMP[: self.count] + self.start if self.start else RAMP[: self.count]
        return self.integers().astype(np.float64)


Fill = Callable[[Array, Grid], Extent]  # writes the values at the grid's steps into an array of their number


def extent(values: Array) -> Extent:
    """Smallest and largest value."""
    return (float(LEAST(values)), float(MOST(values))) if len(values) else NOTHING


def _monotone_extent(values: Array, slope: float, largest: float) -> Extent:
    """The extent of values that rise or fall throughout, by `slope` a step or more: at the ends, if it shows."""
    if not slope > 8 * EPS * largest:  # rounding may take a value beyond its neighbours
        return extent(values)
    first, last = float(values[0]), float(values[-1])
    return (first, last) if first <= last else (last, first)


def spanning(extents: Iterable[Extent]) -> Extent:
    """The extent of several arrays together."""
    low, high = NOTHING
    for least, most in extents:
        if math.isnan(least):
            return least, most
        low, high = min(low, least), max(high, most)
    return low, high


def constant(out: Array, value: float) -> Extent:
    """The same value at every step."""
    out.fill(value)
    return (value, value) if len(out) else NOTHING


def piecewise(out: Array, t: Grid, edges: Sequence[int], fills: Sequence[Fill]) -> Extent:
    """`fills[i]` where `i` of the rising edges have been passed, each on the steps as they are."""
    return spanning([fills[i](out[where], part) for i, where, part in t.segments(edges)])


def constant_segments(out: Array, t: Grid, edges: Sequence[int], values: Sequence[float] | Array) -> Extent:
    """Constant `values[i]` where `i` of the rising edges have been passed. A step on an edge has passed it."""
    first, last = np.searchsorted(edges, [t.start, t.last], side="right")
    inner = np.asarray(edges[first:last], dtype=np.int64)
    own = np.asarray(values[first : last + 1], dtype=np.float64)
    ends = np.append(-((t.start - inner) // t.stride), t.count)
    return _repeated(out, own, np.diff(ends, prepend=0))


def even_runs(out: Array, t: Grid, length: int, values: Callable[[NDArray[np.int64]], Array]) -> Extent:
    """Run k lasts from step k * length on, and `values` gives the rates of runs by their numbers."""
    first, last = t.start // length, t.last // length
    if last - first >= t.count:  # hardly a step shares its run with another
        out[:] = values(t.integers() // length)
        return extent(out)
    own = values(np.arange(first, last + 1))
    if t.stride == 1 and last - first > 1:
        head, tail = (first + 1) * length - t.start, t.last + 1 - last * length
        out[:head], out[t.count - tail :] = own[0], own[-1]
        middle = out[head : t.count - tail]
        if length < 64:
            middle[:] = np.repeat(own[1:-1], length)
        else:
            middle.reshape(-1, length)[:] = own[1:-1, None]
        return extent(own)
    starts = length * np.arange(first + 1, last + 1)
    ends = np.append(-((t.start - starts) // t.stride), t.count)
    return _repeated(out, own, np.diff(ends, prepend=0))


def _repeated(out: Array, values: Array, counts: NDArray[np.int64]) -> Extent:
    if not len(out):
        return NOTHING
    if len(values) * 16 > len(out):
        out[:] = np.repeat(values, counts)
    else:
        begin = 0
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            out[begin : begin + count].fill(value)
            begin += count
    return extent(values[counts > 0])


def periodic(out: Array, t: Grid, period: int, fill: Fill) -> Extent:
    """The value that `fill` gives at step t modulo period."""
    first = t.start % period
    if first + t.stride * (t.count - 1) < period:
        return fill(out, Grid(first, t.stride, t.count))
    repeat = period // math.gcd(period, t.stride)  # the grid meets the same places again after so many steps
    if repeat < t.count:
        pattern = np.empty(repeat)
        found = periodic(pattern, Grid(first, t.stride, repeat), period, fill)
        _tile(out, pattern)
        return found
    # Of every m-th step the places drift slowly, for some m up to the root of their number (Dirichlet): so a few
    # calls of `fill` on long stretches do for any stride.
    m = min(range(1, math.isqrt(t.count) + 2), key=lambda m: _drift(m * t.stride, period)[0])
    drift, forward = _drift(m * t.stride, period)
    drift = drift or period  # not to move is to go round once
    extents = []
    for j in range(min(m, t.count)):
        own, begin = np.empty(len(range(j, t.count, m))), 0
        start = t.start + t.stride * (j if forward else j + m * (len(own) - 1))
        while begin < len(own):
            place = (start + drift * begin) % period
            count = min(-((place - period) // drift), len(own) - begin)
            extents.append(fill(own[begin : begin + count], Grid(place, drift, count)))
            begin += count
        out[j::m] = own if forward else own[::-1]
    return spanning(extents)


def _drift(stride: int, period: int) -> tuple[int, bool]:
    """By how much a place moves in a stride, the shorter way round, and whether that is forward."""
    forward = stride % period
    return (forward, True) if 2 * forward <= period else (period - forward, False)


def _tile(out: Array, pattern: Array) -> None:
    size = len(pattern)
    whole = len(out) // size * size
    out[:whole].reshape(-1, size)[:] = pattern
    out[whole:] = pattern[: len(out) - whole]


def _tiles(t: Grid) -> Iterator[tuple[slice, slice, slice]]:
    """Steps of stride 1 taken apart: a slice of the grid, and which tiles (from the first one) and places it has."""
    begin, tile = 0, 0
    while begin < t.count:
        place = (t.start + begin) % TILE
        whole = (t.count - begin) // TILE if place == 0 else 0
        width = TILE if whole else min(TILE - place, t.count - begin)
        tiles = max(whole, 1)
        yield slice(begin, begin + tiles * width), slice(tile, tile + tiles), slice(place, place + width)
        begin, tile = begin + tiles * width, tile + tiles


def _first_steps(t: Grid) -> Array:
    """The first step of each tile that steps of stride 1 fall in."""
    first, last = t.start // TILE, t.last // TILE
    return np.arange(first * TILE, last * TILE + 1, TILE, dtype=np.float64)


def _parts(steps: NDArray[np.int64]) -> tuple[Array, NDArray[np.int64]]:
    """Any steps as sums: the first step of the tile, and the place in it."""
    places = steps % TILE
    return (steps - places).astype(np.float64), places


def power(steps: NDArray[np.int64], base: float, scale: float = 1.0, per: float = 1) -> Array:
    """scale * base ** (steps / per) for steps >= 0, the same bits as `powers`."""
    first, places = _parts(steps)
    return scale * np.power(base, first / per) * np.power(base, places / per)


def powers(out: Array, t: Grid, base: float, scale: float = 1.0, per: float = 1) -> Extent:
    """scale * base ** (t / per), t >= 0."""
    if t.stride != 1 or t.count < TILE // 2:  # the table for a tile would take longer than the rates
        out[:] = power(t.integers(), base, scale, per)
        return extent(out)
    column = (scale * np.power(base, _first_steps(t) / per))[:, None]
    row = np.power(base, np.arange(min(TILE, t.start % TILE + t.count), dtype=np.float64) / per)
    for where, rows, own in _tiles(t):
        block = out[where].reshape(rows.stop - rows.start, -1)
        np.multiply(column[rows], row[own], out=block)
    change = abs(math.log(base)) / per if base > 0 and len(out) else 0.0
    low, high = _monotone_extent(out, change, 1.0)
    return (low, high) if low > 0 else extent(out)  # the smallest numbers have few digits, and do not fall at each step


def half_cosine(
    out: Array, t: Grid, length: float, high: float, low: float, offset: float = 0.0, exponent: float = 1.0
) -> Extent:
    """low + (high - low) * ((1 + cos(pi * (t + offset) / length)) / 2) ** exponent, t >= 0.

    Computed as the square of the cosine of half the angle, which is not negative and keeps its digits near `low`,
    where 1 + cos loses them. With offset 0, `high`, the middle and `low` come out exactly.

    Args:
        t: up to a few times `length`: whole periods of 2 * length are taken off before.
        offset: in [0, 1), for a curve that begins between two steps.
    """
    if not t.count:
        return NOTHING
    turn = np.pi / (2 * length)
    scale = math.sqrt(abs(high - low)) if exponent == 1 else 1.0
    _cosine(out, t, turn, offset, scale, lambda values: _squared(values, high, low, exponent, flat=length > 1e6))
    if not offset:
        middle = [(length / 2, low + (high - low) / 2)] if exponent == 1 else []
        for step, value in ((0, high), *middle, (length, low)):
            if step in t:
                out[int(step - t.start) // t.stride] = value
    if exponent == 1 and (t.start >= length or t.last <= length):
        flattest = abs(high - low) * turn * turn  # between the first two steps
        return _monotone_extent(out, flattest, max(high, low))
    return extent(out)


def _squared(values: Array, high: float, low: float, exponent: float, flat: bool) -> None:
    """From scale * cos(angle / 2) to the rate, in place."""
    np.multiply(values, values, out=values)
    if exponent != 1:
        np.power(values, exponent, out=values)
        np.multiply(values, abs(high - low), out=values)
    if high < low:
        np.subtract(low, values, out=values)
    elif low:
        np.add(values, low, out=values)
    if flat:  # so flat at its top that rounding may lift it over
        np.clip(values, min(high, low), max(high, low), out=values)


def _cosine(out: Array, t: Grid, turn: float, offset: float, scale: float, finish: Callable[[Array], None]) -> None:
    """scale * cos(turn * (t + offset)), and what `finish` makes of it while it is in the cache."""
    if t.stride != 1:
        c1, s1 = _places(turn, 0, TILE)
        tiles, at = _parts(t.integers())
        angle = turn * (tiles + offset)
        np.subtract(scale * np.cos(angle) * c1[at], scale * np.sin(angle) * s1[at], out=out)
        return finish(out)
    first = t.start % TILE
    end = min(first + t.count, TILE)
    begin = first // 64 * 64 if first + t.count <= TILE else 0
    c1, s1 = _places(turn, begin, end)
    if t.last < TILE and not offset:  # the first tile alone, where c0 = scale and s0 = 0
        np.multiply(c1[first - begin : end - begin], scale, out=out)
        return finish(out)
    angle = turn * (_first_steps(t) + offset)[:, None]
    c0, s0 = scale * np.cos(angle), scale * np.sin(angle)
    other = np.empty(min(CHUNK, t.count))
    for where, rows, places in _tiles(t):
        own = slice(places.start - begin, places.stop - begin)
        width = own.stop - own.start
        whole, most = out[where].reshape(-1, width), CHUNK // width
        for done in range(0, len(whole), most):
            block = whole[done : done + most]
            column = slice(rows.start + done, rows.start + done + len(block))
            product = other[: block.size].reshape(block.shape)
            np.multiply(c0[column], c1[own], out=block)
            np.multiply(s0[column], s1[own], out=product)
            np.subtract(block, product, out=block)
            finish(block)
    return None


@lru_cache(maxsize=64)
def _places(turn: float, begin: int, end: int) -> tuple[Array, Array]:
    """Cosine and sine of turn * place, for places in a tile from `begin`, a multiple of 64, from two tables of 64."""
    coarse, fine = turn * 64 * np.arange(begin // 64, -(-end // 64))[:, None], turn * np.arange(64)
    c0, s0, c1, s1 = np.cos(coarse), np.sin(coarse), np.cos(fine), np.sin(fine)
    return (c0 * c1 - s0 * s1).ravel(), (s0 * c1 + c0 * s1).ravel()


def line(out: Array, t: Grid, length: float, start: float, end: float, offset: float = 0.0) -> Extent:
    """start + (end - start) * (t + offset) / length: exactly `start` at 0 and `end` at `length`, if offset is 0."""
    if not t.count:
        return NOTHING
    slope = end - start
    for where, part in t.chunks():
        values = out[where]
        np.multiply(part.floats(), slope / length, out=values)
        np.add(values, start + slope / length * offset, out=values)
    if not offset and length in t:
        out[int(length - t.start) // t.stride] = end
    return _monotone_extent(out, abs(slope) / length, max(abs(start), abs(end)))


def elementwise(out: Array, t: Grid, function: Callable[[Array], Array]) -> Extent:
    """Any function of the steps as float64, evaluated in pieces that stay in the cache."""
    extents = []
    for where, part in t.chunks():
        out[where] = function(part.floats())
        extents.append(extent(out[where]))
    return spanning(extents)


def line_then_flat(out: Array, t: Grid, length: float, start: float, end: float) -> Extent:
    """A line from `start` at step 0 to `end` at step `length`, and `end` from there on."""
    fills = (lambda o, t: line(o, t, length, start, end), lambda o, t: constant(o, end))
    return piecewise(out, t, (math.ceil(length),), fills)
