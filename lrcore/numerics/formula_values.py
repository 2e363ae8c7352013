"""Formulas computed over arrays of float64: the one table of operations, and what is done with a formula's shapes."""

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
SHORT = 4096  # values that take less time to compute than it takes to find out where they may be written
IN_PLACE = ("+", "-", "*", "/", "min", "max")

OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "//": np.floor_divide, "%": np.mod,
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
    "and": np.logical_and, "or": np.logical_or, "not": np.logical_not, "neg": np.negative,
    "abs": np.abs, "atan": np.arctan, "ceil": np.ceil, "cos": np.cos, "cosh": np.cosh, "exp": np.exp, "expm1": np.expm1,
    "floor": np.floor, "log": np.log, "log10": np.log10, "log1p": np.log1p, "log2": np.log2, "sin": np.sin,
    "sinh": np.sinh, "sqrt": np.sqrt, "tan": np.tan, "tanh": np.tanh,
    "pow": np.power,
    "**": lambda base, exponent: _raised(base, exponent),
    "where": lambda *args: np.where(*args)[()],  # of numbers alone, a number again
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
    return np.array(flat, dtype=np.float64).reshape(np.shape(value))[()]


def _raised(base: Any, exponent: Any) -> Any:
    """base ** exponent. For the usual powers of an array, np.power takes ten times as long."""
    if isinstance(exponent, float) and type(base) is np.ndarray:
        if exponent == 2:
            return np.multiply(base, base)
        if abs(exponent) == 0.5:
            root = np.sqrt(base)
            return root if exponent > 0 else np.divide(1.0, root, out=root)
    return np.power(base, exponent)


def computed(formula: Any, t: Array, known: dict[int, Any] | None = None, uses: dict[int, int] | None = None) -> Any:
    """Compute a formula without shapes at `t`, shape (n,), float64; one float64 if it does not depend on T.

    Args:
        known: values at `t` of nodes that have been computed, by the nodes' ids.
        uses: how often each node will be needed, by its id: a value is overwritten, or dropped, where that is the
            last time, so that few arrays share the cache. None for arrays that are too short for it to pay.
    """
    if type(formula) is not Node:
        return np.array(formula, dtype=np.float64) if type(formula) is tuple else float(formula)
    if formula is T:
        return t
    known = {} if known is None else known
    if (found := known.get(id(formula))) is not None:
        return found
    if (operation := OPERATIONS.get(formula.op)) is not None:
        values = [arg if type(arg) is float else computed(arg, t, known, uses) for arg in formula.args]
        own = None if uses is None else _free(formula.args, values, known, uses)
        in_place = own is not None and operation in OVERWRITING and own.shape == t.shape
        found = operation(*values, out=own) if in_place else operation(*values)
    elif formula.op in NAMED:
        return computed(_resolved(formula), t, known, uses)
    elif formula.op == "apply":
        body, at = formula.args
        found = np.array(computed(body, np.atleast_1d(computed(at, t, known))))[()]
    elif formula.op == "pi":
        return np.pi
    else:
        raise TypeError(f"{formula.op} is computed on a grid alone")
    known[id(formula)] = found
    return found


def _free(operands: Sequence[Value], values: list[Any], known: dict[int, Any], uses: dict[int, int]) -> Array | None:
    """Drop the operands that are not needed any more, and return the array of one of them."""
    found = None
    for operand, value in zip(operands, values, strict=True):
        node = _resolved(operand)
        if isinstance(node, Node) and node is not T:
            uses[id(node)] -= 1
            if uses[id(node)] == 0 and type(known.pop(id(node), None)) is np.ndarray and value.dtype == np.float64:
                found = value
    return found


def _uses(formula: Value) -> dict[int, int]:
    """How often each node of a formula is an operand, by its id."""
    found, waiting = dict[int, int](), [formula]
    while waiting:
        node = _resolved(waiting.pop())
        if isinstance(node, Node):
            waiting += () if id(node) in found else node.args
            found[id(node)] = found.get(id(node), 0) + 1
    return found


def function_of(formula: Value, count: int) -> Callable[[Array], Any]:
    """A formula without shapes as a function of at most so many steps."""
    if count <= SHORT:
        return partial(computed, formula)
    uses = _uses(formula)
    return lambda steps: computed(formula, steps, {}, uses.copy())


def write(formula: Value, out: Array, t: Grid) -> Extent:
    """Write a formula of the step T into an array: its shapes by their own functions, everything else step by step."""
    formula = _resolved(formula)
    if not isinstance(formula, Node):
        return grid.constant(out, float(formula))
    if formula.shaped:
        op, args = formula.op, formula.args
        if op == "filled":
            at, fill, _, values = args
            return _write_at(at, out, t, fill, values)
        if op == "piecewise" and args[0] is T:
            segments = t.segments(map(math.ceil, args[1]))
            return grid.spanning([write(args[i + 2], out[where], part) for i, where, part in segments])
        if op == "apply":
            return _write_at(args[1], out, t, partial(write, args[0]), partial(_of_runs, args[0]))
        if op in IN_PLACE:
            return _combined(formula, out, t)
        formula = formulas.expanded(formula)
    return grid.elementwise(out, t, function_of(formula, t.count))


def _of_runs(body: Value, runs: NDArray[np.int64]) -> Array:
    found = function_of(body, len(runs))(runs.astype(np.float64))
    return found if type(found) is np.ndarray else np.full(len(runs), found)


def value_at(formula: Value, step: int) -> float:
    """Return the value of a formula at one step."""
    return float(_values(formula, Grid(step))[0])


def _values(formula: Value, t: Grid) -> Array:
    values = np.empty(t.count)
    write(formula, values, t)
    return values


def _resolved(formula: Value) -> Value:
    """What is computed for a formula that has a name, or another one in code."""
    while type(formula) is Node and formula.op in NAMED:
        own = formula.args[formula.op == "let"]
        formula = own() if formula.op == "later" else own
    return formula


def _write_at(at: Value, out: Array, t: Grid, fill: Fill, values: Callable[..., Array] | None = None) -> Extent:
    """`fill` at the steps `at` in place of T, or `values` at a quotient."""
    at, inside = _resolved(at), fill
    if at is T:
        return fill(out, t)
    match (at.op, at.args) if isinstance(at, Node) else (None, ()):
        case "+" | "-" as op, (of, by) if not isinstance(by, Node):
            by = by if op == "+" else -by
            whole = math.floor(by)
            if offset := by - whole:
                fill = partial(fill, offset=offset)  # type: ignore[call-arg]
            inside = lambda out, t: fill(out, t + whole)  # noqa: E731
        case "*", (of, by) if isinstance(by, int):
            inside = lambda out, t: fill(out, Grid(t.start * by, t.stride * by, t.count))  # noqa: E731
        case "//", (of, by) if values is not None:
            inside = partial(_write_runs, length=by, values=values)
        case "%", (of, by) if isinstance(by, int):
            inside = lambda out, t: grid.periodic(out, t, by, fill)  # noqa: E731
        case "max", (0, of):
            inside = partial(_write_late, fill=fill)
        case _:
            raise TypeError("a shape at a step that is not evenly spaced")
    return inside(out, t) if of is T else _write_at(of, out, t, inside)


def _write_late(out: Array, t: Grid, fill: Fill) -> Extent:
    """`fill`, with its first value at steps before 0."""
    fill(first := np.empty(1), Grid(0))
    return grid.piecewise(out, t, (0,), (lambda out, _: grid.constant(out, float(first[0])), fill))


def _write_runs(out: Array, t: Grid, length: float, values: Callable[[NDArray[np.int64]], Any]) -> Extent:
    if isinstance(length, int):
        return grid.even_runs(out, t, length, values)
    return grid.elementwise(out, t, lambda steps: values(np.floor_divide(steps, length).astype(np.int64)))


def _combined(formula: Value, out: Array, t: Grid) -> Extent:
    """One shape first, then all that is done with it, while a piece of it is in the cache."""
    steps: list[tuple[Callable[..., Any], Value, bool]] = []  # with what on the other side, whether on the right
    by_numbers = t.count > 0  # and then in the same order, or the other way round, up to rounding
    while isinstance(formula, Node) and formula.op in IN_PLACE and formula.shaped:
        operation, (left, right) = OPERATIONS[formula.op], map(_resolved, formula.args)
        on_right = isinstance(left, Node) and left.shaped
        formula, other = (left, right) if on_right else (right, left)
        by_numbers = by_numbers and not isinstance(other, Node) and (on_right or operation is not np.divide)
        steps.append((operation, other, on_right))
    steps.reverse()
    ends: Any = np.array(write(formula, out, t))
    extents = []
    for where, part in t.chunks():
        values = out[where]
        for operation, other, on_right in steps:
            by = _values(other, part) if isinstance(other, Node) else other
            operation(*((values, by) if on_right else (by, values)), out=values)
        if not by_numbers:
            extents.append(grid.extent(values))
    if not by_numbers:
        return grid.spanning(extents)
    for operation, other, on_right in steps:
        operation(*((ends, other) if on_right else (other, ends)), out=ends)
    low, high = ends.tolist()
    return (low, high) if low <= high or math.isnan(low) else (high, low)
