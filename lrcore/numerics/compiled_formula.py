"""Formulas computed over arrays of float64: the one table of operations, and the order in which they are done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Array, raised

WHOLE = 2.0**52  # a float64 from here on is an integer, and takes long to write as a decimal
CHEAP_POWERS = (0.5, -0.5, 2.0)  # np.power takes ten times as long for these

OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "//": np.floor_divide, "%": np.mod, "**": np.power,
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal, "==": np.equal, "!=": np.not_equal,
    "and": np.logical_and, "or": np.logical_or, "not": np.logical_not, "neg": np.negative, "where": np.where,
    "abs": np.abs, "atan": np.arctan, "ceil": np.ceil, "cos": np.cos, "cosh": np.cosh, "exp": np.exp, "expm1": np.expm1,
    "floor": np.floor, "log": np.log, "log10": np.log10, "log1p": np.log1p, "log2": np.log2, "sin": np.sin,
    "sinh": np.sinh, "sqrt": np.sqrt, "tan": np.tan, "tanh": np.tanh,
    "min": np.minimum,
    "max": np.maximum,
    "trunc": lambda value: np.trunc(value) + 0.0,  # as an integer, 0 has no sign
    "round": lambda value: np.rint(value) + 0.0,
    "round_to": lambda value, digits: _rounded(value, int(digits)),
    "passed": lambda edges, t: np.searchsorted(edges, t, side="right"),
    "pick": lambda values, i: values[i],
}  # fmt: skip


def _rounded(value: Any, digits: int) -> Any:
    """Rounded to decimal digits as Python does it: numpy's own way is off by a bit here and there."""
    flat = [round(each, digits) if -WHOLE < each < WHOLE else each for each in np.ravel(value).tolist()]
    return np.array(flat, dtype=np.float64).reshape(np.shape(value))


class CompiledFormula:
    """A formula of the step, ready to be computed: each of its nodes once, and what is constant beforehand."""

    def __init__(self, formula: Value) -> None:
        self._lines: list[tuple[Callable[..., Any], list[Any], list[int]]] = []  # operation, operands, results to drop
        self._known: dict[int, Any] = {}  # by a node's id: its place among the results, or its value
        self._formula = formula  # so that no other node gets the id of one of these
        with np.errstate(all="ignore"):
            self._result = self._operand(formula)
        self._drop()

    def __call__(self, t: Array) -> Any:
        """Compute the values at `t`, float64 of any shape; one float64 if the formula is a constant."""
        results: list[Any] = [t]
        for operation, operands, dropped in self._lines:
            results.append(operation(*[results[each] if type(each) is int else each for each in operands]))
            for place in dropped:
                results[place] = None
        return results[self._result] if type(self._result) is int else self._result

    def constant(self, node: Value) -> float | None:
        """Return the value of a part of the formula; None if it depends on the step."""
        found = self._operand(node)
        return None if type(found) is int else float(found)

    def _operand(self, value: Any) -> Any:
        """The place of a result, as an int; or a constant, as numpy has it."""
        if isinstance(value, tuple):
            return np.array(value, dtype=np.float64)
        if not isinstance(value, Node):
            return np.float64(value)
        if id(value) not in self._known:
            self._known[id(value)] = self._computed(value)
        return self._known[id(value)]

    def _computed(self, node: Node) -> Any:
        match node.op, node.args:
            case "t", _:
                return 0
            case "pi", _:
                return np.float64(np.pi)
            case "let", (_, value):
                return self._operand(value)
            case "apply", (body, at):
                return self._added(CompiledFormula(body), [self._operand(at)])
        operands = [self._operand(arg) for arg in node.args]
        operation = OPERATIONS[node.op]
        if not any(type(each) is int for each in operands):
            return np.float64(operation(*operands))
        if node.op == "**" and type(operands[1]) is not int and (exponent := float(operands[1])) in CHEAP_POWERS:
            return self._added(lambda base: raised(np.array(base), exponent), operands[:1])
        return self._added(operation, operands)

    def _added(self, operation: Callable[..., Any], operands: list[Any]) -> int:
        self._lines.append((operation, operands, []))
        return len(self._lines)

    def _drop(self) -> None:
        """Have each result dropped where it was needed for the last time: arrays stay in the cache."""
        last = {each: line for line in self._lines for each in line[1] if type(each) is int}
        for place, (_, _, dropped) in last.items():
            if place not in (0, self._result):
                dropped.append(place)
