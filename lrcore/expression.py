"""Arithmetic written by users, evaluated over float64 arrays through a white list of syntax.

Nothing outside the list can be said: no attribute, no name but the variable and two constants, no call but to the
functions below. Constants become float64 before anything is computed, so that no expression is slow: a tower of
powers overflows at once and is refused.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from lrcore.expression_cost import value_cost
from lrcore.formulas import PI, Node, T, Value, call, where
from lrcore.grid import PIECE, raised

Array = NDArray[np.float64]
Evaluate = Callable[[Array], Any]  # an array for what depends on the variable, a float64 for what does not

# Python's parser has doubts about texts such as "1if x else 2", which an operator can do nothing about
FILE = "<expression>"
warnings.filterwarnings("ignore", category=SyntaxWarning, module=FILE)
warnings.filterwarnings("ignore", category=DeprecationWarning, module=FILE)

MAX_LENGTH = 1000
MAX_NODES = 200
MAX_DEPTH = 30
MAX_EXPONENT = 1000.0
NODE_CALL = 3000.0  # nanoseconds of an operation on an array, however short
CHUNK = 1 << 15  # steps at once: intermediate results stay in the cache, and memory is bounded

CONSTANTS = {"pi": np.pi, "e": np.e}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "cos": np.cos,
    "exp": np.exp,
    "floor": np.floor,
    "log": np.log,
    "max": lambda *values: _fold(np.maximum, values),
    "min": lambda *values: _fold(np.minimum, values),
    "sin": np.sin,
    "sqrt": np.sqrt,
    "where": lambda condition, then, otherwise: np.where(condition != 0, then, otherwise),
}
ARITY = {"where": (3, 3), "min": (2, 16), "max": (2, 16)}

BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: np.positive, ast.USub: np.negative}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}
SIGNS: dict[type[ast.operator | ast.cmpop], str] = {  # in formulas
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


def _fold(function: Callable[[Any, Any], Any], values: tuple[Any, ...]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = function(result, value)
    return result


class Expression:
    """A function of the step, such as "0.95 ** epoch" or "where(step < 10, 0.1, 1 / sqrt(step))".

    Raises:
        ValueError: the text is too long or too deep, is no expression, or says something outside the white list.
    """

    variables: ClassVar[tuple[str, ...]] = ("epoch", "step")

    def __init__(self, source: str) -> None:
        self.source = source
        self.size = 0
        if len(source) > MAX_LENGTH:
            raise ValueError(f"the expression has {len(source)} characters, more than {MAX_LENGTH}")
        try:
            body = ast.parse(source.strip(), FILE, mode="eval").body
        except SyntaxError as error:
            raise ValueError(f"not an expression: {error.msg}") from None
        except ValueError:
            raise ValueError("not an expression: it has characters that no text has") from None
        except (RecursionError, MemoryError):
            raise ValueError("not an expression: nested too deeply") from None
        evaluate, constant = self._compile(body, 1)
        self.power = self._power_of(body)
        self._evaluate = evaluate
        self.constant: float | None = float(evaluate(np.zeros(1))) if constant else None
        self._value_cost = value_cost(body)

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
        return _formula(ast.parse(self.source.strip(), FILE, mode="eval").body)

    def _power_of(self, body: ast.expr) -> tuple[float, float] | None:
        """(base, per) if the expression is base ** variable or base ** (variable / per), for the fast way to it."""
        match body:
            case ast.BinOp(left=ast.Constant(value=int() | float() as base), op=ast.Pow(), right=exponent) if base > 0:
                match exponent:
                    case ast.Name(id=name) if name in self.variables:
                        return float(base), 1.0
                    case ast.BinOp(
                        left=ast.Name(id=name), op=ast.Div(), right=ast.Constant(value=int() | float() as per)
                    ) if name in self.variables and per > 0:
                        return float(base), float(per)
        return None

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.source!r})"

    def __reduce__(self) -> tuple[type[Expression], tuple[str]]:
        return type(self), (self.source,)  # pickled as its text

    def _compile(self, node: ast.expr, depth: int) -> tuple[Evaluate, bool]:  # noqa: C901  # the grammar, as one table
        """The node as a function of the variable, and whether it is constant."""
        self.size += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"the expression is nested more than {MAX_DEPTH} deep")
        if self.size > MAX_NODES:
            raise ValueError(f"the expression has more than {MAX_NODES} parts")
        match node:
            case ast.Constant(value=bool() | complex()):
                pass
            case ast.Constant(value=int() | float() as value):
                return self._constant(node, lambda: np.float64(value))
            case ast.Name(id=name) if name in CONSTANTS:
                return self._constant(node, lambda: np.float64(CONSTANTS[name]))
            case ast.Name(id=name) if name in self.variables:
                return (lambda t: t), False
            case ast.Name(id=name):
                raise ValueError(f"unknown name {name!r}; known are {', '.join([*self.variables, *CONSTANTS])}")
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in BINARY:
                return self._apply(node, BINARY[type(operator)], [left, right], depth)
            case ast.UnaryOp(op=operator, operand=operand) if type(operator) in UNARY:
                return self._apply(node, UNARY[type(operator)], [operand], depth)
            case ast.Compare(left=left, ops=operators, comparators=others) if all(
                type(o) in COMPARE for o in operators
            ):
                return self._apply(node, _comparison([COMPARE[type(o)] for o in operators]), [left, *others], depth)
            case ast.IfExp(test=test, body=then, orelse=otherwise):
                return self._apply(node, FUNCTIONS["where"], [test, then, otherwise], depth)
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
                fewest, most = ARITY.get(name, (1, 1))
                if not fewest <= len(arguments) <= most:
                    raise ValueError(f"{name} takes {fewest} to {most} arguments, not {len(arguments)}")
                return self._apply(node, FUNCTIONS[name], arguments, depth)
            case ast.Call():
                raise ValueError(f"may call only {', '.join(FUNCTIONS)}, not {_snippet(node.func)}")
        raise ValueError(f"{_snippet(node)} is not allowed: only numbers, {', '.join(self.variables)}, arithmetic, "
                         "comparisons and the listed functions are")  # fmt: skip

    def _apply(
        self, node: ast.expr, function: Callable[..., Any], parts: list[ast.expr], depth: int
    ) -> tuple[Evaluate, bool]:
        compiled = [self._compile(part, depth + 1) for part in parts]
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
            raise ValueError(f"{_snippet(node)} is not a finite number")
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
            "description": f"arithmetic in {' or '.join(cls.variables)}; functions: {', '.join(FUNCTIONS)}",
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
        return np.asarray(_fold(np.logical_and, tuple(holds)), dtype=np.float64)

    return compare


def _formula(node: ast.expr) -> Value:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return PI if name == "pi" else CONSTANTS.get(name, T)
        case ast.BinOp(left=left, op=op, right=right):
            return Node(SIGNS[type(op)], (_formula(left), _formula(right)))
        case ast.UnaryOp(op=op, operand=operand):
            return Node("neg", (_formula(operand),)) if isinstance(op, ast.USub) else _formula(operand)
        case ast.Compare():
            return where(_condition(node), 1.0, 0.0)
        case ast.IfExp(test=test, body=then, orelse=otherwise):
            return where(_condition(test), _formula(then), _formula(otherwise))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _called(name, arguments)
    raise ValueError(f"{type(node).__name__} is no part of an expression")


def _called(name: str, arguments: list[ast.expr]) -> Value:
    if name == "where":
        return where(_condition(arguments[0]), _formula(arguments[1]), _formula(arguments[2]))
    found, *others = map(_formula, arguments)
    for value in others:  # min and max take several
        found = call(name, found, value)
    return found if others else call(name, found)


def _condition(node: ast.expr) -> Node:
    if not isinstance(node, ast.Compare):
        return Node("!=", (_formula(node), 0))
    values = [_formula(node.left), *map(_formula, node.comparators)]
    pairs = [Node(SIGNS[type(op)], pair) for op, pair in zip(node.ops, pairwise(values), strict=True)]
    return reduce(lambda a, b: Node("and", (a, b)), pairs)


def _snippet(node: ast.expr) -> str:
    try:
        text = ast.unparse(node)
    except (ValueError, RecursionError):  # a literal with more digits than Python prints
        return "a number that long"
    return text if len(text) <= 60 else text[:57] + "..."
