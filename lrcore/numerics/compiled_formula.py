"""Formulas computed over arrays of float64: the one table of operations, and the order in which they are done.

`filled` makes a formula what writes it on a grid: its shapes by their own functions, everything else step by step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrcore.numerics import formulas, grid
from lrcore.numerics.formulas import Node, T, Value
from lrcore.numerics.grid import Array, Extent, Fill, Grid

WHOLE = 2.0**52  # a float64 from here on is an integer, and takes long to write as a decimal
NAMED = ("written", "let", "later")
SHORT = 4096  # values that take less time to compute than to decide where they go
IN_PLACE = ("+", "-", "*", "/", "min", "max")

OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "//": np.floor_divide, "%": np.mod, "**": np.power,
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
    "and": np.logical_and, "or": np.logical_or, "not": np.logical_not, "neg": np.negative, "where": np.where,
    "abs": np.abs, "atan": np.arctan, "ceil": np.ceil, "cos": np.cos, "cosh": np.cosh, "exp": np.exp, "expm1": np.expm1,
    "floor": np.floor, "log": np.log, "log10": np.log10, "log1p": np.log1p, "log2": np.log2, "sin": np.sin,
    "sinh": np.sinh, "sqrt": np.sqrt, "tan": np.tan, "tanh": np.tanh,
    "pow": np.power,
    "min": np.minimum,
    "max": np.maximum,
    "trunc": lambda value: np.trunc(value) + 0.0,  # as an integer, 0 has no sign
    "round": lambda value: np.rint(value) + 0.0,
    "round_to": lambda value, digits: _rounded(value, int(digits)),
    "passed": lambda edges, t: np.searchsorted(edges, t, side="right"),
    "pick": lambda values, i: values[i],
}  # fmt: skip
OVERWRITING = {OPERATIONS[op] for op in ("+", "-", "*", "/", "min", "max", "neg")}  # into what is not needed any more


def _rounded(value: Any, digits: int) -> Any:
    """Rounded to decimal digits as Python does it: numpy's own way is off by a bit here and there."""
    flat = [round(each, digits) if -WHOLE < each < WHOLE else each for each in np.ravel(value).tolist()]
    return np.array(flat, dtype=np.float64).reshape(np.shape(value))


class CompiledFormula:
    """A formula of the step, ready to be computed: each of its nodes once, and what is constant beforehand."""

    def __init__(self, formula: Value) -> None:
        self._values: list[Any] = [None]  # the steps, constants, and results, which are not there yet
        self._varying = {0}  # the places of all but the constants
        self._lines: list[tuple[Callable[..., Any], list[int], int]] = []  # operation, places of operands and result
        self._dropped: list[list[int]] = []  # places of what is not needed after a line
        self._places = {id(T): 0}  # by a node's id
        self._formula = formula  # so that no other node gets the id of one of these
        self._result = self._place(formula)

    def __call__(self, t: Array) -> Any:
        """Compute the values at `t`, shape (n,), float64; one float64 if the formula is a constant."""
        values = self._values.copy()
        values[0] = t
        if len(t) > SHORT:
            self._compute_in_place(values)
        else:
            for operation, operands, place in self._lines:
                values[place] = operation(*map(values.__getitem__, operands))
        return values[self._result]

    def _compute_in_place(self, values: list[Any]) -> None:
        """Compute the lines, each into what is not needed any more, and drop the rest: arrays stay in the cache."""
        if len(self._dropped) < len(self._lines):
            self._dropped = self._last_uses()
        for (operation, operands, place), dropped in zip(self._lines, self._dropped, strict=True):
            own = values[dropped[0]] if dropped and operation in OVERWRITING else None
            in_place = own is not None and own.dtype == np.float64  # a comparison is not
            needed = map(values.__getitem__, operands)
            values[place] = operation(*needed, out=own) if in_place else operation(*needed)
            for each in dropped:
                values[each] = None

    def constant(self, node: Value) -> float | None:
        """Return the value of a part of the formula; None if it depends on the step."""
        place = self._place(node)
        return None if place in self._varying else float(self._values[place])

    def _place(self, value: Any) -> int:
        value = _resolved(value)
        if type(value) is not Node:
            return self._keep(np.array(value, dtype=np.float64) if type(value) is tuple else float(value))
        place = self._places.get(id(value))
        if place is None:
            place = self._places[id(value)] = self._computed(value)
        return place

    def _keep(self, value: Any) -> int:
        self._values.append(value)
        return len(self._values) - 1

    def _computed(self, node: Node) -> int:
        match node.op:
            case "pi":
                return self._keep(np.pi)
            case "filled" | "piecewise":
                raise TypeError(f"{node.op} is computed on a grid alone")
            case "apply":
                body, at = node.args
                inside = CompiledFormula(body)
                if (value := inside.constant(body)) is not None:
                    return self._keep(value)
                return self._place(at) if inside._result == 0 else self._added(inside, [self._place(at)])
        operands = [self._place(arg) for arg in node.args]
        operation = OPERATIONS[node.op]
        if self._varying.isdisjoint(operands):
            with np.errstate(all="ignore"):
                return self._keep(np.float64(operation(*map(self._values.__getitem__, operands))))
        if node.op == "**" and operands[1] not in self._varying:  # np.power takes ten times as long for these
            base, exponent = operands[0], self._values[operands[1]]
            if exponent == 2:
                return self._added(np.multiply, [base, base])
            if abs(exponent) == 0.5:
                root = self._added(np.sqrt, [base])
                return root if exponent > 0 else self._added(np.divide, [self._keep(1.0), root])
        return self._added(operation, operands)

    def _added(self, operation: Callable[..., Any], operands: list[int]) -> int:
        place = self._keep(None)
        self._varying.add(place)
        self._lines.append((operation, operands, place))
        return place

    def _last_uses(self) -> list[list[int]]:
        """The results that each line needs for the last time."""
        found, kept = [], {0, self._result}
        for _, operands, _ in reversed(self._lines):
            found.append(list(self._varying.intersection(operands) - kept))
            kept.update(operands)
        return found[::-1]


def filled(formula: Value) -> Fill:
    """Return what writes a formula of the step T into an array."""
    formula = _resolved(formula)
    if not isinstance(formula, Node):
        return _constant(float(formula))
    if formula.shaped:
        if formula.op in _FILLED_BY:
            return _FILLED_BY[formula.op](*formula.args)
        if formula.op in IN_PLACE:
            return _combined(formula)
        formula = formulas.expanded(formula)
    compiled = CompiledFormula(formula)
    if (value := compiled.constant(formula)) is None:
        return lambda out, t: grid.elementwise(out, t, compiled)
    return _constant(value)


def _constant(value: float) -> Fill:
    return lambda out, t: grid.constant(out, value)


def _applied(body: Value, t: Value) -> Fill:
    if not (isinstance(t, Node) and t.op == "//"):
        return _at(t, filled(body))
    of_run = CompiledFormula(body)
    if (value := of_run.constant(body)) is not None:
        return _constant(value)
    return _at(t, filled(body), lambda runs: of_run(runs.astype(np.float64)))


def _pieces(t: Value, edges: Sequence[float], *values: Value) -> Fill:
    if t is not T:
        return filled(formulas.expanded(formulas.piecewise(t, edges, values)))
    whole, fills = [*map(math.ceil, edges)], dict[int, Fill]()  # each made when a grid has the first step of it

    def fill(out: Array, t: Grid) -> Extent:
        extents = []
        for i, where, part in t.segments(whole):
            if i not in fills:
                fills[i] = filled(values[i])
            extents.append(fills[i](out[where], part))
        return grid.spanning(extents)

    return fill


def value_at(formula: Value, step: int) -> float:
    """Return the value of a formula at one step."""
    return float(_values(filled(formula), Grid(step))[0])


def _values(fill: Fill, t: Grid) -> Array:
    values = np.empty(t.count)
    fill(values, t)
    return values


def _resolved(formula: Value) -> Value:
    """What is computed for a formula that has a name, or another one in code."""
    while type(formula) is Node and formula.op in NAMED:
        own = formula.args[formula.op == "let"]
        formula = own() if formula.op == "later" else own
    return formula


def _has_shapes(formula: Value) -> bool:
    return type(formula) is Node and formula.shaped


def _at(t: Value, fill: Fill, values: Callable[[NDArray[np.int64]], Any] | None = None) -> Fill:
    """`fill` at the steps `t` in place of T, or `values` at a quotient."""
    t = _resolved(t)
    if t is T:
        return fill
    match (t.op, t.args) if isinstance(t, Node) else (None, ()):
        case "+" | "-" as op, (of, by) if not isinstance(by, Node):
            by = by if op == "+" else -by
            whole, offset = math.floor(by), by - math.floor(by)
            between: Fill = partial(fill, offset=offset) if offset else fill  # type: ignore[call-arg]
            return _at(of, lambda out, t: between(out, t + whole))
        case "*", (of, by) if isinstance(by, int):
            return _at(of, lambda out, t: fill(out, Grid(t.start * by, t.stride * by, t.count)))
        case "//", (of, by) if values is not None:
            return _at(of, partial(_fill_runs, length=by, values=values))
        case "%", (of, by) if isinstance(by, int):
            return _at(of, lambda out, t: grid.periodic(out, t, by, fill))
        case "max", (0, of):
            first = lambda out, _: grid.constant(out, float(_values(fill, Grid(0))[0]))  # noqa: E731
            return _at(of, lambda out, t: grid.piecewise(out, t, (0,), (first, fill)))
    raise TypeError("a shape at a step that is not evenly spaced")


def _fill_runs(out: Array, t: Grid, length: float, values: Callable[[NDArray[np.int64]], Any]) -> Extent:
    if isinstance(length, int):
        return grid.even_runs(out, t, length, values)
    return grid.elementwise(out, t, lambda steps: values(np.floor_divide(steps, length).astype(np.int64)))


def _combined(formula: Value) -> Fill:
    """One shape first, then all that is done with it, while a piece of it is in the cache."""
    steps: list[tuple[Callable[..., Any], Fill | float, bool]] = []  # with what on the other side, whether on the right
    while isinstance(formula, Node) and formula.op in IN_PLACE and _has_shapes(formula):
        operation, (left, right) = OPERATIONS[formula.op], map(_resolved, formula.args)
        on_right = _has_shapes(left)
        formula, other = (left, right) if on_right else (right, left)
        steps.insert(0, (operation, filled(other) if isinstance(other, Node) else other, on_right))
    first = filled(formula)
    # none of these turns the order of two values more than round
    by_numbers = not any(callable(other) or (operation is np.divide and not right) for operation, other, right in steps)

    def fill(out: Array, t: Grid) -> Extent:
        first_extent, extents = first(out, t), []
        seen = not by_numbers or t.count <= SHORT
        for where, part in t.chunks():
            values = out[where]
            for operation, other, on_right in steps:
                by = _values(other, part) if callable(other) else other
                operation(*((values, by) if on_right else (by, values)), out=values)
            if seen:
                extents.append(grid.extent(values))
        if seen:
            return grid.spanning(extents)
        ends: Any = np.array(first_extent)
        for operation, other, on_right in steps:
            operation(*((ends, other) if on_right else (other, ends)), out=ends)
        return float(ends.min()), float(ends.max())

    return fill


_FILLED_BY: dict[str, Callable[..., Fill]] = {
    "filled": _at,
    "apply": _applied,
    "piecewise": _pieces,
}
