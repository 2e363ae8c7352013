"""Formulas of `lrcore.formulas` written as Python in several libraries, and evaluated."""

from __future__ import annotations

import bisect
import json
import math
import operator
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lrcore.dialects import CHECKED
from lrcore.errors import CurveError
from lrcore.formulas import Node, NoFormula, Value, check_operations
from lrcore.grid import Grid
from lrcore.schedules import Rates, Schedule

MAX_CODE = 1_000_000  # characters
MAX_WRITTEN = 50_000  # operations and numbers of a formula
EXACT_FLOAT64 = 1e-9  # of the largest rate
EXACT_FLOAT32 = 4e-7  # leaves room for libraries that round otherwise: what is exact agrees to 1e-6
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


# ---------------------------------------------------------------- writing

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
    | {"not": "jnp.logical_not({0})"},
    where="jnp.where",
)
KERAS = Language(
    _calls("ops", f"{FUNCTIONS} abs trunc round")
    | {"min": "ops.minimum({0}, {1})", "max": "ops.maximum({0}, {1})", "pi": "math.pi"}
    | {"atan": "ops.arctan({0})", "round_to": "ops.round({0}, {1})"}
    | {"passed": 'ops.sum(ops.cast(ops.array({0}) <= {1}, "int32"))', "pick": "ops.take(ops.array({0}), {1})"}
    | {name: f"ops.logical_{name}({{0}}, {{1}})" for name in ("and", "or")}
    | {"not": "ops.logical_not({0})"},
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


# ---------------------------------------------------------------- evaluating


def _scalar_where(condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    return then() if condition else otherwise()


def _array_where(condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    return np.where(condition, then(), otherwise())


OPERATORS: dict[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "neg": operator.neg, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
SCALARS: dict[str, Callable[..., Any]] = OPERATORS | {
    **{name: getattr(math, name) for name in [*FUNCTIONS.split(), "atan"]},
    "abs": abs,
    "min": min,
    "max": max,
    "trunc": int,
    "round": round,
    "round_to": round,
    "and": lambda a, b: a and b(),
    "or": lambda a, b: a or b(),
    "not": operator.not_,
    "pi": lambda: math.pi,
    "number": lambda value: value,
    "where": _scalar_where,
    "passed": bisect.bisect_right,
    "pick": operator.getitem,
}
SINGLES: dict[str, Callable[..., Any]] = OPERATORS | {
    **{name: getattr(np, name) for name in [*FUNCTIONS.split(), "abs", "trunc"]},
    "atan": np.arctan,
    "min": np.minimum,
    "max": np.maximum,
    "round": np.round,
    "round_to": lambda value, digits: np.round(value, int(digits)),
    "and": lambda a, b: np.logical_and(a, b()),
    "or": lambda a, b: np.logical_or(a, b()),
    "not": np.logical_not,
    "pi": lambda: np.float32(np.pi),
    "number": np.float32,
    "where": _array_where,
    "passed": lambda edges, t: np.searchsorted(edges, t, side="right"),
    "pick": lambda values, i: np.array(values, np.float32)[i],
}


def evaluate(node: Value, t: Any, arithmetic: dict[str, Callable[..., Any]], named: dict[int, Any]) -> Any:
    """What the code written for a node computes at `t`."""
    if not isinstance(node, Node):
        return arithmetic["number"](node)
    at = partial(evaluate, t=t, arithmetic=arithmetic, named=named)
    match node.op:
        case "t":
            return t
        case "let":
            if id(node) not in named:
                named[id(node)] = at(node.args[1])
            return named[id(node)]
        case "apply":
            return evaluate(node.args[0], at(node.args[1]), arithmetic, {})
        case "passed" | "pick":
            return arithmetic[node.op](node.args[0], at(node.args[1]))
        case "and" | "or":
            return arithmetic[node.op](at(node.args[0]), partial(at, node.args[1]))
        case "where":
            condition, then, otherwise = node.args
            return arithmetic["where"](at(condition), partial(at, then), partial(at, otherwise))
    return arithmetic[node.op](*map(at, node.args))


def first_rates(schedule: Schedule, base_lr: float) -> Rates:
    """lrserve's own rates on the first steps, up to the first one at which there is none."""
    with np.errstate(all="ignore"):
        rates = schedule.rates(
            Grid(0, 1, min(CHECKED, CHECKED if schedule.length is None else schedule.length)), base_lr
        )
    bad = np.flatnonzero(~(rates >= 0) | np.isinf(rates))
    rates = rates[: bad[0]] if len(bad) else rates
    if not len(rates):
        raise CurveError(("schedule",), "the schedule has no rate at step 0")
    return rates


def wrong_in_float64(formula: Value, rates: Rates) -> list[str]:
    """What differs where Python computes the formula one step at a time; nothing if it is exact."""
    found, wrong = step_by_step(formula, range(len(rates)))
    return wrong or _wrong(np.array(found), rates, EXACT_FLOAT64, "float64")


def step_by_step(formula: Value, steps: Iterable[int]) -> tuple[list[float], list[str]]:
    """Values in Python's own arithmetic, and where it ends with an error."""
    check_operations(formula)
    found: list[float] = []
    for t in steps:
        try:
            found.append(float(evaluate(formula, t, SCALARS, {})))
        except (ArithmeticError, ValueError, TypeError) as error:  # TypeError: a root of a negative number is complex
            wrong = f"at step {t} Python stops with {type(error).__name__}, where lrserve goes on"
            return found, [wrong]
    return found, []


def wrong_in_float32(formula: Value, rates: Rates) -> list[str]:
    """What differs where a library computes the formula in float32; nothing if it is exact."""
    check_operations(formula)
    with np.errstate(all="ignore"):
        found = evaluate(formula, np.arange(len(rates), dtype=np.float32), SINGLES, {})
    return _wrong(np.broadcast_to(np.asarray(found, dtype=np.float64), rates.shape), rates, EXACT_FLOAT32, "float32")


def _wrong(found: NDArray[np.float64], rates: Rates, tolerance: float, arithmetic: str) -> list[str]:
    with np.errstate(all="ignore"):
        off = float(np.max(np.abs(found - rates)) / max(float(rates.max()), 1e-300))
    if off <= tolerance:
        return []
    return [f"{arithmetic} loses digits: up to {off:.1g} of the largest rate in the first {len(rates)} steps"]
