"""Reads Python: a lambda or an expression becomes a small tree of a closed grammar.

The tree consists of nodes of Python's own `ast`, and holds only numbers, the variable under the name VARIABLE, the
names in CONSTANTS, arithmetic, comparisons, `and`, `or`, `not`, and calls of functions that are computed.
Everything else is refused, with the way out. Nothing is evaluated here, and nothing is ever run as Python.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from dataclasses import dataclass

# Python's parser has doubts about texts such as "1if x else 2", which an operator can do nothing about
FILE = "<expression>"
warnings.filterwarnings("ignore", category=SyntaxWarning, module=FILE)
warnings.filterwarnings("ignore", category=DeprecationWarning, module=FILE)

MAX_NODES = 200
MAX_DEPTH = 30
MAX_DIGITS = 15  # of round
VARIABLE = "t"

CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}
ONE = (1, 1)
ARITY: dict[str, tuple[int, int]] = {  # every function that may be called, and how many arguments it takes
    "abs": ONE, "atan": ONE, "ceil": ONE, "clip": (3, 3), "cos": ONE, "cosh": ONE, "exp": ONE, "exp2": ONE,
    "expm1": ONE, "float": ONE, "floor": ONE, "int": ONE, "log": (1, 2), "log10": ONE, "log1p": ONE, "log2": ONE,
    "max": (2, 16), "min": (2, 16), "pow": (2, 2), "round": (1, 2), "sin": ONE, "sinh": ONE, "sqrt": ONE,
    "square": ONE, "tan": ONE, "tanh": ONE, "trunc": ONE, "where": (3, 3),
}  # fmt: skip
OWN_WAY = {"abs", "atan", "clip", "float", "int", "max", "min", "round", "square", "where"}  # not so named in some
EVERYWHERE = {name: name for name in ARITY.keys() - OWN_WAY}
ARRAYS = EVERYWHERE | {
    "abs": "abs", "absolute": "abs", "arctan": "atan", "clip": "clip", "maximum": "max", "minimum": "min",
    "round": "round", "square": "square", "where": "where",
}  # fmt: skip
NUMPY = ARRAYS | {"fabs": "abs", "float64": "float", "power": "pow", "rint": "round"}
MODULES: dict[str, dict[str, str]] = {  # what is the same function in a module, by its name there
    "math": EVERYWHERE | {"atan": "atan", "fabs": "abs"},
    "np": NUMPY,
    "numpy": NUMPY,
    "jnp": NUMPY,
    "torch": ARRAYS | {"atan": "atan", "clamp": "clip"},
}

BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
UNARY = (ast.UAdd, ast.USub, ast.Not)
COMPARE = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)

CHOOSE = "choose a value with `a if epoch < 30 else b`"
TERMS = "a comprehension: write its terms out, such as (epoch >= 30) + (epoch >= 60)"
ELEMENTS = "a list or set: use one only after `in`, or as the one argument of min or max"
BITS = "an operator that is not supported: write `and`, `or` and `not` for conditions, and ** for powers"
WAYS_OUT: dict[type[ast.AST], str] = {  # what a part is that cannot be said here, and what to write
    ast.Attribute: "an attribute: write its number in its place",
    ast.Subscript: f"a subscript: write the number itself, or {CHOOSE}",
    ast.ListComp: TERMS, ast.GeneratorExp: TERMS, ast.SetComp: TERMS, ast.DictComp: TERMS,
    ast.List: ELEMENTS, ast.Tuple: ELEMENTS, ast.Set: ELEMENTS,
    ast.Dict: f"a dictionary: {CHOOSE}",
    ast.JoinedStr: "an f-string: only numbers are computed with",
    ast.Constant: "no number: write one, such as 1 for True and 0 for False",
    ast.NamedExpr: "an assignment: write the value wherever it is used",
    ast.Lambda: "a lambda inside an expression: write what it computes in its place",
    ast.Starred: "several arguments in one: write them one by one",
    ast.BinOp: BITS, ast.UnaryOp: BITS,
    ast.Compare: "another comparison: write <, <=, ==, !=, >= or >, or `in` with a list of numbers after it",
}  # fmt: skip
OTHERWISE = "no part of an expression: write numbers, arithmetic, comparisons and the functions that are known"


def read(source: str, variables: tuple[str, ...]) -> tuple[ast.expr, int]:
    """The tree of a lambda or an expression, and how many parts it has.

    Args:
        variables: the names of the variable where no lambda gives it one.

    Raises:
        ValueError: the text is no expression, is too deep or too long, or has something outside the grammar.
    """
    body = _parsed(source)
    if isinstance(body, ast.Lambda):
        variables, body = (_parameter(body),), body.body
    reader = _Reader(variables)
    return reader.tree(body, 1), reader.parts


def call(name: str, *arguments: ast.expr) -> ast.expr:
    """A call of a function by its name."""
    return ast.Call(ast.Name(name), list(arguments), [])


def is_condition(node: ast.expr) -> bool:
    """Whether a tree can be only 0 or 1."""
    match node:
        case ast.Compare() | ast.UnaryOp(op=ast.Not()) | ast.Call(func=ast.Name(id="in")):
            return True
        case ast.BoolOp(values=values):
            return all(map(is_condition, values))
    return False


def snippet(node: ast.expr) -> str:
    """A part of an expression for a message."""
    if isinstance(node, ast.Constant) and node.value == math.inf:
        return "a number beyond 1.8e308"
    try:
        text = ast.unparse(node)
    except (ValueError, RecursionError):  # a literal with more digits than Python prints
        return "a number that long"
    return text if len(text) <= 60 else text[:57] + "..."


def _parsed(source: str) -> ast.expr:
    text = source.strip()
    try:
        try:
            return ast.parse(text, FILE, mode="eval").body
        except SyntaxError:
            if "\n" not in text:
                raise
        body = ast.parse(f"({text}\n)", FILE, mode="eval").body  # lines as they stood inside the brackets of a call
    except SyntaxError as error:
        raise ValueError(f"not an expression: {error.msg}{_hint(text)}") from None
    except ValueError:
        raise ValueError("not an expression: it has characters that no text has") from None
    except (RecursionError, MemoryError):
        raise ValueError("not an expression: nested too deeply") from None
    if (body.lineno, body.col_offset) == (1, 0):  # the bracket before it was closed inside, or is part of a list
        raise ValueError("not an expression: several lines, or brackets that do not match")
    return body


def _hint(text: str) -> str:
    if text.startswith("def "):
        return f"; a function of several statements is not read: write what it returns, and {CHOOSE}"
    if found := re.match(r"[\w.]{1,60}\s{0,9}=(?!=)", text):
        return f"; leave out {found[0]!r}"
    return ""


def _parameter(head: ast.Lambda) -> str:
    given = head.args
    if given.defaults or any(given.kw_defaults):
        raise ValueError("the lambda has a default argument: write its value where it is used")
    if len(given.args) != 1 or given.posonlyargs or given.kwonlyargs or given.vararg or given.kwarg:
        raise ValueError("the lambda must have one parameter, the step: write numbers in place of the others")
    return given.args[0].arg


@dataclass
class _Reader:
    """Builds a tree.

    Attributes:
        variables: what the variable may be called.
        parts: how many parts have been read.
    """

    variables: tuple[str, ...]
    parts: int = 0

    def tree(self, node: ast.expr, depth: int) -> ast.expr:  # noqa: C901  # the grammar, as one table
        """The part in the grammar's own terms. Raises ValueError."""
        self._count(depth)
        match node:
            case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
                return node
            case ast.Name(id=name):
                return self._name(name)
            case ast.Attribute(value=ast.Name(id=module), attr=name) if self._module(module) and name in CONSTANTS:
                return ast.Name(name)
            case ast.BinOp(left=left, op=op, right=right) if isinstance(op, BINARY):
                return ast.BinOp(self.tree(left, depth + 1), op, self.tree(right, depth + 1))
            case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr() as op, right=right):
                return self._bits(node, op, self.tree(left, depth + 1), self.tree(right, depth + 1))
            case ast.UnaryOp(op=op, operand=operand) if isinstance(op, UNARY):
                return ast.UnaryOp(op, self.tree(operand, depth + 1))
            case ast.BoolOp(op=op, values=values):
                return ast.BoolOp(op, [self.tree(value, depth + 1) for value in values])
            case ast.Compare(left=left, ops=[ast.In() | ast.NotIn() as op], comparators=[container]):
                found = self._member(node, left, container, depth)
                return ast.UnaryOp(ast.Not(), found) if isinstance(op, ast.NotIn) else found
            case ast.Compare(left=left, ops=ops, comparators=others) if all(isinstance(op, COMPARE) for op in ops):
                return ast.Compare(self.tree(left, depth + 1), ops, [self.tree(each, depth + 1) for each in others])
            case ast.IfExp(test=test, body=then, orelse=otherwise):
                return call("where", *(self.tree(part, depth + 1) for part in (test, then, otherwise)))
            case ast.Call():
                return self._call(node, depth)
        raise _refusal(node)

    def _count(self, depth: int) -> None:
        self.parts += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"the expression is nested more than {MAX_DEPTH} deep")
        if self.parts > MAX_NODES:
            raise ValueError(f"the expression has more than {MAX_NODES} parts")

    def _module(self, name: str) -> bool:
        return name in MODULES and name not in self.variables

    def _name(self, name: str) -> ast.expr:
        if name in self.variables:
            return ast.Name(VARIABLE)
        if name in CONSTANTS:
            return ast.Name(name)
        known = ", ".join([*self.variables, *CONSTANTS])
        raise ValueError(f"unknown name {name[:80]!r}: write its number in its place; known are {known}")

    @staticmethod
    def _bits(node: ast.expr, op: ast.BitAnd | ast.BitOr, left: ast.expr, right: ast.expr) -> ast.expr:
        if not (is_condition(left) and is_condition(right)):
            raise _refusal(node)
        return ast.BoolOp(ast.And() if isinstance(op, ast.BitAnd) else ast.Or(), [left, right])

    def _member(self, node: ast.expr, value: ast.expr, container: ast.expr, depth: int) -> ast.expr:
        """`value in container`."""
        own = self.tree(value, depth + 1)
        match container:
            case ast.List(elts=[_, *_] as items) | ast.Tuple(elts=[_, *_] as items) | ast.Set(elts=items):
                return call("in", own, *(self.tree(item, depth + 1) for item in items))
            case ast.Call(func=ast.Name(id="range"), args=[_, *_] as bounds, keywords=[]) if len(bounds) <= 3:
                whole = [_integer(bound) for bound in bounds]
                start, stop, *step = [0, *whole] if len(whole) == 1 else whole
                if not isinstance(own, ast.Name) or own.id != VARIABLE or (step and step[0] < 1):
                    raise ValueError(f"{snippet(node)} is not allowed: range is for the step alone, counting upwards")
                inside = ast.Compare(ast.Constant(start), [ast.LtE(), ast.Lt()], [own, ast.Constant(stop)])
                if not step:
                    return inside
                place = ast.BinOp(ast.BinOp(own, ast.Sub(), ast.Constant(start)), ast.Mod(), ast.Constant(step[0]))
                self.parts += 6
                return ast.BoolOp(ast.And(), [inside, ast.Compare(place, [ast.Eq()], [ast.Constant(0)])])
        raise _refusal(node)

    def _call(self, node: ast.Call, depth: int) -> ast.expr:
        name, arguments = self._function(node.func), node.args
        if name is None:
            known = ", ".join(ARITY)
            raise ValueError(f"{snippet(node.func)} cannot be called: write out what it computes; known are {known}")
        if node.keywords:
            raise ValueError(f"{snippet(node)}: give the arguments of {name} by position, without names")
        match name, arguments:
            case "min" | "max", [ast.List(elts=items) | ast.Tuple(elts=items)]:
                arguments = items
        fewest, most = ARITY[name]
        if isinstance(node.func, ast.Attribute) and node.func.value.id != "math":  # type: ignore[attr-defined]
            most = min(most, 1) if name in ("log", "round") else most  # the second is something else there
        if not fewest <= len(arguments) <= most:
            bounds = f"{fewest} to {most} arguments" if fewest < most else f"{most} argument{'s' * (most > 1)}"
            raise ValueError(f"{name} takes {bounds}, not {len(arguments)}")
        if name == "round" and len(arguments) == 2:
            digits = _integer(arguments[1])
            if not 0 <= digits <= MAX_DIGITS:
                raise ValueError(f"{snippet(node)}: round takes 0 to {MAX_DIGITS} digits")
            arguments = [arguments[0], ast.Constant(digits)]  # -0 is no constant to Python's parser
        return _called(name, [self.tree(argument, depth + 1) for argument in arguments])

    def _function(self, function: ast.expr) -> str | None:
        """The name under which ARITY has it; None if it has not."""
        match function:
            case ast.Name(id=name) if name in ARITY and name not in self.variables:
                return name
            case ast.Attribute(value=ast.Name(id=module), attr=name) if self._module(module):
                return MODULES[module].get(name)
        return None


def _integer(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)) if not isinstance(value, bool):
            return -value
    raise ValueError(f"{snippet(node)} is not allowed here: write an integer")


def _called(name: str, arguments: list[ast.expr]) -> ast.expr:
    """A call, by the functions and the arithmetic that are computed."""
    match name, arguments:
        case "float", [value]:
            return value
        case "int", [value]:
            return call("trunc", value)
        case "pow", [base, exponent]:
            return ast.BinOp(base, ast.Pow(), exponent)
        case "square", [value]:
            return ast.BinOp(value, ast.Pow(), ast.Constant(2))
        case "exp2", [value]:
            return ast.BinOp(ast.Constant(2), ast.Pow(), value)
        case "log", [value, base]:  # as Python computes it
            return ast.BinOp(call("log", value), ast.Div(), call("log", base))
        case "clip", [value, low, high]:
            return call("min", call("max", value, low), high)
    return call(name, *arguments)


def _refusal(node: ast.expr) -> ValueError:
    return ValueError(f"{snippet(node)} is not allowed: it is {WAYS_OUT.get(type(node), OTHERWISE)}")
