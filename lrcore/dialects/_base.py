"""Formulas of `lrcore.numerics.formulas` written as Python in several libraries."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

from lrcore.numerics.formulas import Node, NoFormula, Value

MAX_CODE = 1_000_000  # characters
MAX_WRITTEN = 50_000  # operations and numbers of a formula
WIDTH = 100
IN_A_ROW = 8  # numbers of a long list


@dataclass(frozen=True)
class Translation:
    """Code of another framework.

    Attributes:
        exact: whether its rates are lrserve's own.
        notes: what differs, and what the code leaves out.
    """

    code: str
    exact: bool
    notes: tuple[str, ...]


PRECEDENCE = {
    "where": 0, "or": 1, "and": 2, "not": 3, "<": 4, "<=": 4, ">": 4, ">=": 4, "==": 4, "!=": 4, "+": 6, "-": 6,
    "*": 7, "/": 7, "//": 7, "%": 7, "neg": 8, "**": 9,
}  # fmt: skip
ATOM = 11
PREFIXES = {"neg": "-", "not": "not "}
FUNCTIONS = "cos sin tan cosh sinh tanh exp expm1 log log10 log1p log2 sqrt floor ceil"  # of the same name everywhere
Text = tuple[str, int]  # with its precedence


@dataclass(frozen=True)
class Language:
    """How operations are written.

    Attributes:
        calls: format of each operation that is a call, by its name; {0}, {1}, … are its operands.
        where: the function that chooses; None for Python's own conditional expression.
    """

    calls: dict[str, str]
    where: str | None = None


def _calls(module: str, names: str) -> dict[str, str]:
    return {name: f"{module}.{name}({{0}})" for name in names.split()}


MATH = Language(
    _calls("math", f"{FUNCTIONS} atan")
    | {"abs": "abs({0})", "min": "min({0}, {1})", "max": "max({0}, {1})", "pi": "math.pi"}
    | {"trunc": "int({0})", "round": "round({0})", "round_to": "round({0}, {1})"}
    | {"passed": "bisect.bisect_right({0}, {1})", "pick": "{0}[{1}]"},
)
JAX = Language(
    _calls("jnp", f"{FUNCTIONS} abs trunc round")
    | {"min": "jnp.minimum({0}, {1})", "max": "jnp.maximum({0}, {1})", "pi": "jnp.pi"}
    | {"atan": "jnp.arctan({0})", "round_to": "jnp.round({0}, {1})"}
    | {"passed": 'jnp.searchsorted(jnp.array({0}), {1}, side="right")', "pick": "jnp.array({0})[{1}]"}
    | {name: f"jnp.logical_{name}({{0}}, {{1}})" for name in ("and", "or")}
    | {"not": "jnp.logical_not({0})", "real": "jnp.asarray({0}, float)"},
    where="jnp.where",
)
KERAS = Language(
    _calls("ops", f"{FUNCTIONS} abs trunc round")
    | {"min": "ops.minimum({0}, {1})", "max": "ops.maximum({0}, {1})", "pi": "math.pi"}
    | {"atan": "ops.arctan({0})", "round_to": "ops.round({0}, {1})"}
    | {"passed": 'ops.sum(ops.cast(ops.array({0}) <= {1}, "int32"))', "pick": "ops.take(ops.array({0}), {1})"}
    | {name: f"ops.logical_{name}({{0}}, {{1}})" for name in ("and", "or")}
    | {"not": "ops.logical_not({0})", "real": 'ops.cast({0}, "float32")'},
    where="ops.where",
)


def number(value: float) -> str:
    """A number as Python reads it back."""
    if isinstance(value, int) and abs(value) < 2**31:  # jax takes no larger integers
        return str(value)
    return repr(float(value)) if math.isfinite(value) else f'float("{value}")'


@dataclass
class Program:
    """The functions that a formula is written as.

    Attributes:
        functions: their text, each after those it calls.
    """

    language: Language
    functions: list[str] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    written: int = 0

    def define(self, name: str, body: Value) -> None:
        """Write the function `name` of t."""
        lines: list[str] = []
        write = partial(self._text, t="t", named={}, lines=lines)
        returned: list[str] = []
        while self.language.where is None and isinstance(body, Node) and body.op == "where":
            condition, then, body = body.args
            returned += [f"if {write(condition)[0]}:", f"    return {write(then)[0]}"]
        returned.append(f"return {write(body)[0]}")
        self.functions.append(f"def {name}(t):\n" + textwrap.indent("\n".join([*lines, *returned]), "    "))

    def inline(self, body: Value, variable: str) -> str:
        """A formula without names, as an expression of a variable."""
        return self._text(body, variable, {}, [])[0]

    def _text(self, node: Value, t: str, named: dict[int, str], lines: list[str]) -> Text:
        self._count(1)
        if not isinstance(node, Node):
            return number(node), ATOM if node >= 0 else PRECEDENCE["neg"]
        write = partial(self._text, t=t, named=named, lines=lines)
        match node.op:
            case "t":
                return t, ATOM
            case "let":
                return self._named(node, write, named, lines), ATOM
            case "apply":
                return f"{self._part(node.args[0])}({write(node.args[1])[0]})", ATOM
            case "passed" | "pick":
                # Python makes a tuple of numbers once, and a list at each call
                self._count(len(node.args[0]))
                values = _listed(node.args[0], "[]" if self.language.where else "()")
                return self.language.calls[node.op].format(values, write(node.args[1])[0]), ATOM
            case "where":
                return self._where(*map(write, node.args))
            case op if op in self.language.calls:
                text = self.language.calls[op].format(*(write(arg)[0] for arg in node.args))
                return text, PRECEDENCE.get(op, ATOM)
        return self._operator(node, write)

    def _count(self, more: int) -> None:
        self.written += more
        if self.written > MAX_WRITTEN:
            _refuse()

    def _where(self, condition: Text, then: Text, otherwise: Text) -> Text:
        if self.language.where is not None:
            return written(self.language.where, *(Code(arg[0]) for arg in (condition, then, otherwise))), ATOM
        return f"{_within(then, 1)} if {condition[0]} else {otherwise[0]}", 0

    def _operator(self, node: Node, write: Callable[[Value], Text]) -> Text:
        own = PRECEDENCE[node.op]
        if node.op in PREFIXES:
            return f"{PREFIXES[node.op]}{_within(write(node.args[0]), own)}", own
        left, right = map(write, node.args)
        power = node.op == "**"
        least = PRECEDENCE["neg"] if power else own + 1  # of what is on the right
        return f"{_within(left, own + power)} {node.op} {_within(right, least)}", own

    def _named(self, node: Node, write: Callable[[Value], Text], named: dict[int, str], lines: list[str]) -> str:
        if id(node) not in named:
            name, value = node.args
            text = write(value)[0]
            others = [f"{name}_{i}" for i in range(2, len(named) + 2)]
            named[id(node)] = next(free for free in [name, *others] if free not in named.values())
            lines.append(f"{named[id(node)]} = {text}")
        return named[id(node)]

    def _part(self, body: Node) -> str:
        if id(body) not in self.names:
            own = len(self.names) + 1
            self.names[id(body)] = f"part_{own}"
            self.define(f"part_{own}", body)
        return self.names[id(body)]


def _within(operand: Text, least: int) -> str:
    return operand[0] if operand[1] >= least else f"({operand[0]})"


def _listed(values: Sequence[float], brackets: str) -> str:
    texts = list(map(number, values))
    line = ", ".join(texts) + ("," if len(texts) == 1 and brackets == "()" else "")
    if len(line) > WIDTH - 20:
        rows = [", ".join(texts[i : i + IN_A_ROW]) for i in range(0, len(texts), IN_A_ROW)]
        line = "".join(f"\n    {row}," for row in rows) + "\n"
    return f"{brackets[0]}{line}{brackets[1]}"


class Code(str):
    """Text that is Python already."""


def _refuse() -> NoReturn:
    message = f"the code would be longer than {MAX_CODE:,} characters: translate the schedule's parts one by one"
    raise NoFormula((), message)


def written(function: str, *positional: Any, **arguments: Any) -> Code:
    """A call, on one line if it fits."""
    items = [*map(literal, positional), *(f"{name}={literal(value)}" for name, value in arguments.items())]
    if sum(map(len, items)) > MAX_CODE:
        _refuse()
    line = f"{function}({', '.join(items)})"
    if len(line) <= WIDTH and "\n" not in line:
        return Code(line)
    return Code("\n".join([f"{function}(", *(textwrap.indent(item, "    ") + "," for item in items), ")"]))


def literal(value: Any) -> str:
    """A validated value as Python reads it back."""
    match value:
        case Code():
            return value
        case bool() | None:
            return repr(value)
        case str():
            return json.dumps(value)
        case int():
            return str(value)
        case float():
            return number(value)
        case dict():
            return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
        case list() | tuple():
            items = [literal(item) for item in value]
            line = f"[{', '.join(items)}]"
            if len(line) <= WIDTH - 20 and "\n" not in line:
                return line
            return "\n".join(["[", *(textwrap.indent(item, "    ") + "," for item in items), "]"])
    raise TypeError(f"no literal for {type(value).__name__}")


def module(imports: Sequence[str], *blocks: str) -> str:
    """A file: the imports, those of the standard library first and only where they are used, then its blocks."""
    body = "\n\n\n".join(blocks)
    standard = [f"import {name}" for name in ("bisect", "math") if f"{name}." in body]
    groups = ["\n".join(group) for group in (standard, imports) if group]
    gap = "\n\n" if blocks[0].startswith("schedule =") else "\n\n\n"
    if len(body) > MAX_CODE:
        _refuse()
    return "\n\n".join(groups) + gap + body + "\n"
