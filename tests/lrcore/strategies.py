"""Drawn schedules: the JSON of any registered class, from the types and bounds of its fields alone.

A new schedule needs no line here as long as its fields use the usual aliases: a field without a range in RANGES takes
one that follows from its bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import HealthCheck, reject, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from lrcore.expressions.expression import CycleExpression, Expression
from lrcore.family import Spec, Whole
from lrcore.numerics.grid import Grid
from lrcore.numerics.lengths import Span
from lrcore.schedules import SCHEDULES, AnySchedule, Rates, Schedule
from lrcore.schedules.plateau import MetricSchedule
from tests.examples import examples

Json = dict[str, Any]

CALLS = {name: cls for name, cls in SCHEDULES.items() if not cls.metric_driven}  # the functions of the step
for _cls in SCHEDULES.values():
    _cls.model_rebuild()  # else the fields of those around other schedules are not resolved before first use
PARSE: TypeAdapter[Schedule] = TypeAdapter(AnySchedule)

EXPRESSIONS = (
    "1",
    "0.95 ** epoch",
    "1 / sqrt(step + 1)",
    "1 - 1 / (epoch + 10)",
    "min(1, (step + 1) / 10)",
    "where(epoch < 10, 1, 0.1)",
    "1 if epoch % 7 < 3 else 0.5",
    "0.5 ** (epoch // 10)",
    "max(0.01, 1 - epoch / 100)",
    "0.6 + 0.5 * cos(pi * epoch / 50)",
    "exp(-step / 40)",
    "abs(sin(epoch / 9)) + 0.1",
    "0.1 if epoch in [3, 5, 20] else 1",
    "epoch < 5 and 0.1 or 1",
    "0.5 if not epoch % 7 and epoch > 0 else 1",
    "0.5 ** ((epoch >= 8) + (epoch in (20, 40)))",
)
CYCLE_EXPRESSIONS = (
    "1",
    "1 / (x + 1)",
    "0.9 ** x",
    "1 / 2 ** (x - 1)",
    "max(0.1, 1 - 0.05 * x)",
    "1 if x % 2 == 0 else 0.5",
    "exp(-x / 30)",
)

COUNTS = (1, 40)
RANGES: dict[str, tuple[float, float]] = {  # by field name, where the bounds alone would say little
    "b": (-2.0, -0.1),
    "base_lr": (0.01, 1.0),
    "base_momentum": (0.5, 0.9),
    "cooldown": (0, 6),
    "div_factor": (1.0, 100.0),
    "epochs": (1, 8),
    "final_div_factor": (1.0, 1e5),
    "last_epoch": (-1, 30),
    "log2_steps": (0, 6),
    "lr_end": (1e-9, 1e-3),
    "cycle_limit": (1, 5),
    "decay_t": (0.5, 40.0),
    "cycle_mul": (0.5, 3.0),
    "cycles": (1, 5),
    "growth": (1.0, 3.0),
    "lb": (-8.0, -1.0),
    "ub": (0.5, 8.0),
    "stable_timescale": (1.0, 100.0),
    "t_mul": (1.0, 3.0),
    "num_cycles": (1, 5),
    "max_momentum": (0.85, 0.99),
    "milestones": (0, 60),
    "patience": (0, 6),
    "period_lengths": (40, 80),
    "power": (0.0, 4.0),
    "steps_per_epoch": (1, 8),
    "T_mult": (1, 4),
    "t_max": (60, 120),
    "threshold": (1e-4, 0.5),
    "total_steps": (2, 80),
    "transition_begin": (-2, 40),
    "transition_steps": (-2, 40),
}
GROWING = (0.3, 1.2)  # what multiplies again and again
SHRINKING = (0.3, 1.0)


def laws(count: int) -> settings:
    """Settings under which every run draws the same examples."""
    return settings(
        max_examples=examples(count),
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )


def parse(spec: Json) -> Schedule:
    return PARSE.validate_python(spec)


def accepted(spec: Json) -> bool:
    try:
        parse(spec)
    except ValidationError:
        return False
    return True


@dataclass(frozen=True)
class Limits:
    """What may be drawn.

    Attributes:
        depth: levels of nesting below a composite.
        growth: whether a factor may exceed 1.
        parts: names of the schedules that a composite may have.
    """

    depth: int = 2
    growth: bool = True
    parts: tuple[str, ...] = tuple(CALLS)


@cache
def specs(cls: type[Schedule], limits: Limits = Limits()) -> st.SearchStrategy[Json]:
    """Valid JSON of one class, any registered schedule."""
    drawn = {name: values(name, field, limits) for name, field in cls.model_fields.items() if name != "type"}
    needed = {name for name in drawn if cls.model_fields[name].is_required()}

    @st.composite
    def build(draw: st.DrawFn) -> Json:
        for _ in range(10):  # a class whose fields depend on one another refuses some draws
            spec: Json = {"type": cls.name()}
            for name, strategy in drawn.items():
                if name in needed or draw(st.booleans()):
                    spec[name] = draw(strategy)
            if isinstance(spec.get("schedulers"), list) and "milestones" in spec:
                wanted = len(spec["schedulers"]) - 1
                milestones = st.lists(st.integers(1, 60), min_size=wanted, max_size=wanted, unique=True)
                spec["milestones"] = sorted(draw(milestones))
            if accepted(spec):
                return spec
        reject()

    return build()


def schedules(cls: type[Schedule], limits: Limits = Limits()) -> st.SearchStrategy[Schedule]:
    """Validated schedules of one class, as `specs` draws them."""
    return specs(cls, limits).map(parse)


def values(name: str, field: FieldInfo, limits: Limits = Limits()) -> st.SearchStrategy[Any]:
    """JSON values of one field."""
    return _values(name, field.annotation, list(flat(field.metadata)), limits)


def is_composite(cls: type[Schedule]) -> bool:
    return bool({"schedulers", "schedule"} & set(cls.model_fields))


Steps = NDArray[np.int64]


def without_last_epoch(spec: Json) -> Json:
    """The spec with every last_epoch at its default, parts included."""
    plain = {name: value for name, value in spec.items() if name != "last_epoch"}
    if "schedulers" in plain:
        plain["schedulers"] = [without_last_epoch(part) for part in plain["schedulers"]]
    if "schedule" in plain:
        plain["schedule"] = without_last_epoch(plain["schedule"])
    return plain


def horizon(schedule: Schedule, most: int = 200) -> Steps:
    """The first steps, as many as the schedule has."""
    return np.arange(most if schedule.length is None else min(most, schedule.length), dtype=np.int64)


def rates(schedule: Schedule, t: Steps, base_lr: float = 0.1, group: int = 0) -> Rates:
    """Rates at `t`; an overflow is no warning here, since `table` refuses it by its step."""
    if isinstance(schedule, MetricSchedule):
        metrics = [1 / (1 + i) + 0.05 * (i % 3) - 0.3 * (i > 60) * (i % 2) for i in range(int(t.max(initial=0)))]
        return schedule.follow([base_lr] * (group + 1), metrics)[group, t]
    with np.errstate(all="ignore"):
        values = [schedule.rates(part, base_lr, group) for part in grids(t)]
    return np.concatenate([np.zeros(0), *values])


def momentum(schedule: Schedule, t: Steps, group: int = 0) -> Rates | None:
    with np.errstate(all="ignore"):
        values = [schedule.momentum(part, group) for part in grids(t)] or [schedule.momentum(Grid(0, 1, 0), group)]
    return None if values[0] is None else np.concatenate([v for v in values if v is not None])


def grids(t: Steps) -> list[Grid]:
    """Steps in any order as one grid if they are evenly spaced, else as a grid each."""
    if len(t) > 1 and t[1] > t[0] and (np.diff(t) == t[1] - t[0]).all():
        return [Grid(int(t[0]), int(t[1] - t[0]), len(t))]
    return [Grid(int(step)) for step in t]


def assert_same_bits(actual: Rates | None, expected: Rates | None) -> None:
    if actual is None or expected is None:
        assert actual is expected
    else:
        np.testing.assert_array_equal(actual.view(np.int64), expected.view(np.int64))


def _values(name: str, annotation: Any, metadata: list[Any], limits: Limits) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(name, arguments[0], [*metadata, *flat(arguments[1:])], limits)
    if origin is Literal:
        return st.sampled_from(arguments)
    if any(each is SCHEDULES for each in metadata):
        return _parts(limits)
    if origin in (Union, UnionType):
        kept = [a for a in arguments if not _is_tuple(a)] or list(arguments)  # one value for all parameter groups
        return st.one_of([_values(name, a, metadata, limits) for a in kept])
    if origin is tuple:
        return _lists(name, arguments[0], limits)
    if origin is dict:
        keys = st.integers(1, 60).map(str)
        return st.dictionaries(keys, _values(name, arguments[1], [], limits), min_size=1, max_size=4)
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return _fields(annotation, limits).filter(lambda fields: _accepts(annotation, fields))
    return _scalars(name, annotation, metadata, limits)


def _fields(cls: type[Spec], limits: Limits) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({name: values(name, field, limits) for name, field in cls.model_fields.items()})


def _accepts(cls: type[Spec], fields: Json) -> bool:
    try:
        cls.model_validate(fields)
    except ValidationError:
        return False
    return True


def _scalars(name: str, annotation: Any, metadata: list[Any], limits: Limits) -> st.SearchStrategy[Any]:
    if annotation is NoneType:
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        return _integers(name, metadata)
    if annotation is float:
        return _floats(name, metadata, limits)
    if issubclass(annotation, Expression):
        return st.sampled_from(CYCLE_EXPRESSIONS if issubclass(annotation, CycleExpression) else EXPRESSIONS)
    raise TypeError(f"no values for the field {name!r} of type {annotation!r}")


def _lists(name: str, item: Any, limits: Limits) -> st.SearchStrategy[list[Any]]:
    items = _values(name, item, [], limits)
    if get_origin(item) is Annotated and get_args(item)[0] is int:
        return st.lists(items, min_size=1, max_size=4, unique=True).map(sorted)
    return st.integers(1, 3).flatmap(lambda n: st.lists(items, min_size=n, max_size=n))


def _parts(limits: Limits) -> st.SearchStrategy[Json]:
    classes = [
        cls for name, cls in CALLS.items() if name in limits.parts and (limits.depth > 1 or not is_composite(cls))
    ]
    return st.sampled_from(classes).flatmap(lambda cls: specs(cls, replace(limits, depth=limits.depth - 1)))


def _integers(name: str, metadata: list[Any]) -> st.SearchStrategy[int]:
    low, high = RANGES.get(name, COUNTS)
    for bound in metadata:
        match bound:
            case Ge(ge=least):
                low = max(low, least) if name in RANGES else min(low, least)
            case Le(le=most):
                high = min(high, most)
    return st.integers(int(low), int(high))


def _floats(name: str, metadata: list[Any], limits: Limits) -> st.SearchStrategy[float]:
    low, high, excluded = 0.0, np.inf, set()
    for bound in metadata:
        match bound:
            case Ge(ge=least) | Gt(gt=least):
                low = max(low, least)
            case Le(le=most) | Lt(lt=most):
                high = min(high, most)
        excluded |= {getattr(bound, "gt", None), getattr(bound, "lt", None)}
    if name in RANGES:
        drawn = st.floats(*RANGES[name])
    elif high < np.inf:
        drawn = st.floats(max(low, 0.05), high) | st.sampled_from([low, high, 1e-3])
    elif low in excluded:
        drawn = st.floats(*(GROWING if limits.growth else SHRINKING))
    else:
        drawn = st.floats(-6, 0).map(lambda power: float(10**power)) | st.just(0.0)
    return drawn.filter(lambda value: value not in excluded)


def flat(metadata: Any) -> Iterator[Any]:
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from flat(item.metadata)
        elif isinstance(item, Whole):
            bounds = ((Ge, item.least if isinstance(item, Span) else item.ge), (Le, item.le), (Lt, item.lt))
            yield from (bound(value) for bound, value in bounds if value is not None)
        else:
            yield item


def _is_tuple(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_tuple(get_args(annotation)[0])
    return get_origin(annotation) is tuple
