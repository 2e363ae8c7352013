from __future__ import annotations

import ast
import math
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lrcore.expressions.expression import CHUNK, MAX_LENGTH, CycleExpression, Expression
from lrcore.expressions.syntax import MAX_DEPTH, MAX_NODES
from tests.lrcore.strategies import CYCLE_EXPRESSIONS, EXPRESSIONS, assert_same_bits, laws

STEPS = np.array([0, 1, 2, 3, 7, 10, 50, 1000])

POOL = [
    *EXPRESSIONS,
    "pi * epoch + e",
    "-epoch ** 2 + +step",
    "2 ** -epoch",
    "2 ** 3 ** 2",
    "7 // 2 + epoch // 3 - -7 // 2",
    "epoch % 3 + -epoch % 3 + 7.5 % -2",
    "log(1 + epoch) * exp(-epoch / 100)",
    "sqrt(epoch) + abs(3 - epoch)",
    "floor(epoch / 3) + ceil(epoch / 3)",
    "sin(epoch) ** 2 + cos(epoch) ** 2",
    "min(epoch, 5, 3) + max(1, epoch, 2, 7)",
    "1 <= epoch < 8",
    "1 < epoch < step < 8",
    "(epoch == 3) + 2 * (epoch != 3) + 4 * (epoch > 3) + 8 * (epoch >= 3)",
    "where(epoch, 2, 3)",
    "where(1 < epoch <= 7, 1 / (epoch + 1), 0.5)",
    "1 if epoch < 3 else 2 if epoch < 8 else 3",
    "1_000 + 0x10 + 1e-3 + .5",
    "  epoch  ",
]

REFUSED = {  # what is refused, and a part of what is said about it
    "epoch.real": "epoch.real is not allowed: it is an attribute: write its number",
    "args.epochs": "args.epochs is not allowed: it is an attribute: write its number",
    "np.inf": "np.inf is not allowed",
    "__import__('os')": "__import__ cannot be called",
    "__import__('os').system('true')": "system cannot be called",
    "().__class__.__bases__": "is not allowed",
    "open('/etc/passwd')": "open cannot be called",
    "get_lr(epoch)": "get_lr cannot be called: write out what it computes",
    "math.gamma(epoch)": "math.gamma cannot be called",
    "np.max(epoch, 1)": "np.max cannot be called",
    "torch.cos(torch.tensor(epoch)).item()": "item cannot be called",
    "math.cos.cos(1)": "math.cos.cos cannot be called",
    "pow(2, 3, 5)": "pow takes 2 arguments, not 3",
    "np.round(epoch, 2)": "round takes 1 argument, not 2",
    "np.log(epoch, 2)": "log takes 1 argument, not 2",
    "round(epoch, 16)": "round takes 0 to 15 digits",
    "round(epoch, -1)": "round takes 0 to 15 digits",
    "round(epoch, epoch)": "epoch is not allowed here: write an integer",
    "int('7', 8)": "int takes 1 argument, not 2",
    "float('inf')": "'inf' is not allowed: it is no number",
    "epoch(1)": "epoch cannot be called",
    "max(1, 2)(3)": r"max\(1, 2\) cannot be called",
    "lambda: 1": "must have one parameter, the step",
    "lambda a, b: 1": "must have one parameter, the step",
    "lambda *a: 1": "must have one parameter, the step",
    "lambda a, *, b: 1": "must have one parameter, the step",
    "lambda a, /: 1": "must have one parameter, the step",
    "lambda epoch, warmup=5: 1": "has a default argument: write its value",
    "lambda epoch: lambda x: x": "is not allowed: it is a lambda inside an expression",
    "lambda x: 0.9 ** epoch": "unknown name 'epoch': write its number in its place; known are x, pi, e, tau",
    "lambda max: max(1, 2)": "max cannot be called",
    "lambda math: math.pi": "math.pi is not allowed",
    "lambda epoch: 1, lambda epoch: 2": "is not allowed: it is a list",
    "lr_lambda = lambda epoch: 1": "not an expression: .*; leave out 'lr_lambda ='",
    "def f(epoch):\n    return 1": "not an expression: .* write what it returns",
    "(1)\n+(2": "not an expression",
    "1)\n+(2": "not an expression",
    "1,\n2,": "not an expression",
    "(lambda: 1)()": "cannot be called: write out what it computes",
    "[x for x in epoch]": "is not allowed: it is a comprehension: write its terms out",
    "sum(x for x in epoch)": "sum cannot be called",
    "{x: 1 for x in epoch}": "is not allowed",
    "'a'": "'a' is not allowed",
    "b'a'": "b'a' is not allowed",
    "f'{epoch}'": "is not allowed: it is an f-string",
    "(y := 1)": "is not allowed: it is an assignment",
    "epoch[0]": r"epoch\[0\] is not allowed: it is a subscript",
    "(1, 2)": "is not allowed",
    "[1]": "is not allowed",
    "{1: 2}": "is not allowed",
    "max(1, a=2)": "give the arguments of max by position",
    "max(1, **epoch)": "give the arguments of max by position",
    "max(*epoch, 1)": "epoch is not allowed: it is several arguments in one",
    "max([1])": "max takes 2 to 16 arguments, not 1",
    "min(*epoch)": "min takes 2 to 16 arguments",
    "where(*epoch)": "where takes 3",
    "True": "True is not allowed",
    "None": "None is not allowed",
    "...": "is not allowed",
    "1j": "1j is not allowed",
    "~epoch": "~epoch is not allowed: it is an operator that is not supported",
    "epoch & 1": "epoch & 1 is not allowed: it is an operator that is not supported",
    "epoch ^ 2": "epoch . 2 is not allowed: it is an operator that is not supported",
    "epoch << 2": "epoch << 2 is not allowed",
    "epoch @ 2": "epoch @ 2 is not allowed",
    "epoch in ()": "is not allowed: it is another comparison",
    "epoch in epoch": "is not allowed: it is another comparison",
    "1 < epoch in [2]": "is not allowed: it is another comparison",
    "epoch in {1: 2}": "is not allowed: it is another comparison",
    "epoch in range(epoch)": "epoch is not allowed here: write an integer",
    "epoch in range(9, 1, -1)": "range is for the step alone, counting upwards",
    "epoch / 2 in range(9)": "range is for the step alone, counting upwards",
    "epoch in range()": "is not allowed",
    "epoch is 1": "is not allowed: it is another comparison",
    f"epoch in [{', '.join(map(str, range(200)))}]": "more than 200 parts",
    "await epoch": "is not allowed",
    "9**9**9**9": "the exponent .* is beyond",
    "4000000**4000000": "the exponent 4e.06 is beyond",
    "epoch ** 1001": "the exponent 1001 is beyond",
    "epoch ** -1001": "the exponent -1001 is beyond",
    "1e400": "not a finite number",
    "1e308 * 10": "not a finite number",
    "9" * 900: "not a finite number",
    "0x" + "F" * 900: "not a finite number",
    "1 / 0": "1 / 0 is not a finite number",
    "log(0)": r"log\(0\) is not a finite number",
    "(-8) ** 0.5": "not a finite number",
    "where(epoch < 5, 1, 1 / 0)": "1 / 0 is not a finite number",
    '"-"*5000+"1"': "is not allowed",
    "-" * 5000 + "1": "5001 characters, more than 1000",
    "-" * 900 + "1": "nested more than 30 deep",
    "1" + " + 1" * 249: "nested more than 30 deep",
    "(" * 400 + "1" + ")" * 400: "not an expression",
    "[" * 400 + "1" + "]" * 400: "not an expression",
    "abs(" * 40 + "1" + ")" * 40: "nested more than 30 deep",
    "": "not an expression",
    "   ": "not an expression",
    "\0": "not an expression",
    "1\0": "not an expression",
    "\ud800": "not an expression",
    "1; 2": "not an expression",
    "1\n2": "not an expression",
    "epoch = 1": "not an expression",
    "import os": "not an expression",
    "1 +": "not an expression",
    "yield": "not an expression",
    "lr": "unknown name 'lr': write its number in its place; known are epoch, step, pi, e, tau",
    "x": "unknown name 'x': write its number in its place; known are epoch, step, pi, e",
    "max": "unknown name 'max': write its number in its place; known are epoch, step, pi, e",
    "__builtins__": "unknown name '__builtins__'",
    "where(1, 2)": "where takes 3 .* not 2",
    "where(1, 2, 3, 4)": "where takes 3 .* not 4",
    "min(1)": "min takes 2 to 16 arguments, not 1",
    "max()": "max takes 2 to 16 arguments, not 0",
    f"max({', '.join('1' * 17)})": "max takes 2 to 16 arguments, not 17",
    "abs()": "abs takes 1 .* not 0",
    "exp(1, 2)": "exp takes 1 .* not 2",
}


@pytest.mark.parametrize("source", POOL)
def test_an_expression_means_what_it_means_in_python(source: str) -> None:
    expected = [in_python(source, t) for t in STEPS]

    np.testing.assert_allclose(Expression(source)(STEPS), expected, rtol=1e-12)


@pytest.mark.parametrize("source", CYCLE_EXPRESSIONS)
def test_a_cycle_expression_means_what_it_means_in_python(source: str) -> None:
    expected = [in_python(source, t) for t in STEPS[1:]]

    np.testing.assert_allclose(CycleExpression(source)(STEPS[1:]), expected, rtol=1e-12)


numbers = st.integers(0, 20).map(str) | st.floats(0, 100).map(repr)
leaves = numbers | st.sampled_from(["epoch", "step", "pi", "e"])


def _wider(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Operations that IEEE 754 rounds correctly, so that a difference cannot grow."""
    three = st.tuples(parts, parts, parts)
    return st.one_of(
        st.tuples(parts, st.sampled_from(["+", "-", "*", "/", "//", "%"]), parts).map(lambda p: f"({' '.join(p)})"),
        st.tuples(parts, st.sampled_from(["<", "<=", "==", "!="]), parts).map(lambda p: f"({' '.join(p)} > 0.5)"),
        three.map(lambda p: f"({p[0]} < {p[1]} >= {p[2]})"),
        three.map(lambda p: f"({p[0]} if {p[1]} else {p[2]})"),
        three.map(lambda p: f"where({', '.join(p)})"),
        three.map(lambda p: f"min({', '.join(p)})"),
        three.map(lambda p: f"max({', '.join(p)})"),
        three.map(lambda p: f"({p[0]} in [{p[1]}, {p[2]}])"),
        st.tuples(parts, st.sampled_from(["and", "or"]), parts).map(lambda p: f"({' '.join(p)})"),
        parts.map(lambda p: f"(not {p})"),
        st.tuples(st.sampled_from(["abs", "floor", "ceil", "sqrt", "int", "round", "-", "+"]), parts).map(
            lambda p: f"{p[0]}({p[1]})"
        ),
    )


exact = st.recursive(leaves, _wider, max_leaves=10)
rounded = st.one_of(
    exact,
    st.tuples(st.sampled_from(["exp", "log", "sin", "cos"]), exact).map(lambda p: f"{p[0]}({p[1]})"),
    st.tuples(exact, exact).map(lambda p: f"({p[0]}) ** ({p[1]})"),
)


@laws(400)
@given(source=rounded)
def test_a_drawn_expression_means_what_it_means_in_python(source: str) -> None:
    try:
        expression = Expression(source)
    except ValueError as refusal:
        assume(not any(words in str(refusal) for words in ("finite", "exponent", "characters", "deep", "parts")))
        raise

    values = expression(STEPS)

    for value, t in zip(values, STEPS, strict=True):
        expected = in_python_or_nan(source, t)
        if math.isfinite(expected):
            np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize("source", REFUSED, ids=lambda source: repr(source[:30]))
def test_a_text_outside_the_white_list_is_refused_with_its_reason(source: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[source]):
        Expression(source)


@pytest.mark.parametrize("source", REFUSED, ids=lambda source: repr(source[:30]))
def test_a_refusal_takes_no_time(source: str) -> None:
    started = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        Expression(source)

    assert time.process_time() - started < 1  # a thousandth of it


@pytest.mark.parametrize("source", REFUSED, ids=lambda source: repr(source[:30]))
def test_a_refusal_is_short(source: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        Expression(source)

    assert len(str(refusal.value)) < 400


def test_an_expression_may_be_as_long_as_the_limit() -> None:
    assert Expression("1".rjust(MAX_LENGTH)).constant == 1.0


def test_an_expression_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=f"{MAX_LENGTH + 1} characters"):
        Expression("1".rjust(MAX_LENGTH + 1))


def test_an_expression_may_be_as_deep_as_the_limit() -> None:
    assert Expression("-" * (MAX_DEPTH - 1) + "1").constant == -1.0


def test_an_expression_deeper_than_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match=f"more than {MAX_DEPTH} deep"):
        Expression("-" * MAX_DEPTH + "1")


def test_an_expression_with_too_many_parts_is_refused() -> None:
    sixteen = f"max({', '.join(['e'] * 16)})"
    with pytest.raises(ValueError, match=f"more than {MAX_NODES} parts"):
        Expression(f"max({', '.join([sixteen] * 12)})")


def test_brackets_alone_make_no_depth() -> None:
    assert Expression("(" * 100 + "1" + ")" * 100).constant == 1.0


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("1", 1.0),
        ("-2 ** 2", -4.0),
        ("2 * pi", 2 * math.pi),
        ("max(1, 2, 3)", 3.0),
        ("1 < 2 < 3", 1.0),
        ("1 < 2 > 3", 0.0),
        ("3 if 0 else 4", 4.0),
        ("where(2, 3, 4)", 3.0),
        ("log(e)", 1.0),
        ("7 // 2", 3.0),
    ],
)
def test_an_expression_without_the_step_is_known_to_be_constant(source: str, value: float) -> None:
    assert Expression(source).constant == value


@pytest.mark.parametrize("source", ["epoch", "step", "0 * epoch", "1 if epoch < 5 else 1", "max(1, step)"])
def test_an_expression_with_the_step_is_not_constant(source: str) -> None:
    assert Expression(source).constant is None


def test_a_constant_has_a_value_at_every_step() -> None:
    assert Expression("0.5")(STEPS).tolist() == [0.5] * len(STEPS)


def test_no_steps_have_no_values() -> None:
    assert Expression("0.9 ** epoch")(STEPS[:0]).shape == (0,)


@pytest.mark.parametrize("source", EXPRESSIONS)
def test_a_long_curve_is_the_same_in_chunks_and_in_one_go(source: str) -> None:
    expression, t = Expression(source), np.arange(2 * CHUNK + 5)
    pieces = [expression(t[start : start + 10_007]) for start in range(0, len(t), 10_007)]

    assert_same_bits(expression(t), np.concatenate(pieces))


def test_a_long_curve_has_its_own_value_at_each_step() -> None:
    t = np.arange(2 * CHUNK + 5)

    np.testing.assert_array_equal(Expression("3 * epoch + 1")(t), 3 * t + 1)


def test_a_step_is_a_float_so_that_no_arithmetic_wraps_around() -> None:
    assert Expression("step * step")(np.array([10**15])).tolist() == [1e30]


def test_what_is_not_finite_at_a_step_is_left_to_the_caller() -> None:
    values = Expression("1 / epoch")(np.array([0, 1]))

    assert values.tolist() == [math.inf, 1.0]


def test_epoch_and_step_are_one_number() -> None:
    assert Expression("epoch - step")(STEPS).tolist() == [0.0] * len(STEPS)


def test_a_cycle_expression_knows_x_alone() -> None:
    with pytest.raises(ValueError, match=r"unknown name 'epoch': .*; known are x, pi, e"):
        CycleExpression("epoch")


def test_expressions_are_equal_by_their_text_and_variables() -> None:
    assert Expression("1") == Expression("1")
    assert hash(Expression("1")) == hash(Expression("1"))
    assert Expression("1") != Expression("1.0")
    assert Expression("1") != CycleExpression("1")


@pytest.mark.parametrize("value", [1, 0.5, True, None, ["1"], {"source": "1"}])
def test_an_expression_in_json_is_a_string(value: object) -> None:
    with pytest.raises(ValidationError, match="must be a string"):
        TypeAdapter(Expression).validate_python(value)


def test_an_expression_is_written_to_json_as_it_was_read() -> None:
    adapter = TypeAdapter(Expression)

    assert adapter.dump_json(adapter.validate_json('" 0.9 ** epoch "')) == b'" 0.9 ** epoch "'


class _Floats(ast.NodeTransformer):
    """Python would compute with integers of any size."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.copy_location(ast.Constant(float(node.value)), node)  # type: ignore[arg-type]


def _extreme(choose: Callable[..., float]) -> Callable[..., float]:
    def chosen(*values: float) -> float:
        return math.nan if any(map(math.isnan, values)) else choose(*values)

    return chosen


def in_python(source: str, t: int) -> float:
    """Python's own value of the text."""
    tree = ast.fix_missing_locations(_Floats().visit(ast.parse(source.strip(), mode="eval")))
    names: dict[str, object] = {name: getattr(math, name) for name in ("cos", "e", "exp", "log", "pi", "sin", "sqrt")}
    names |= {"abs": abs, "min": _extreme(min), "max": _extreme(max)}
    whole = {"floor": math.floor, "ceil": math.ceil, "int": int, "round": round}
    names |= {name: lambda x, function=function: float(function(x)) for name, function in whole.items()}
    names |= {"where": lambda test, then, otherwise: then if test else otherwise}
    names |= dict.fromkeys(("epoch", "step", "x"), float(t))
    value = eval(compile(tree, "<expression>", "eval"), {"__builtins__": {}}, names)
    return math.nan if isinstance(value, complex) else float(value)


def in_python_or_nan(source: str, t: int) -> float:
    try:
        return in_python(source, t)
    except (ArithmeticError, TypeError, ValueError):  # Python raises where arrays have inf and nan, or goes complex
        return math.nan


def test_a_text_that_python_doubts_leaves_no_line_in_the_log() -> None:
    code = "from lrcore.expressions.expression import Expression; Expression('1if epoch else 2')"
    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == ""


def test_a_number_of_digits_may_have_a_sign() -> None:
    t = np.arange(20)
    np.testing.assert_array_equal(Expression("round(epoch / 7, -0)")(t), [round(i / 7, 0) for i in range(20)])
