"""What the schedules of optax are made of."""

from __future__ import annotations

import operator
from collections.abc import Callable
from itertools import accumulate

from lrcore.numerics import formulas, grid
from lrcore.numerics.formulas import Node, T, Value
from lrcore.numerics.grid import Extent, Fill, Grid
from lrcore.schedules._base import (
    Rate,
    Rates,
    Schedule,
)


class OptaxSchedule(Schedule):
    type: str
    init_value: Rate

    @property
    def own_base_lr(self) -> float:
        return self.init_value


def late(t: Node, begin: int, before: float, then: Callable[[Node], Value]) -> Value:
    """The constant `before` up to step `begin`, 0 if negative, then `then`, which counts from there."""
    if begin <= 0:
        return then(t)
    waiting = formulas.piecewise(T, [begin], [before, then(T - begin)])
    return formulas.written(formulas.apart(waiting, t), lambda: then(formulas.call("max", 0, t - begin)))


def knots(first: float, scales: dict[int, float]) -> tuple[list[int], list[float]]:
    """Boundaries in order, and the rates at 0 and at each of them."""
    edges = sorted(scales)
    return edges, list(accumulate((scales[edge] for edge in edges), operator.mul, initial=first))


def interpolated(t: Node, kind: str, first: float, scales: dict[int, float]) -> Value:
    """Lines or half cosines through the knots, then flat."""
    edges, values = knots(first, scales)
    if not edges:
        return first
    starts, ends = [0, *edges], [*edges, edges[-1] + 1]  # after the last knot the rate stays
    lengths = [max(1, end - start) for start, end in zip(starts, ends, strict=True)]

    def between(i: int) -> Fill:
        shape = grid.line if kind == "linear" else grid.half_cosine
        return lambda o, t: shape(o, t - starts[i], lengths[i], values[i], values[i + 1])

    def fill(out: Rates, t: Grid) -> Extent:
        fills = [*map(between, range(len(edges))), lambda o, t: grid.constant(o, values[-1])]
        return grid.piecewise(out, t, edges, fills)

    def formula() -> Value:
        i = formulas.let("i", formulas.passed(edges, t))
        u = (t - formulas.pick(starts, i)) / formulas.pick(lengths, i)
        low = formulas.let("start", formulas.pick(values, i))
        high = formulas.let("end", formulas.pick([*values[1:], values[-1]], i))
        return formulas.half_cosine(u, low, high) if kind == "cosine" else low + (high - low) * u

    return formulas.filled(t, fill, formula)
