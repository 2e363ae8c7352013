"""How long a value of an expression takes, from bounds on the sizes of its parts."""

from __future__ import annotations

import ast
import math
from typing import NamedTuple

from lrcore.expressions.syntax import CONSTANTS, MAX_DIGITS
from lrcore.numerics.cost import ARITHMETIC, COPY, EXP, POWER, ROOT, TRIG

LARGEST_STEP = 2.0**54
REMAINDER, REMAINDER_BIT = 15.0, 0.5  # fmod divides bit by bit: its time grows with the length of the quotient
SUBNORMAL = 200.0  # fmod of a number that has no leading digit
DECIMAL = 1200.0  # to round to decimal digits as Python does it, one value at a time
MOST_BITS = 2100  # of the quotient of two float64
DIGIT = 2.0**-53  # what is left of a number when all its digits but the last cancel
LEAST_NORMAL = 2.0**-1022


class Operand(NamedTuple):
    """What is known of a part before it is computed.

    Attributes:
        cost: nanoseconds a value.
        least, most: bounds on its absolute value where it is finite and not 0.
        varies: whether it depends on the variable; what does not is computed once.
    """

    cost: float
    least: float
    most: float
    varies: bool = True


def value_cost(body: ast.expr) -> float:
    """Nanoseconds a value of an expression that is on the white list."""
    return COPY + _operand(body).cost


def _operand(node: ast.expr) -> Operand:
    operands = [_operand(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    match node:
        case ast.Constant(value=int() | float() as value):
            size = _float(value)
            return Operand(0.0, size, size, varies=False)
        case ast.Name(id=name):
            known = CONSTANTS.get(name)
            return Operand(0.0, 1.0, LARGEST_STEP) if known is None else Operand(0.0, known, known, varies=False)
        case ast.Call():
            operands = operands[1:]  # the first is the function's name
    own, least, most = _own(node, operands)
    if not any(operand.varies for operand in operands):
        return Operand(0.0, least, most, varies=False)
    return Operand(COPY + own + sum(operand.cost for operand in operands), least, most)


def _own(node: ast.expr, operands: list[Operand]) -> tuple[float, float, float]:
    """The node's own cost, and the bounds on its size."""
    most = max(operand.most for operand in operands)
    match node:
        case ast.BinOp(op=op):
            return _binary(op, *operands)
        case ast.Compare() | ast.UnaryOp(op=ast.Not()) | ast.Call(func=ast.Name(id="in")):
            return 2 * COPY * len(operands), 1.0, 1.0
        case ast.UnaryOp():
            return 0.0, operands[0].least, most
        case ast.BoolOp():
            return 3 * COPY * len(operands), min(operand.least for operand in operands), most
        case ast.Call(func=ast.Name(id="where")):
            chosen = operands[1:]  # the condition comes first
            return 2 * COPY, min(each.least for each in chosen), max(each.most for each in chosen)
        case ast.Call(func=ast.Name(id=name)):
            return _called(name, operands, most)
    return 0.0, 0.0, math.inf


def _binary(op: ast.operator, left: Operand, right: Operand) -> tuple[float, float, float]:
    quotient = left.most / right.least if right.least else math.inf
    match op:
        case ast.Add() | ast.Sub():
            return 0.0, min(left.least, right.least) * DIGIT, left.most + right.most
        case ast.Mult():
            return ARITHMETIC, left.least * right.least, left.most * right.most
        case ast.Div():
            return ARITHMETIC, left.least / right.most if right.most else 0.0, quotient
        case ast.Mod() | ast.FloorDiv():
            bits = math.log2(max(quotient, 1.0)) if quotient < math.inf else MOST_BITS
            least = min(left.least, right.least)
            own = REMAINDER + REMAINDER_BIT * bits + (SUBNORMAL if least < LEAST_NORMAL else 0.0)
            return (own, least * DIGIT, right.most) if isinstance(op, ast.Mod) else (own, 1.0, quotient)
    if not (left.varies or right.varies) and left.most:
        either_way = [_power(left.most, right.most), _power(left.most, -right.most)]
        return 0.0, min(either_way), max(either_way)
    if not right.varies and right.most in (0.5, 1.0, 2.0):
        return 2 * ARITHMETIC + ROOT, 0.0, math.inf
    return POWER, 0.0, math.inf


def _called(name: str, operands: list[Operand], most: float) -> tuple[float, float, float]:  # noqa: C901  # a table
    match name:
        case "sin" | "cos":
            return TRIG, min(operands[0].least, 1e-20) / 2, 1.0
        case "min" | "max":
            return COPY * len(operands), min(operand.least for operand in operands), most
        case "floor" | "ceil" | "trunc":
            return COPY, 1.0, most + 1
        case "round" if len(operands) == 1:
            return COPY, 1.0, most + 1
        case "round":
            return DECIMAL, 10.0**-MAX_DIGITS, 2 * most
        case "abs":
            return 0.0, operands[0].least, most
        case "log":
            return ARITHMETIC, DIGIT, 1000.0
        case "log2" | "log10" | "log1p":
            return EXP, min(operands[0].least, DIGIT) / 4, 2000.0
        case "tan":
            return 2 * EXP, 0.0, math.inf
        case "tanh" | "atan":
            return EXP, operands[0].least / 4, 2.0
        case "sqrt":
            return ROOT, min(1.0, operands[0].least), max(1.0, most)
    return EXP, 0.0, math.inf


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf


def _float(value: float) -> float:
    try:
        return abs(float(value))
    except OverflowError:
        return math.inf
