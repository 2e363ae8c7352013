"""Arithmetic written by users, evaluated over float64 arrays through a white list of syntax.

`lrcore.expressions.syntax` reads the text; nothing outside its grammar can be said. Constants become float64 before
anything is computed, so that no expression is slow: a tower of powers overflows at once and is refused.
"""

from __future__ import annotations

import ast
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
from lrcore.numerics.formulas import PI, Node, T, Value, call, where
from lrcore.numerics.grid import PIECE, raised

Array = NDArray[np.float64]
Evaluate = Callable[[Array], Any]  # an array for what depends on the variable, a float64 for what does not

MAX_LENGTH = 1000
MAX_EXPONENT = 1000.0
NODE_CALL = 3000.0  # nanoseconds of an operation on an array, however short
WHOLE = 2.0**52  # a float64 from here on is an integer, and takes long to write as a decimal
CHUNK = 1 << 15  # steps at once: intermediate results stay in the cache, and memory is bounded

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "atan": np.arctan,
    "ceil": np.ceil,
    "cos": np.cos,
    "cosh": np.cosh,
    "exp": np.exp,
    "expm1": np.expm1,
    "floor": np.floor,
    "in": lambda value, *items: _truth(_fold(np.logical_or, tuple(np.equal(value, item) for item in items))),
    "log": np.log,
    "log10": np.log10,
    "log1p": np.log1p,
    "log2": np.log2,
    "max": lambda *values: _fold(np.maximum, values),
    "min": lambda *values: _fold(np.minimum, values),
    "round": lambda value, digits=None: np.rint(value) + 0.0 if digits is None else _rounded(value, int(digits)),
    "sin": np.sin,
    "sinh": np.sinh,
    "sqrt": np.sqrt,
    "tan": np.tan,
    "tanh": np.tanh,
    "trunc": lambda value: np.trunc(value) + 0.0,  # as an integer, 0 has no sign
    "where": lambda condition, then, otherwise: np.where(condition != 0, then, otherwise),
}
BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: np.positive,
    ast.USub: np.negative,
    ast.Not: lambda value: _truth(np.equal(value, 0)),
}
CHOOSE: dict[type[ast.boolop], Callable[..., Any]] = {  # Python's `and` and `or` are one of their operands
    ast.And: lambda *values: _fold(lambda a, b: np.where(a != 0, b, a), values),
    ast.Or: lambda *values: _fold(lambda a, b: np.where(a != 0, a, b), values),
}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
SIGNS: dict[type[ast.operator | ast.cmpop | ast.boolop], str] = {  # in formulas
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.And: "and", ast.Or: "or",
}  # fmt: skip


def _truth(holds: Any) -> Any:
    """1.0 where it holds, else 0.0."""
    return np.asarray(holds, dtype=np.float64)


def _rounded(value: Any, digits: int) -> Any:
    """Rounded to decimal digits as Python does it: numpy's own way is off by a bit here and there."""
    flat = [round(each, digits) if -WHOLE < each < WHOLE else each for each in np.ravel(value).tolist()]
    return np.array(flat, dtype=np.float64).reshape(np.shape(value))


def _fold(function: Callable[[Any, Any], Any], values: tuple[Any, ...]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = function(result, value)
    return result


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
        self._tree, self.size = read(source, self.variables)
        evaluate, constant = self._compile(self._tree)
        self.power = _power_of(self._tree)
        self._evaluate = evaluate
        self.constant: float | None = float(evaluate(np.zeros(1))) if constant else None
        self._value_cost = value_cost(self._tree)

    def __call__(self, t: NDArray[Any]) -> Array:
        """Values at `t`, shape (n,), in float64. Not finite where the arithmetic is not."""
        out = np.empty(t.shape)
        with np.errstate(all="ignore"):
            for start in range(0, len(t), CHUNK):
                part = slice(start, start + CHUNK)
                out[part] = self._evaluate(t[part].astype(np.float64))
        return out

    def cost(self, values: int, calls: int = 1) -> float:
        """What `values` of them in `calls` arrays cost at most, in nanoseconds."""
        return values * self._value_cost + (calls + values // PIECE) * self.size * NODE_CALL

    def as_formula(self) -> Value:
        """The same function of formulas.T: from its syntax tree, never from its text."""
        return _formula(self._tree)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r})"

    def __reduce__(self) -> tuple[type[Expression], tuple[str]]:
        return type(self), (self.source,)  # pickled as its text

    def _compile(self, node: ast.expr) -> tuple[Evaluate, bool]:
        """The node as a function of the variable, and whether it is constant."""
        match node:
            case ast.Constant(value=int() | float() as value):
                return self._constant(node, lambda: np.float64(value))
            case ast.Name(id=name) if name == VARIABLE:
                return (lambda t: t), False
            case ast.Name(id=name):
                return self._constant(node, lambda: np.float64(CONSTANTS[name]))
            case ast.BinOp(left=left, op=operator, right=right):
                return self._apply(node, BINARY[type(operator)], [left, right])
            case ast.UnaryOp(op=operator, operand=operand):
                return self._apply(node, UNARY[type(operator)], [operand])
            case ast.BoolOp(op=operator, values=values):
                return self._apply(node, CHOOSE[type(operator)], values)
            case ast.Compare(left=left, ops=operators, comparators=others):
                return self._apply(node, _comparison([COMPARE[type(o)] for o in operators]), [left, *others])
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._apply(node, FUNCTIONS[name], arguments)
        raise TypeError(f"{type(node).__name__} is no part of an expression")

    def _apply(self, node: ast.expr, function: Callable[..., Any], parts: list[ast.expr]) -> tuple[Evaluate, bool]:
        compiled = [self._compile(part) for part in parts]
        evaluates = [evaluate for evaluate, _ in compiled]
        exponent = 1.0
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and compiled[1][1]:
            exponent = float(evaluates[1](np.zeros(1)))
            if abs(exponent) > MAX_EXPONENT:
                raise ValueError(f"the exponent {exponent:g} is beyond ±{MAX_EXPONENT:g}")
        if all(constant for _, constant in compiled):
            return self._constant(node, lambda: function(*[evaluate(np.zeros(1)) for evaluate in evaluates]))
        if exponent in (0.5, -0.5, 2.0):  # np.power takes ten times as long for these
            return (lambda t: raised(np.array(evaluates[0](t)), exponent)), False
        return (lambda t: function(*[evaluate(t) for evaluate in evaluates])), False

    def _constant(self, node: ast.expr, compute: Callable[[], Any]) -> tuple[Evaluate, bool]:
        try:
            with np.errstate(all="ignore"):
                value = np.float64(compute())
        except OverflowError:  # an integer literal beyond float64
            value = np.float64(np.inf)
        if not np.isfinite(value):
            raise ValueError(f"{snippet(node)} is not a finite number")
        return (lambda t: value), True

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


def _comparison(operators: list[Callable[[Any, Any], Any]]) -> Callable[..., Any]:
    """`a < b < c` as Python reads it; 1.0 where it holds, else 0.0."""

    def compare(*values: Any) -> Any:
        holds = [operator(*pair) for operator, pair in zip(operators, pairwise(values), strict=True)]
        return _truth(_fold(np.logical_and, tuple(holds)))

    return compare


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


def _formula(node: ast.expr) -> Value:
    if is_condition(node):
        return where(_condition(node), 1.0, 0.0)
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return PI if name == "pi" else CONSTANTS.get(name, T)
        case ast.BinOp(left=left, op=op, right=right):
            return Node(SIGNS[type(op)], (_formula(left), _formula(right)))
        case ast.UnaryOp(op=op, operand=operand):
            return Node("neg", (_formula(operand),)) if isinstance(op, ast.USub) else _formula(operand)
        case ast.BoolOp(op=op, values=values):
            *before, last = map(_formula, values)
            for each in reversed(before):
                chosen = (last, each) if isinstance(op, ast.And) else (each, last)
                last = where(Node("!=", (each, 0)), *chosen)
            return last
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _called(name, arguments)
    raise TypeError(f"{type(node).__name__} is no part of an expression")


def _called(name: str, arguments: list[ast.expr]) -> Value:
    match name, arguments:
        case "where", [condition, then, otherwise]:
            return where(_condition(condition), _formula(then), _formula(otherwise))
        case "round", [number, ast.Constant(value=int() as digits)]:
            return call("round_to", _formula(number), digits)
    found, *others = map(_formula, arguments)
    for other in others:  # min and max take several
        found = call(name, found, other)
    return found if others else call(name, found)


def _condition(node: ast.expr) -> Node:
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            values = [_formula(left), *map(_formula, others)]
            pairs = [Node(SIGNS[type(op)], pair) for op, pair in zip(ops, pairwise(values), strict=True)]
            return reduce(lambda a, b: Node("and", (a, b)), pairs)
        case ast.Call(func=ast.Name(id="in"), args=[value, *items]):
            own = _formula(value)
            return reduce(lambda a, b: Node("or", (a, b)), [Node("==", (own, _formula(item))) for item in items])
        case ast.BoolOp(op=op, values=parts):
            return reduce(lambda a, b: Node(SIGNS[type(op)], (a, b)), map(_condition, parts))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Node("not", (_condition(operand),))
    return Node("!=", (_formula(node), 0))
