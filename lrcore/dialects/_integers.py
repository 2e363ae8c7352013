"""Formulas with whole numbers kept whole, for libraries that compute in float32.

A compiler may turn the quotient t / 41 into t * (1 / 41), which is less than 1 at t = 41 in float32, so that its floor
is a step late. Where a formula floors a quotient of whole numbers, or takes its remainder, the step stays an integer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lrcore.numerics.formulas import Node, T, Value

MOST = 2**31  # an int32 stays below
LAST_STEP = 2**24  # the last whole number up to which float32 has all of them


@dataclass
class Function:
    """A formula for one function of the step.

    Attributes:
        body: has the operation `real` where a whole number is made a float.
        whole: whether its step is an integer; else it is a float.
        value: the largest magnitude of what it returns, if that is whole.
    """

    body: Value
    whole: bool
    value: int | None


def with_integers(body: Value) -> Function:
    """Return the formula with an integer step if it has a use for one, else as it is. It returns a float."""
    function = _Functions().of(body)
    if function.value is None or not isinstance(function.body, Node):
        return function
    return Function(Node("real", (function.body,)), function.whole, None)


@dataclass
class _Functions:
    found: dict[int, Function] = field(default_factory=dict)  # by the formula's identity

    def of(self, body: Value) -> Function:
        if id(body) not in self.found:
            reader = _Reader(self, whole=True)
            new, value = reader.read(body)
            if not reader.divides:
                reader = _Reader(self, whole=False)
                new, value = reader.read(body)
            self.found[id(body)] = Function(new, reader.divides, value)
        return self.found[id(body)]


Read = tuple[Value, int | None]  # a node, and its largest magnitude if it is whole


class _Reader:
    """Reads the nodes of one function.

    Attributes:
        divides: whether whole numbers are divided.
    """

    def __init__(self, functions: _Functions, *, whole: bool) -> None:
        self.functions, self.whole, self.divides = functions, whole, False
        self.done: dict[int, Read] = {}
        self.step = Node("let", ("x", Node("real", (T,))))

    def read(self, node: Value) -> Read:
        if not isinstance(node, Node):
            return (int(node), abs(int(node))) if abs(node) < MOST and node == int(node) else (node, None)
        if id(node) not in self.done:
            self.done[id(node)] = self._read(node)
        return self.done[id(node)]

    def real(self, node: Value) -> Value:
        """Return a node as a float; a number is one wherever it stands."""
        if not isinstance(node, Node):
            return node
        new, most = self.read(node)
        if most is None:
            return new
        return self.step if new is T else Node("real", (new,))

    def _read(self, node: Node) -> Read:
        match node.op, node.args:
            case "t", ():
                return T, LAST_STEP if self.whole else None
            case "let", (name, value):
                new, most = self.read(value)
                return Node("let", (name, new)), most
            case "apply", (body, arg):
                return self._apply(body, arg)
            case "passed", (edges, t):
                return Node("passed", (edges, self.read(t)[0])), len(edges)
            case "pick", (values, i):
                whole = all(isinstance(value, int) and abs(value) < MOST for value in values)
                return Node("pick", (values, self.read(i)[0])), max(map(abs, values)) if whole else None
            case "trunc", (Node("/", (above, _)) as inside,) if above is T:  # which is never negative
                return self._rounded("floor", inside)
            case (("floor" | "ceil"), (inside,)):
                return self._rounded(node.op, inside)
            case "where", (condition, *branches):
                alike, most = self._alike(branches)
                return Node("where", (self.read(condition)[0], *alike)), most
            case "**", (base, exponent):
                start = float(base) if isinstance(base, int) else self.real(base)
                return Node("**", (start, self.real(exponent))), None
        return self._arithmetic(node)

    def _apply(self, body: Value, arg: Value) -> Read:
        function = self.functions.of(body)
        new, most = self.read(arg)
        if most is None and function.whole:  # its step is no whole number here
            reader = _Reader(_Functions(), whole=False)
            return Node("apply", (reader.read(body)[0], new)), None
        self.divides = self.divides or function.whole
        return Node("apply", (function.body, new if function.whole else self.real(arg))), function.value

    def _rounded(self, op: str, inside: Value) -> Read:
        match inside:
            case Node("/", (above, int() | float() as below)) if (
                0 < below < MOST and below == int(below) and isinstance(above, Node) and self.read(above)[1] is not None
            ):
                if op == "floor":
                    return self.read(Node("//", (above, below)))
                return self.read(-Node("//", (-above, below)))
        new, most = self.read(inside)
        return (new, most) if most is not None else (Node(op, (new,)), None)

    def _alike(self, nodes: list[Value]) -> tuple[list[Value], int | None]:
        """Return nodes that are all whole or all floats, and their largest magnitude."""
        read = [self.read(node) for node in nodes]
        found = [most for _, most in read if most is not None]
        if len(found) == len(read) and any(isinstance(node, Node) for node in nodes):
            return [new for new, _ in read], max(found)
        return [self.real(node) for node in nodes], None

    def _arithmetic(self, node: Node) -> Read:
        read = [self.read(arg) for arg in node.args]
        whole = [most for _, most in read if most is not None]
        if len(whole) == len(read) and any(isinstance(new, Node) for new, _ in read):
            most = _magnitude(node.op, [new for new, _ in read], whole)
            if most is not None and most < MOST:
                self.divides = self.divides or node.op in ("//", "%")
                return Node(node.op, tuple(new for new, _ in read)), most
        logical = node.op in ("and", "or", "not")
        if logical or (node.op in ("<", "<=", ">", ">=", "==", "!=") and len(whole) == len(read)):
            return Node(node.op, tuple(new for new, _ in read)), None
        return Node(node.op, tuple(map(self.real, node.args))), None


def _magnitude(op: str, args: list[Value], most: list[int]) -> int | None:
    """Return the largest magnitude of what an operation makes of whole numbers; None if that is not whole."""
    match op, args:
        case (("+" | "-"), _):
            return most[0] + most[1]
        case "*", _:
            return most[0] * most[1]
        case "//", [_, int() as below] if below > 0:
            return most[0]
        case "%", [_, int() as below] if below > 0:
            return below
        case (("neg" | "abs" | "min" | "max"), _):
            return max(most)
    return None
