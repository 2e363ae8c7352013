"""Arithmetic written by users, evaluated over float64 arrays through a white list of syntax.

`lrcore.expressions.syntax` reads the text; nothing outside its grammar can be said. Constants become float64 before
anything is computed, so that no expression is slow: a tower of powers overflows at once and is refused.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from lrcore.expressions.cost import value_cost
from lrcore.expressions.syntax import ARITY, CONSTANTS, VARIABLE, is_condition, read, snippet
from lrcore.numerics.formula_values import computed, function_of
from lrcore.numerics.formulas import PI, Node, T, Value, call, where
from lrcore.numerics.grid import PIECE

Array = NDArray[np.float64]

MAX_LENGTH = 1000
MAX_EXPONENT = 1000.0
NODE_CALL = 3000.0  # nanoseconds of an operation on an array, however short
CHUNK = 1 << 15  # steps at once: intermediate results stay in the cache, and memory is bounded

SIGNS: dict[type[ast.operator | ast.cmpop | ast.boolop], str] = {  # in formulas
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.And: "and", ast.Or: "or",
}  # fmt: skip


class Expression:
    """A function of the step, such as "0.95 ** epoch" or "lambda x: 0.5 * (1 + math.cos(math.pi * x / 100))".

    Raises:
        ValueError: the text is too long or too deep, is no expression, or says something outside the white list.
    """

    variables: ClassVar[tuple[str, ...]] = ("epoch", "step")

    def __init__(self, source: str) -> None:
        self.source = source
        if len(source) > MAX_LENGTH:
            raise ValueError(f"the expression has {len(source)} characters, more than {MAX_LENGTH}")
        tree, self.size = read(source, self.variables)
        writer = _Writer()
        self._formula = writer.formula(tree)
        self.power = _power_of(tree)
        self.constant = writer.constant(self._formula)
        self._value_cost = value_cost(tree)

    def __call__(self, t: NDArray[Any]) -> Array:
        """Values at `t`, shape (n,), in float64. Not finite where the arithmetic is not."""
        out, function = np.empty(t.shape), function_of(self._formula, len(t))
        with np.errstate(all="ignore"):
            for start in range(0, len(t), CHUNK):
                part = slice(start, start + CHUNK)
                out[part] = function(t[part].astype(np.float64))
        return out

    def cost(self, values: int, calls: int = 1) -> float:
        """What `values` of them in `calls` arrays cost at most, in nanoseconds."""
        return values * self._value_cost + (calls + values // PIECE) * self.size * NODE_CALL

    def as_formula(self) -> Value:
        """The same function of formulas.T: from its syntax tree, never from its text."""
        return self._formula

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r})"

    def __reduce__(self) -> tuple[type[Expression], tuple[str]]:
        return type(self), (self.source,)  # pickled as its text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _text_to(cls), serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.source)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "type": "string",
            "maxLength": MAX_LENGTH,
            "description": f"a Python lambda of one parameter, or an expression in {' or '.join(cls.variables)}; "
            f"functions, also as math.cos or np.cos: {', '.join(ARITY)}",
        }


class CycleExpression(Expression):
    """A function of the cycle or of the step, named x as in torch's documentation of `scale_fn`."""

    variables = ("x",)


def _text_to(cls: type[Expression]) -> Callable[[Any], Expression]:
    def validate(value: Any) -> Expression:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError("an expression must be a string")
        return cls(value)

    return validate


def _power_of(tree: ast.expr) -> tuple[float, float] | None:
    """(base, per) if the tree is base ** variable or base ** (variable / per), for the fast way to it."""
    match tree:
        case ast.BinOp(left=ast.Constant(value=int() | float() as base), op=ast.Pow(), right=exponent) if base > 0:
            match exponent:
                case ast.Name(id=name) if name == VARIABLE:
                    return float(base), 1.0
                case ast.BinOp(
                    left=ast.Name(id=name), op=ast.Div(), right=ast.Constant(value=int() | float() as per)
                ) if name == VARIABLE and per > 0:
                    return float(base), float(per)
    return None


class _Writer:
    """Writes a tree as a formula, and remembers which part of the tree each node is, inner ones first."""

    def __init__(self) -> None:
        self._parts: dict[int, tuple[Node, ast.expr]] = {}

    def formula(self, part: ast.expr) -> Value:
        """Return the formula of a tree. Raises ValueError if a number is beyond float64."""
        found = where(self._condition(part), 1.0, 0.0) if is_condition(part) else self._value(part)
        if isinstance(found, Node):
            self._parts.setdefault(id(found), (found, part))
        return found

    def constant(self, formula: Value) -> float | None:
        """Return the value of the whole formula; None if it depends on the step.

        Raises:
            ValueError: a constant in it is no finite number, or an exponent is too large.
        """
        step, known = np.zeros(1), dict[int, Any]()
        with np.errstate(all="ignore"):
            for node, part in self._parts.values():
                exponent = computed(node.args[1], step, known) if node.op == "**" else step
                if np.ndim(exponent) == 0 and abs(exponent) > MAX_EXPONENT:
                    raise ValueError(f"the exponent {exponent:g} is beyond ±{MAX_EXPONENT:g}")
                value = known[id(node)] = computed(node, step, known)
                if np.ndim(value) == 0:
                    _check_finite(float(value), part)
            found = computed(formula, step, known)
        return float(found) if np.ndim(found) == 0 else None

    def _value(self, part: ast.expr) -> Value:
        match part:
            case ast.Constant(value=int() | float() as value):
                return _check_finite(value, part)
            case ast.Name(id=name):
                return PI if name == "pi" else CONSTANTS.get(name, T)
            case ast.BinOp(left=left, op=op, right=right):
                return Node(SIGNS[type(op)], (self.formula(left), self.formula(right)))
            case ast.UnaryOp(op=op, operand=operand):
                return Node("neg", (self.formula(operand),)) if isinstance(op, ast.USub) else self.formula(operand)
            case ast.BoolOp(op=op, values=values):  # in Python, `and` and `or` are one of their operands
                *before, last = map(self.formula, values)
                for each in reversed(before):
                    chosen = (last, each) if isinstance(op, ast.And) else (each, last)
                    last = where(Node("!=", (each, 0)), *chosen)
                return last
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._called(name, arguments)
        raise TypeError(f"{type(part).__name__} is no part of an expression")

    def _called(self, name: str, arguments: list[ast.expr]) -> Value:
        match name, arguments:
            case "where", [condition, then, otherwise]:
                return where(self._condition(condition), self.formula(then), self.formula(otherwise))
            case "round", [number, ast.Constant(value=int() as digits)]:
                return call("round_to", self.formula(number), digits)
        found, *others = map(self.formula, arguments)
        for other in others:  # min and max take several
            found = call(name, found, other)
        return found if others else call(name, found)

    def _condition(self, part: ast.expr) -> Node:
        match part:
            case ast.Compare(left=left, ops=ops, comparators=others):
                values = [self.formula(left), *map(self.formula, others)]
                pairs = [Node(SIGNS[type(op)], pair) for op, pair in zip(ops, pairwise(values), strict=True)]
                return reduce(lambda a, b: Node("and", (a, b)), pairs)
            case ast.Call(func=ast.Name(id="in"), args=[value, *items]):
                own = self.formula(value)
                found = [Node("==", (own, self.formula(item))) for item in items]
                return reduce(lambda a, b: Node("or", (a, b)), found)
            case ast.BoolOp(op=op, values=parts):
                return reduce(lambda a, b: Node(SIGNS[type(op)], (a, b)), map(self._condition, parts))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Node("not", (self._condition(operand),))
        return Node("!=", (self.formula(part), 0))


def _check_finite(value: float, part: ast.expr) -> float:
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer literal beyond float64
        finite = False
    if not finite:
        raise ValueError(f"{snippet(part)} is not a finite number")
    return float(value)
