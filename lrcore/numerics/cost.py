"""What a curve costs before it is computed: upper bounds, in nanoseconds of one core.

One unit for every bound on computing. The figures are those of a common x86 core for the slowest arguments that a spec
can bring about: arithmetic on subnormal numbers, a remainder by a tiny divisor, a logarithm's worth of short cycles.
`python -m benchmarks.costs` searches for specs that take longer than they are said to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lrcore.numerics.grid import TILE, Grid

SECOND = 1e9
MOST = 5 * SECOND  # of a request for curves, and of the tables of a job
AT_ONCE = 0.005 * SECOND  # of what an event loop may do itself

CALL = 30_000.0  # a family's formula on a grid, however short
TABLE = 50_000.0  # the cosines of a tile's places, which a grid with one of them may need
ENTRY = 1_000.0  # an entry of a list that is read in every call
SEARCH = 400.0  # a stride tried by grid.periodic

# per value
COPY = 3.0  # to write, to read, to compare: what takes no longer for subnormal numbers
ARITHMETIC = 10.0  # a product or a quotient
ROOT = 15.0
EXP = 40.0
TRIG = 25.0
POWER = 90.0
REMAINDER = 50.0  # by a number that is not tiny
PLAIN, SCATTERED = 40.0, 150.0  # a line or a half cosine, at each step or at some
WRITTEN = 80.0  # to sum a value up and to write it as text


@dataclass(slots=True)  # never changed, see grid.Grid
class Load:
    """What is asked of a schedule: `values` steps in `calls` grids, spread evenly from `first` to `last`.

    Attributes:
        dense: whether the grids have every step.
    """

    first: int
    last: int
    values: int
    calls: int = 1
    dense: bool = True

    @classmethod
    def of(cls, t: Grid) -> Load:
        """The load of one grid."""
        return cls(t.start, t.last, t.count, 1, t.stride == 1)

    def shifted(self, steps: int) -> Load:
        """The same later, or earlier but not before step 0."""
        return Load(max(0, self.first + steps), max(0, self.last + steps), self.values, self.calls, self.dense)

    def part(self, begin: int, end: int | None = None) -> Load:
        """Its steps in begin .. end - 1."""
        first, last = max(self.first, begin), self.last if end is None else min(self.last, end - 1)
        if first > last or not self.values:
            return Load(begin, begin, 0, 0)
        length = last - first + 1
        share = -(-self.values * length // (self.last - self.first + 1)) + self.calls
        values = min(self.values, share, length * self.calls)
        return Load(first, last, values, min(self.calls, values), self.dense)

    def also(self, step: int) -> Load:
        """With a call for one step more beside each."""
        first, last = min(self.first, step), max(self.last, step)
        return Load(first, last, self.values + self.calls, 2 * self.calls, self.dense)

    def folded(self, period: int) -> Load:
        """What `grid.periodic` asks of the function that it repeats."""
        each = -(-self.values // self.calls) if self.calls else 0
        pattern = min(each, period)
        calls = 3 if self.dense else 2 * math.isqrt(pattern) + 4
        values = min(self.values, pattern * self.calls)
        last = min(period - 1, self.last) if self.first // period == self.last // period == 0 else period - 1
        return Load(0, last, values, min(self.calls * calls, values), self.dense)

    def cut(self, pieces: int) -> Load:
        """With each grid cut into at most so many."""
        return Load(self.first, self.last, self.values, min(self.values, self.calls * pieces), self.dense)

    def runs(self, length: int) -> int:
        """How many stretches of `length` steps it meets at most."""
        return min(self.values, self.calls * ((self.last - self.first) // length + 2))


def excess(cost: float) -> str | None:
    """Why a request is refused that takes so long; None if it is not."""
    if cost <= MOST:
        return None
    return f"this would take up to {cost / SECOND:.3g} s of a processor, more than {MOST / SECOND:g}"


def plain(load: Load) -> float:
    """A few lines, half cosines and constants after one another."""
    return load.calls * (CALL + TABLE) + load.values * (PLAIN if load.dense else SCATTERED)


def formula(load: Load, value: float) -> float:
    """A function of the step that takes `value` each time."""
    return load.calls * CALL + load.values * (COPY + value)


def powers(load: Load) -> float:
    """grid.powers."""
    raised = min(2 * load.values, load.calls * 2 * TILE + load.values // TILE) if load.dense else 2 * load.values
    return formula(load, 2 * ARITHMETIC) + raised * POWER


def runs(load: Load, length: int, value: float = 2 * POWER) -> float:
    """grid.even_runs, with `value` for each run."""
    return formula(load, 2 * ARITHMETIC) + load.runs(length) * (value + ARITHMETIC)


def listed(load: Load, entries: int) -> float:
    """Values from a list, or between its entries."""
    return plain(load) + load.calls * entries * ENTRY


def periodic(load: Load, period: int) -> float:
    """grid.periodic itself, without the function that it repeats."""
    if load.dense:
        return formula(load, COPY)
    each = -(-load.values // load.calls) if load.calls else 0
    return formula(load, 3 * COPY) + load.calls * math.isqrt(min(each, period)) * SEARCH
