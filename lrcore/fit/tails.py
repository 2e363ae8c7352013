"""Shapes of one fall (or rise) and of endless decays, fitted to the rest of a log from where they begin.

A tail is low + height * shape(u), u = steps / length, cut off at 1 where the shape ends. Low and height follow by
linear regression, so that only the length and one or two exponents are searched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from lrcore.fit.numerics import damped, projected, thin
from lrcore.fit.series import Series
from lrcore.numerics.grid import Array

SIGMOIDS = ("sigmoid", "swelling")
Curve = Callable[[Array, Array], Array]  # of u and the exponents


@dataclass(frozen=True)
class Shape:
    """One way to fall.

    Attributes:
        name: what `Tail.shape` says.
        curve: the height as a function of u and the exponents.
        starts: exponents to begin the search with.
        ends: whether it stops at u = 1.
        floored: whether its lowest rate may be other than 0.
        signed: exponents that may be negative, by their places.
    """

    name: str
    curve: Curve
    starts: tuple[tuple[float, ...], ...] = ((),)
    ends: bool = True
    floored: bool = True
    signed: bool = False


@dataclass(frozen=True)
class Tail:
    """A fitted shape: rates from `high` at step 0 to `low`, over `length` steps."""

    shape: str
    length: float
    exponents: tuple[float, ...]
    high: float
    low: float
    error: float


SHAPES: tuple[Shape, ...] = (
    Shape("line", lambda u, _: 1 - u),
    Shape("cosine", lambda u, _: np.square(np.cos(np.pi / 2 * u))),
    Shape("wave", lambda u, _: np.square(np.cos(np.pi / 2 * u)), ends=False),
    Shape("cosine power", lambda u, x: np.cos(np.pi / 2 * u) ** (2 * x[0]), ((0.5,), (2.0,))),
    Shape("cosine k", lambda u, x: np.square(np.cos(np.pi / 2 * u ** x[0])), ((0.5,), (2.0,))),
    Shape("power", lambda u, x: (1 - u) ** x[0], ((0.5,), (2.0,))),
    Shape("power to 0", lambda u, x: (1 - u) ** x[0], ((0.5,), (2.0,)), floored=False),
    Shape("root", lambda u, x: 1 - u ** x[0], ((0.5,), (2.0,))),
    Shape("power k", lambda u, x: (1 - u ** x[1]) ** x[0], ((0.5, 0.7), (0.5, 2.0), (2.0, 0.5), (2.0, 2.0))),
    Shape("exp", lambda u, x: (x[0] ** u - x[0]) / (1 - x[0]), ((0.1,), (1e-3,))),
    Shape("rex", lambda u, _: (1 - u) / (1 - u / 2)),
    Shape(
        "tanh",
        lambda u, x: np.where(u < 1, (1 - np.tanh(-x[0] * (1 - u) + x[1] * u)) / 2, 0.0),
        ((7.0, 3.0), (3.0, 3.0), (1.5, 6.0)),
    ),
    Shape("exponential", lambda u, _: np.exp(-u), ends=False, floored=False),
    Shape("inverse", lambda u, x: (1 + u) ** -x[0], ((0.5,), (1.0,)), ends=False, floored=False),
    Shape("sigmoid", lambda u, x: 1 / (1 + np.exp(np.clip(u - x[0], -700, 700))), ((0.0,), (5.0,)), False, False, True),
    Shape(
        "swelling", lambda u, x: 1 / (1 + np.exp(np.clip(x[0] - u, -700, 700))), ((0.0,), (5.0,)), False, False, True
    ),
)


def tails(rest: Series, shapes: tuple[Shape, ...] = SHAPES) -> list[Tail]:
    """The shapes nearest to a series that begins where they do, each with its best numbers."""
    picked = thin(len(rest))
    if len(picked) < 3:
        return []
    lengths = list(_lengths(rest))
    t, y = rest.t[picked], rest.y[picked] / rest.scale
    found: list[Tail] = []
    for shape in sorted(shapes, key=lambda shape: len(shape.starts[0])):  # stable
        enough, longest = max(1e-10, rest.resolution / 2), 8 * float(rest.t[-1])
        # A sigmoid is a tanh of any length, whose warm-up may lead to another rate
        simpler = (tail for tail in found if len(tail.exponents) < len(shape.starts[0]) and tail.length < longest)
        if any(tail.error <= enough and tail.shape not in SIGMOIDS for tail in simpler):
            break
        tail = _nearest(shape, t, y, lengths, rest)
        if tail is not None:
            found.append(tail)
    return found


def _lengths(rest: Series) -> Iterator[float]:
    """Lengths to begin the search with."""
    last = float(rest.t[-1]) or 1.0
    if 0 < rest.flat < len(rest) - 1:
        yield max(float(rest.t[rest.flat]) - rest.gap / 2, 1.0)
        yield max(float(rest.t[rest.flat]), 1.0)
    yield last + 0.5 * rest.gap
    yield last / 3
    yield last * 1.5
    yield last * 4


def _nearest(shape: Shape, t: Array, y: Array, lengths: list[float], rest: Series) -> Tail | None:
    def unit(x: Array) -> Array | None:
        if not -30 < x[0] < 36 or (np.abs(x[1:]) > 12).any():
            return None
        u = t / np.exp(x[0])
        if shape.ends:
            u = np.minimum(u, 1.0)
        heights = shape.curve(u, x[1:] if shape.signed else np.exp(x[1:]))
        return heights if np.isfinite(heights).all() else None

    def residual(x: Array) -> Array | None:
        heights = unit(x)
        if heights is None:
            return None
        low, height, _ = projected(heights, y, shape.floored)
        return low + height * heights - y

    best = _searched(residual, shape, lengths, len(t) * max(1e-13, 0.3 * rest.resolution) ** 2, len(t))
    heights = unit(best[1]) if best[0] < np.inf else None
    if heights is None:
        return None
    low, height, _ = projected(heights, y, shape.floored)
    exponents = tuple(float(e) for e in (best[1][1:] if shape.signed else np.exp(best[1][1:])))
    high, scale = low + height, rest.scale
    return Tail(
        shape.name, float(np.exp(best[1][0])), exponents, high * scale, low * scale, float(np.sqrt(best[0] / len(t)))
    )


def _searched(
    residual: Callable[[Array], Array | None], shape: Shape, lengths: list[float], enough: float, count: int
) -> tuple[float, Array]:
    """The least sum of squares from a few starts, infinite if there is none, and its parameters."""
    starts = []
    for length, exponents in product(lengths, shape.starts):
        x = np.array([np.log(length), *(exponents if shape.signed else np.log(exponents))])
        rest = residual(x)
        if rest is not None:
            starts.append((float(rest @ rest), x))
    starts.sort(key=lambda pair: pair[0])
    best: tuple[float, Array] = (np.inf, np.zeros(1))
    for _, x in starts[:3]:
        x, error = damped(residual, x, steps=8, enough=enough)
        if enough < error < count * 2e-2**2:
            x, error = damped(residual, x, steps=25, enough=enough)
        best = min(best, (error, x), key=lambda pair: pair[0])
        if error <= enough:
            break
    return best
