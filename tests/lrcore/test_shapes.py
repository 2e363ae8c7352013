"""What is wrong inside a list or an object is said of its place inside, wherever a single value could stand instead."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any

import pytest
from pydantic import TypeAdapter, ValidationError

import lrcore.compare
import lrcore.optimizers
import lrcore.schedules  # noqa: F401
from lrcore.curve import CurveRequest
from lrcore.family import Spec
from lrserve.api.routes import discovered

Json = dict[str, Any]


def specs(cls: type[Spec] = Spec) -> Iterator[type[Spec]]:
    for each in cls.__subclasses__():
        yield each
        yield from specs(each)


@cache
def fields() -> dict[str, TypeAdapter[Any]]:
    """Every field of every spec whose value may have several shapes, those of routes' bodies included."""
    list(discovered())
    found = {}
    for cls in dict.fromkeys(cls for cls in specs() if cls.__module__.startswith(("lrcore.", "lrserve."))):
        cls.model_rebuild()
        for name, schema in properties(cls).items():
            if len(shapes(schema)) > 1 and not takes_anything(schema):
                field = cls.model_fields[name]
                kind: Any = Annotated[field.annotation, None, *field.metadata]
                found[f"{cls.__name__}.{name}"] = TypeAdapter(kind)
    return found


def properties(cls: type[Spec]) -> Json:
    """The schemas of a spec's fields."""
    schema = cls.model_json_schema(by_alias=False)
    return schema.get("$defs", {}).get(cls.__name__, schema)["properties"]  # in $defs if it may contain itself


def takes_anything(schema: Json) -> bool:
    """Whether it is any JSON, in which nothing can be wrong yet."""
    return any(option.get("items") == {} for option in schema.get("anyOf", []))


def shapes(schema: Json) -> set[str]:
    """Of the values that a schema admits, as far as its first level says: list, object, one."""
    if "$ref" in schema or "oneOf" in schema:
        return {"object"}
    if "anyOf" in schema:
        return set().union(*map(shapes, schema["anyOf"]))
    kind = schema.get("type")
    return set() if kind == "null" else {{"array": "list", "object": "object"}.get(str(kind), "one")}


def errors(adapter: TypeAdapter[Any], value: Any) -> list[Any]:
    with pytest.raises(ValidationError) as refused:
        adapter.validate_python(value)
    return refused.value.errors()


def of_shape(shape: str) -> dict[str, TypeAdapter[Any]]:
    """The fields that may have a shape, besides others."""
    return {name: adapter for name, adapter in fields().items() if shape in shapes(adapter.json_schema())}


def test_there_are_such_fields() -> None:
    assert {"LambdaLR.lr_lambda", "CurveRequest.base_lr", "NamedCurve.base_lr", "CyclicLR.max_lr", "CIFAR10.normalize",
            "Normalization.mean", "OneCycleLR.max_momentum"} <= fields().keys()  # fmt: skip


def test_an_error_in_a_list_is_in_the_list() -> None:
    for name, adapter in of_shape("list").items():
        found = errors(adapter, [{}, {}])

        # pydantic counts the good items of a list: api.problems leaves that out
        assert {error["loc"][-1] for error in found if error["type"] != "too_short"} == {0, 1}, name


def test_a_list_that_is_too_long_is_said_to_be() -> None:
    for name, adapter in of_shape("list").items():
        assert [error["type"] for error in errors(adapter, [0.5] * 1000)] == ["too_long"], name


def test_an_error_in_an_object_is_in_the_object() -> None:
    for name, adapter in of_shape("object").items():
        assert all(len(error["loc"]) >= 2 for error in errors(adapter, {"nothing": 1})), name


def test_a_wrong_single_value_is_one_error() -> None:
    for name, adapter in fields().items():
        assert len(errors(adapter, b"?")) == 1, name


def test_a_value_is_written_as_it_was_read() -> None:
    for base_lr in (0.1, [0.1, 0.2], [0.1]):
        fields = {"steps": 3, "base_lr": base_lr, "schedule": {"type": "LambdaLR", "lr_lambda": "1"}}

        assert CurveRequest.model_validate(fields).model_dump(mode="json")["base_lr"] == base_lr
