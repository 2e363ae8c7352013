"""The literals that a Python file assigns to names. Its code is parsed, and never executed."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

NOT_READ = object()
OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
}
MAX_DEPTH = 32


def assigned(text: str) -> dict[str, Any]:
    """The values of all names that a module assigns literals to, as JSON has them.

    Literals are numbers, texts, lists, tuples and dictionaries, arithmetic of numbers, names assigned before, and calls
    with arguments by name: `dict(a=1)` is an object, `StepLR(optimizer, step_size=30)` is one whose `type` is StepLR.
    Everything else is left out.

    Raises:
        ValueError: it is no Python.
    """
    try:
        module = ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: this is not Python: {error.msg}") from None
    found: dict[str, Any] = {}
    for statement in module.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        read = _value(value, found, 0)
        found.pop(name, None)
        if read is not NOT_READ:
            found[name] = read
    return found


def _value(node: ast.expr, names: dict[str, Any], depth: int) -> Any:
    """What an expression is as JSON; NOT_READ if it is no literal."""
    if depth > MAX_DEPTH:
        raise ValueError(f"it nests too deep; {MAX_DEPTH} levels are read")
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.Name(id=name):
            return names.get(name, NOT_READ)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return _all([_value(item, names, depth + 1) for item in items])
        case ast.Dict(keys=keys, values=values):
            return _object(keys, values, names, depth)
        case ast.Call():
            return _call(node, names, depth)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            number = _value(operand, names, depth + 1)
            return -number if _is_number(number) else NOT_READ
        case ast.BinOp(left=left, op=op, right=right):
            return _arithmetic(op, _value(left, names, depth + 1), _value(right, names, depth + 1))
    return NOT_READ


def _all(items: list[Any]) -> Any:
    return NOT_READ if any(item is NOT_READ for item in items) else items


def _object(keys: list[ast.expr | None], values: list[ast.expr], names: dict[str, Any], depth: int) -> Any:
    """A dictionary; its values that are not literals are left out."""
    found: dict[str, Any] = {}
    for key, value in zip(keys, values, strict=True):
        if not isinstance(key, ast.Constant) or not isinstance(key.value, str | int):
            return NOT_READ
        read = _value(value, names, depth + 1)
        if read is not NOT_READ:
            found[str(key.value)] = read
    return found


def _call(node: ast.Call, names: dict[str, Any], depth: int) -> Any:
    """A call as an object: its arguments by name, and its function as `type`, unless that is dict."""
    function = _dotted(node.func)
    bound = [arg for arg in node.args if not (isinstance(arg, ast.Name | ast.Attribute) and arg is node.args[0])]
    if function is None or bound or any(keyword.arg is None for keyword in node.keywords):
        return NOT_READ
    found: dict[str, Any] = {} if function == "dict" else {"type": function}
    for keyword in node.keywords:
        value = _value(keyword.value, names, depth + 1)
        if value is NOT_READ and keyword.arg == "type":
            value = _dotted(keyword.value) or NOT_READ  # a class, as newer configurations name it
        if value is not NOT_READ:
            found[keyword.arg or ""] = value
    return found


def _dotted(node: ast.expr) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _arithmetic(op: ast.operator, left: Any, right: Any) -> Any:
    function = OPERATIONS.get(type(op))
    if function is None or not (_is_number(left) and _is_number(right)):
        return NOT_READ
    try:
        found = function(left, right)
    except (ZeroDivisionError, OverflowError):
        return NOT_READ
    return found if math.isfinite(found) else NOT_READ
