"""Formulas evaluated as the code written for them is, and compared with lrserve's own rates."""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrcore.dialects import CHECKED
from lrcore.dialects._base import FUNCTIONS
from lrcore.dialects._integers import LAST_STEP, Function
from lrcore.errors import CurveError
from lrcore.numerics import cost
from lrcore.numerics.cost import Load
from lrcore.numerics.formula_values import OPERATIONS
from lrcore.numerics.formulas import Node, Value, check_operations
from lrcore.numerics.grid import Grid
from lrcore.schedules import Rates, Schedule

EXACT_FLOAT64 = 1e-9  # of the largest rate
EXACT_FLOAT32 = 4e-7  # leaves room for libraries that round otherwise: what is exact agrees to 1e-6
FAR = 100_000  # steps up to which float32 is tried
MOST_NUMBERS = 64  # whole numbers of a formula around whose multiples it is tried
MULTIPLES = 64  # of each of them
AFFORDABLE = 2e8  # nanoseconds of one core for lrserve's own rates there


def _scalar_where(condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    return then() if condition else otherwise()


def _array_where(condition: Any, then: Callable[[], Any], otherwise: Callable[[], Any]) -> Any:
    return np.where(condition, then(), otherwise())


SCALARS: dict[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "**": operator.pow, "neg": operator.neg, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
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
}  # fmt: skip
SINGLES: dict[str, Callable[..., Any]] = OPERATIONS | {
    "trunc": np.trunc,
    "round": np.round,
    "round_to": lambda value, digits: np.round(value, int(digits)),
    "and": lambda a, b: np.logical_and(a, b()),
    "or": lambda a, b: np.logical_or(a, b()),
    "pi": lambda: np.float32(np.pi),
    "number": lambda value: value if isinstance(value, int) and abs(value) < 2**31 else np.float32(value),
    "real": lambda value: np.asarray(value, np.float32),
    "where": _array_where,
    "pick": lambda values, i: _numbers(values)[i],
}


def _numbers(values: tuple[float, ...]) -> NDArray[Any]:
    whole = all(isinstance(value, int) and abs(value) < 2**31 for value in values)
    return np.array(values, np.int32 if whole else np.float32)


def _quotient(above: Any, below: Any) -> Any:
    """Divide as XLA does: by a constant, it multiplies by the reciprocal."""
    if np.ndim(above) and not np.ndim(below):
        return above * (np.float32(1) / np.float32(below))
    return above / below


def _rounded_up(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: np.nextafter(np.float32(function(*args)), np.float32(np.inf))


COMPILED = SINGLES | {"/": _quotient}
# libraries differ in the last digit of these, which a root of 1 + cos near its end shows
EXACT = ("sqrt", "floor", "ceil")
ROUNDED = COMPILED | {
    name: _rounded_up(SINGLES[name]) for name in [*FUNCTIONS.split(), "atan", "**"] if name not in EXACT
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


def wrong_in_float32(formula: Value, function: Function, schedule: Schedule, base_lr: float) -> list[str]:
    """Return what differs where a library computes a function in float32, step by step or compiled; nothing if exact.

    It is tried on the first steps, on some up to FAR, and around the multiples of the formula's whole numbers.

    Args:
        formula: the function's, without its integers.
    """
    check_operations(formula)
    steps, rates = [np.arange(len(first := first_rates(schedule, base_lr)))], [first]
    with np.errstate(all="ignore"):
        for grid in _further(formula, schedule):
            steps.append(grid.integers())
            rates.append(schedule.rates(grid, base_lr))
    t, expected = np.concatenate(steps), np.concatenate(rates)
    known = np.isfinite(expected) & (expected >= 0)
    t, expected = t[known], expected[known]
    for arithmetic in (SINGLES, COMPILED, ROUNDED):
        with np.errstate(all="ignore"):
            found = evaluate(function.body, t.astype(np.int32 if function.whole else np.float32), arithmetic, {})
        found = np.broadcast_to(np.asarray(found, dtype=np.float64), expected.shape)
        if wrong := _wrong(found, expected, EXACT_FLOAT32, "float32", t):
            return wrong
    return []


def _further(formula: Value, schedule: Schedule) -> Iterator[Grid]:
    """Yield evenly spaced steps, no more than are worth their time."""
    last = LAST_STEP if schedule.length is None else min(LAST_STEP, schedule.length - 1)
    grids = [Grid(CHECKED, FAR // CHECKED, CHECKED)]
    for number in sorted(_whole_numbers(formula))[:MOST_NUMBERS]:
        count = max(1, min(MULTIPLES, FAR // number))
        grids += [Grid(number + aside, number, count) for aside in (-1, 0, 1)]
    spent = 0.0
    for grid in grids:
        grid = grid.part(0, grid.before(last + 1))
        if not grid.count:
            continue
        spent += schedule.cost(Load.of(grid)) + cost.CALL
        if spent > AFFORDABLE:
            return
        yield grid


def _whole_numbers(formula: Value) -> set[int]:
    """Return the whole numbers, from 2, that a formula has, up to a few more than MOST_NUMBERS."""
    found: set[int] = set()
    waiting: list[Any] = [formula]
    seen: set[int] = set()
    while waiting and len(found) < 2 * MOST_NUMBERS:
        match waiting.pop():
            case int() as number if 2 <= number < LAST_STEP:
                found.add(number)
            case Node(op, args) as node if id(node) not in seen:
                seen.add(id(node))
                waiting += [*args[0][:MOST_NUMBERS], args[1]] if op in ("passed", "pick") else args
    return found


def _wrong(
    found: NDArray[np.float64], rates: Rates, tolerance: float, arithmetic: str, t: NDArray[np.int64] | None = None
) -> list[str]:
    with np.errstate(all="ignore"):
        off = np.abs(found - rates) / max(float(rates.max()), 1e-300)
    worst = int(off.argmax())  # NaN is the largest
    if off[worst] <= tolerance:
        return []
    step = worst if t is None else int(t[worst])
    return [f"{arithmetic} loses digits: {off[worst]:.1g} of the largest rate at step {step}"]
