"""Requests for curves that may take longer than they are said to: drawn from the fields' types, then made worse."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError

from lrcore.curve import CurveRequest, sample, table_cost
from lrcore.errors import CurveError
from lrcore.expressions.expression import CycleExpression, Expression
from lrcore.family import Spec
from lrcore.numerics.grid import Grid
from lrcore.schedules import SCHEDULES, Schedule
from tests.lrcore.strategies import flat

Json = dict[str, Any]

REFERENCE = 0.01  # seconds that `reference` takes on the machine that the figures are from
FLOATS = (
    *(0.0, 5e-324, 1e-310, 2.3e-308, 1e-300, 1e-200, 1e-100, 1e-17, 1e-8, 1e-3, 0.1, 0.5, 0.9, 0.999, 0.9999999),
    *(1.0, 1.0000001, 1.001, 1.01, 1.5, 2.0, 3.7, 10.0, 1000.0, 1e6, 1e15, 1e100, 1e300),
)
INTEGERS = (0, 1, 2, 3, 7, 64, 100, 1000, 4097, 10**5, 10**6, 10**9 + 7, 10**12, 10**15)
CONSTANTS = ("0", "1", "2", "0.5", "7", "1e-300", "5e-324", "1e300", "0.999999", "1.0000001", "1e-8", "pi")
PATTERNS = ("{0}+{1}", "{0}-{1}", "{0}*{1}", "{0}/{1}", "{0}%{1}", "{0}//{1}", "min({0},{1})", "max({0},{1})",
            "({0})**2", "({0})**0.5", "({0})**-1.5", "0.999999**({0})", "1e-300**({0}/1e6)", "cos({0})", "sin({0})",
            "exp({0})", "exp(-({0}))", "log({0})", "sqrt({0})", "abs({0})", "floor({0})", "where({0}<{1},{0},{1})",
            "({0} if {1} else {0})", "({0} and {1})", "({0} or {1} or {0})", "(not {0})", "({0} in [{1},1,2,3])",
            "round({0})", "round({0},{2})", "int({0})", "tan({0})", "tanh({0})", "sinh({0})", "cosh({0})", "expm1({0})",
            "log1p({0})", "log2({0})", "log10({0})", "atan({0})", "exp2({0})", "clip({0},0,{1})")  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A request that was measured.

    Attributes:
        seconds: of the processor, on the machine that the figures are from.
        limit: what it was said to take at most.
    """

    seconds: float
    limit: float
    fields: Json

    @property
    def ratio(self) -> float:
        """How many times as long it took."""
        return self.seconds / self.limit


def drawn(random: Random, name: str) -> Json | None:
    """A request for a curve of one family; None if no draw made one that is accepted."""
    for _ in range(30):
        fields: Json = {
            "base_lr": random.choice(FLOATS),
            "start": random.choice((0, 0, 1, 5000, random.randrange(10**6), random.randrange(10**15))),
            "stride": random.choice((1, 1, 2, 7, 1000, 10**6, random.randrange(1, 10**11))),
            "steps": random.choice((1, 2, 30, 300, 3000, 30_000, 300_000)),
            "schedule": _spec(random, SCHEDULES[name], 3),
        }
        if SCHEDULES[name].metric_driven:
            fields = _with_metrics(random, fields)
        if accepted(fields) is not None:
            return fields
    return None


def worse(random: Random, fields: Json) -> Json:
    """The request with something in it changed."""
    new = copy.deepcopy(fields)
    places = list(_places(new))
    for _ in range(random.choice((1, 1, 2))):
        holder, key = random.choice(places)
        match holder[key]:
            case bool() | None:
                holder[key] = random.choice((True, False))
            case int() as old:
                holder[key] = random.choice((*INTEGERS, old * 3, old // 3, old + 1))
            case float() as old:
                holder[key] = random.choice((*FLOATS, old * old, old * 3, old / 3))
            case str() if key in ("lr_lambda", "scale_fn"):
                holder[key] = _expression(random, "x" if key == "scale_fn" else "step")
    if "metrics" in new:
        new = _with_metrics(random, new)
    return new


def accepted(fields: Json) -> CurveRequest | None:
    """The request, if it is not refused."""
    try:
        return CurveRequest.model_validate(fields)
    except ValidationError:
        return None


def slowness() -> float:
    """How many times as long this machine takes as the one that the figures are from, 1 if it is faster."""
    return max(1.0, reference() / REFERENCE)


def reference() -> float:
    """Seconds of the processor that a fixed mixture of arithmetic and Python takes."""
    values = np.linspace(1.0, 2.0, 1 << 14)
    out = np.empty_like(values)

    def once() -> float:
        began = time.process_time()
        for _ in range(70):
            np.multiply(values, 1e-310, out=out)
        for i in range(40_000):
            float(i)
        return time.process_time() - began

    return min(once() for _ in range(5))


def measured(request: CurveRequest, slow: float, repeats: int = 1) -> Found:
    """How long a curve takes, at best."""
    limit = cost_of(request)

    def once() -> float:
        began = time.process_time()
        with suppress(CurveError):
            sample(request)
        return time.process_time() - began

    seconds = min(once() for _ in range(repeats)) / slow
    return Found(seconds, limit, request.model_dump(mode="json"))


def cost_of(request: CurveRequest) -> float:
    """Seconds that it is said to take at most."""
    return table_cost(request.schedule, len(request.base_lrs), Grid(request.start, request.stride, request.steps)) / 1e9


def _with_metrics(random: Random, fields: Json) -> Json:
    last = min(fields["start"], 20_000) + min(fields["steps"], 10_000) - 1
    pattern = random.choice(("falling", "flat", "noise"))
    values = {
        "falling": np.linspace(1, 0.1, last + 1),
        "flat": np.ones(last + 1),
        "noise": np.arange(last + 1) % 7 - 3.0,
    }
    return fields | {
        "start": min(fields["start"], 20_000), "stride": 1, "steps": min(fields["steps"], 10_000),
        "metrics": values[pattern][:last].tolist(),
    }  # fmt: skip


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Everything in JSON that may be changed: what holds it, and where."""
    pairs = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    for key, value in pairs[:40]:
        if key == "metrics":
            continue
        if isinstance(value, dict | list):
            yield from _places(value)
        elif key != "type":
            yield tree, key


def _spec(random: Random, cls: type[Spec], depth: int) -> Json:
    spec: Json = {}
    for name, field in cls.model_fields.items():
        if name == "type":
            spec["type"] = random.choice(cls.names()) if issubclass(cls, Schedule) else ""
        elif field.is_required() or random.random() < 0.5:
            spec[name] = _value(random, name, field.annotation, list(flat(field.metadata)), depth)
    if "milestones" in spec and isinstance(spec.get("schedulers"), list):
        count = len(spec["schedulers"]) - 1
        spec["milestones"] = sorted(random.sample(range(1, random.choice((100, 10**6, 10**12))), count))
    if isinstance(spec.get("values"), list):
        spec["values"] = [random.choice(FLOATS) for _ in range(len(spec["boundaries"]) + 1)]
    return spec


def _value(random: Random, name: str, annotation: Any, metadata: list[Any], depth: int) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value(random, name, arguments[0], [*metadata, *flat(arguments[1:])], depth)
    if origin is Literal:
        return random.choice(arguments)
    if any(each is SCHEDULES for each in metadata):
        return _part(random, depth)
    if origin in (Union, UnionType):
        return _value(random, name, random.choice([a for a in arguments if "tuple" not in str(a)]), metadata, depth)
    if origin is tuple:
        if "StepIndex" in str(arguments[0]) or "int" in str(arguments[0]):
            many = random.choice((1, 3, 300))
            return sorted(random.sample(range(1, random.choice((1000, 10**9))), many))
        return [_value(random, name, arguments[0], [], depth) for _ in range(random.choice((1, 2, 3)))]
    if origin is dict:
        return {str(random.randrange(1, 10**6)): random.choice(FLOATS) for _ in range(random.choice((1, 4, 1000)))}
    return _scalar(random, annotation, metadata, depth)


def _scalar(random: Random, annotation: Any, metadata: list[Any], depth: int) -> Any:
    if annotation is NoneType:
        return None
    if annotation is bool:
        return random.random() < 0.5
    if issubclass(annotation, Expression):
        return _expression(random, "x" if issubclass(annotation, CycleExpression) else "step")
    if issubclass(annotation, Spec):
        return _spec(random, annotation, depth)
    fitting = [value for value in (INTEGERS if annotation is int else FLOATS) if _within(value, metadata)]
    return random.choice(fitting or [-0.5])


def _part(random: Random, depth: int) -> Json:
    simple = [
        cls
        for cls in SCHEDULES.values()
        if not cls.metric_driven and (depth > 0 or not {"schedulers", "schedule"} & set(cls.model_fields))
    ]
    return _spec(random, random.choice(simple), depth - 1)


def _expression(random: Random, variable: str) -> str:
    text = variable
    for _ in range(random.choice((1, 2, 4, 8))):
        other = random.choice((*CONSTANTS, variable))
        text = f"({random.choice(PATTERNS).format(text, other, random.choice((0, 3, 15)))})"
        if len(text) > 400:
            break
    return text


def _within(value: float, metadata: list[Any]) -> bool:
    for bound in metadata:
        match bound:
            case Ge(ge=least) if value < least:
                return False
            case Gt(gt=least) if value <= least:
                return False
            case Le(le=most) if value > most:
                return False
            case Lt(lt=most) if value >= most:
                return False
    return True
