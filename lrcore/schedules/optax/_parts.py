"""What the schedules of optax are made of."""

from __future__ import annotations

import operator
from itertools import accumulate

from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Fill, Grid
from lrcore.schedules import _shapes as shapes
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


def late(out: Rates, t: Grid, begin: int, before: float, fill: Fill) -> Extent:
    """The constant `before` up to step `begin`, 0 if negative, then `fill`, which counts from there."""
    begin = max(0, begin)
    return grid.piecewise(out, t, (begin,), (lambda o, t: grid.constant(o, before), lambda o, t: fill(o, t - begin)))


def late_formula(t: Node, begin: int) -> Node:
    return formulas.call("max", 0, t - begin) if begin > 0 else t


def cosine(out: Rates, t: Grid, length: int, high: float, low: float, exponent: float) -> Extent:
    cosine: Fill = lambda o, t: grid.half_cosine(o, t, length, high, low, exponent=exponent)  # noqa: E731
    return shapes.until(out, t, length, cosine, low)


def cosine_cost(load: Load, exponent: float) -> float:
    return cost.plain(load) + (0.0 if exponent == 1 else load.values * cost.POWER)


def cosine_formula(t: Node, length: int, high: float, low: float, exponent: float) -> Value:
    return formulas.half_cosine(formulas.call("min", t, length) / length, high, low, exponent)


def knots(first: float, scales: dict[int, float]) -> tuple[list[int], list[float]]:
    """Boundaries in order, and the rates at 0 and at each of them."""
    edges = sorted(scales)
    return edges, list(accumulate((scales[edge] for edge in edges), operator.mul, initial=first))


def interpolated(out: Rates, t: Grid, kind: str, first: float, scales: dict[int, float]) -> Extent:
    edges, values = knots(first, scales)
    shape = grid.line if kind == "linear" else grid.half_cosine

    def between(start: int, end: int, low: float, high: float) -> Fill:
        return lambda o, t: shape(o, t - start, max(end - start, 1), low, high)

    starts = [0, *edges[:-1]]
    fills = [between(*knot) for knot in zip(starts, edges, values, values[1:], strict=False)]
    return grid.piecewise(out, t, edges, [*fills, lambda o, t: grid.constant(o, values[-1])])


def interpolated_formula(t: Node, kind: str, first: float, scales: dict[int, float]) -> Value:
    edges, rates = knots(first, scales)
    if not edges:
        return first
    starts, ends = [0, *edges], [*edges, edges[-1] + 1]  # after the last knot the rate stays
    lengths = [max(1, end - start) for start, end in zip(starts, ends, strict=True)]
    i = formulas.let("i", formulas.passed(edges, t))
    u = (t - formulas.pick(starts, i)) / formulas.pick(lengths, i)
    low = formulas.let("start", formulas.pick(rates, i))
    high = formulas.let("end", formulas.pick([*rates[1:], rates[-1]], i))
    return formulas.half_cosine(u, low, high) if kind == "cosine" else low + (high - low) * u
