"""The rate as a formula of the step: a small tree, to be computed (formula_values.py) or written as code (dialects).

The tree is the only way from a spec to code: its leaves are validated numbers, its operations are the ones below.
Shapes such as `line` and `power` are nodes with two meanings: the function of `lrcore.numerics.grid` that computes
them, and, for code, a formula of single operations, which `expanded` puts in their place.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrcore.errors import CurveError
from lrcore.numerics import grid
from lrcore.numerics.grid import Array, Extent

SHAPES = frozenset({"filled", "piecewise", "apply", "later"})  # the last may become one


class NoFormula(CurveError):
    """A schedule that cannot be written as a formula of the step.

    `field` is the path of the part at fault, from the schedule on.
    """


class Node:
    """An operation and its operands: nodes, numbers, or what the operation needs else. Never changed.

    Attributes:
        shaped: whether a shape is in it, so that it is written on a grid and not computed at any steps.
    """

    __slots__ = ("args", "op", "shaped")
    __match_args__ = ("op", "args")

    def __init__(self, op: str, args: tuple[Any, ...] = ()) -> None:
        self.op = op
        self.args = args
        self.shaped = op in SHAPES
        for arg in args:
            if type(arg) is Node and arg.shaped:
                self.shaped = True

    def __repr__(self) -> str:
        return f"Node{self.op, *self.args}"

    def __add__(self, other: Value) -> Node:
        return self if other == 0 else _sum(self, other)

    def __radd__(self, other: Value) -> Node:
        return self if other == 0 else _sum(other, self)

    def __sub__(self, other: Value) -> Node:
        return self if other == 0 else Node("-", (self, other))

    def __rsub__(self, other: Value) -> Node:
        return Node("-", (other, self))

    def __mul__(self, other: Value) -> Node:
        return self if other == 1 else Node("*", (self, other))

    def __rmul__(self, other: Value) -> Node:
        return self if other == 1 else Node("*", (other, self))

    def __truediv__(self, other: Value) -> Node:
        return self if other == 1 else Node("/", (self, other))

    def __rtruediv__(self, other: Value) -> Node:
        return Node("/", (other, self))

    def __floordiv__(self, other: Value) -> Node:
        return self if other == 1 and self is T else Node("//", (self, other))

    def __mod__(self, other: Value) -> Node:
        return Node("%", (self, other))

    def __pow__(self, other: Value) -> Node:
        return self if other == 1 else Node("**", (self, other))

    def __rpow__(self, other: Value) -> Node:
        return Node("**", (other, self))

    def __neg__(self) -> Node:
        return Node("neg", (self,))


Value = Node | float

MAX_OPERATIONS = 5000  # of a step; a few hundred steps of it are tried in Python


def check_operations(*formulas: Value) -> None:
    """Raise NoFormula if a step takes more than MAX_OPERATIONS, all formulas together."""
    left = MAX_OPERATIONS
    waiting: list[tuple[Value, set[int]]] = [(formula, set()) for formula in formulas]  # and the names in its function
    while waiting:
        node, named = waiting.pop()
        if not isinstance(node, Node) or (node.op == "let" and id(node) in named):
            continue
        left -= 1
        if left < 0:
            way_out = "write it shorter, or translate its parts one by one"
            raise NoFormula((), f"its formula would take more than {MAX_OPERATIONS} operations: {way_out}")
        if node.op == "let":
            named.add(id(node))
        if node.op == "apply":
            waiting += [(node.args[0], set()), (node.args[1], named)]
        else:
            waiting += [(arg, named) for arg in node.args if isinstance(arg, Node)]


def _sum(a: Value, b: Value) -> Node:
    if type(b) is Node and b.op == "*" and type(b.args[0]) is not Node and b.args[0] < 0:  # reads better
        return Node("-", (a, -b.args[0] * b.args[1]))
    return Node("+", (a, b))


T = Node("t")  # the step
PI = Node("pi")


def call(function: str, *args: Value) -> Node:
    """One of the functions in lrcore.numerics.formula_values of values, or round_to of a value and its digits."""
    return Node(function, args)


def less(a: Value, b: Value) -> Node:
    """a < b, for `where`."""
    return Node("<", (a, b))


def where(condition: Node, then: Value, otherwise: Value) -> Node:
    """One of two values. In Python's own arithmetic the other one is not computed."""
    return Node("where", (condition, then, otherwise))


def let(name: str, value: Value) -> Value:
    """A value under a name in the function's first lines. It is computed whatever the step is."""
    return Node("let", (name, value)) if isinstance(value, Node) and value is not T else value


def passed(edges: Iterable[float], t: Value) -> Node:
    """How many of the rising edges are at most t."""
    return Node("passed", (tuple(edges), t))


def pick(values: Sequence[float], i: Value) -> Value:
    """values[i]."""
    return Node("pick", (tuple(values), i)) if len(set(values)) > 1 else values[0]


def apart(body: Value, t: Value) -> Value:
    """The formula `body` of T, at the step `t`: a function of its own unless it is asked at T itself."""
    return body if t is T or not isinstance(body, Node) else Node("apply", (body, t))


def filled(
    t: Value,
    fill: Callable[..., Extent],
    formula: Callable[[], Value] | None = None,
    values: Callable[[NDArray[np.int64]], Array] | None = None,
) -> Node:
    """What `fill` writes at the steps `t`: T, or made from it by whole numbers with + - * %, or max(0, …).

    Args:
        fill: takes an `offset` in [0, 1) as well if the steps may lie between whole ones.
        formula: returns what stands in code.
        values: gives the same at any steps, for a quotient rounded down.
    """
    return Node("filled", (t, fill, formula, values))


def written(computed: Value, formula: Callable[[], Value]) -> Node:
    """`computed`, which is written as `formula()` in code."""
    return Node("written", (computed, formula))


def later(make: Callable[[], Value]) -> Node:
    """What `make` returns: called when the value is needed, and once."""
    made: list[Value] = []  # functools.cache takes ten times as long to make

    def once() -> Value:
        if not made:
            made.append(make())
        return made[0]

    return Node("later", (once,))


def expanded(formula: Value) -> Value:
    """The formula in single operations, as code has it. Raises NoFormula if a part of it has none."""
    known: dict[int, tuple[Value, Value]] = {}  # with the original, so that no other node gets its id

    def of(value: Any) -> Any:
        if not isinstance(value, Node):
            return value
        if id(value) not in known:
            known[id(value)] = value, rebuilt(value)
        return known[id(value)][1]

    def rebuilt(node: Node) -> Value:
        if node.op in ("written", "later") or (node.op == "filled" and node.args[2] is not None):
            value: Value = of(node.args[2 if node.op == "filled" else -1]())
            return value
        args = [of(arg) for arg in node.args]
        if node.op != "piecewise" and all(map(operator.is_, args, node.args)):
            return node
        return _MADE_BY.get(node.op, partial(call, node.op))(*args)

    found: Value = of(formula)
    return found


def piecewise(t: Value, edges: Sequence[float], values: Sequence[Value]) -> Value:
    """values[i] before edges[i], the last one from there on. `t` is not negative, the edges do not fall."""
    return Node("piecewise", (t, edges, *values))


def _chosen(t: Value, edges: Sequence[float], *values: Value) -> Value:
    found = values[-1]
    for i in reversed(range(len(edges))):
        if edges[i] > max([0, *edges[:i]]):
            found = where(less(t, edges[i]), values[i], found)
    return found


def lookup(edges: Sequence[int], values: Sequence[float], t: Value) -> Value:
    """values[i], where i is how many of the rising edges are at most t; one value more than edges."""
    return filled(
        t,
        lambda out, t: grid.constant_segments(out, t, edges, values),
        lambda: pick(values, passed(edges, t)),
    )


def periodic(t: Value, period: int, of: Callable[[Value], Value]) -> Value:
    """`of` the step modulo `period`."""
    return written(apart(of(T), t % period), lambda: of(t % period))


def stairs(t: Value, length: int, of: Callable[[Value], Value]) -> Value:
    """`of` how many times `length` steps have passed, in single operations."""
    return written(apart(of(T), t // length), lambda: of(t // length))


def line(t: Value, length: float, start: float, end: float) -> Value:
    """From `start` at t = 0 to `end` at `length`."""
    return filled(
        t,
        lambda out, t, offset=0.0: grid.line(out, t, length, start, end, offset),
        lambda: start + (end - start) * (t / length),
    )


def line_then_flat(t: Value, length: float, start: float, end: float) -> Value:
    """`line` up to t = `length`, then `end`."""
    return filled(
        t,
        lambda out, t: grid.line_then_flat(out, t, length, start, end),
        lambda: piecewise(t, [length], [line(t, length, start, end), end]),
    )


def cosine(t: Value, length: float, high: float, low: float, exponent: float = 1.0) -> Value:
    """`half_cosine` from t = 0 to `length`."""
    return filled(
        t,
        lambda out, t, offset=0.0: grid.half_cosine(out, t, length, high, low, offset, exponent),
        lambda: half_cosine(t / length, high, low, exponent),
    )


def half_cosine(u: Value, high: Value, low: Value, exponent: Value = 1.0) -> Value:
    """From `high` at u = 0 to `low` at u = 1; the cosine, as a share of the height, to a power."""
    return low + (high - low) * ((1 + call("cos", PI * u)) / 2) ** exponent


def raised(u: Value, exponent: float) -> Value:
    """u ** exponent, with np.power's bits for a root or a square as well."""
    return written(call("pow", u, exponent), lambda: u**exponent)


def power(t: Value, base: float, scale: float = 1.0, per: float = 1) -> Value:
    """scale * base ** (t / per)."""
    return filled(
        t,
        lambda out, t: grid.powers(out, t, base, scale, per),
        lambda: scale * base ** (t / per),
        lambda steps: grid.power(steps, base, scale, per),
    )


def powers(start: float, base: float, exponents: Iterable[int]) -> list[float]:
    """start * base ** k, infinite where it overflows."""
    with np.errstate(all="ignore"):
        return list(map(float, start * np.power(base, np.array(list(exponents), dtype=np.float64))))


_MADE_BY: dict[str, Callable[..., Value]] = {  # so that an operation on a shape is the one that is made of its formula
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "let": let, "apply": apart, "piecewise": _chosen,
}  # fmt: skip
