"""Families of specs with one member a file: schedules, models, data sets, optimizers.

A member is registered by being defined: the family imports every module in its folder, and every module of a plug-in
that the operator has named, and takes the concrete subclasses of its base that are defined there. Modules with a
leading underscore are not members.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Generic, TypeVar, Union, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Strict
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from lrcore import plugins
from lrcore.plugins import Plugin, PluginError

Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
Name = Annotated[str, Strict(), Field(min_length=1, max_length=200)]


@dataclass(frozen=True)
class Whole:
    """A whole number in bounds, `Annotated[int, Whole(ge=1)]`, or one of a few, `Annotated[Literal[1, 3], Whole()]`.

    10.0 is one as well: JSON Schema's `integer` is any number without a fraction. Booleans and text are none.
    """

    ge: int | None = None
    le: int | None = None
    lt: int | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        bounded = core_schema.int_schema(strict=True, ge=self.ge, le=self.le, lt=self.lt)
        return core_schema.no_info_before_validator_function(self.read, bounded if source is int else handler(source))

    def read(self, value: Any) -> Any:
        """Return what `whole` does."""
        return whole(value)


def whole(value: Any) -> Any:
    """Return the integer that a float is equal to, or the value itself. Raises PydanticKnownError for a boolean."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool):
        raise PydanticKnownError("int_type")
    return value


def is_none(value: Any) -> bool:
    """Return whether a value is None, as `exclude_if` of a field that JSON leaves out then."""
    return value is None


@dataclass(frozen=True)
class Items:
    """Bounds of a list's length, which is checked before its items.

    Left to pydantic, items that are wrong would not count, and each of a million would become an error of its own.
    """

    most: int
    least: int = 0

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        inner: dict[str, Any] = dict(schema=schema)
        while (inner := inner["schema"])["type"] in ("function-before", "function-wrap"):
            pass
        inner |= {"strict": False, "max_length": self.most} | ({"min_length": self.least} if self.least else {})
        return core_schema.no_info_before_validator_function(self._check, schema)

    def _check(self, value: Any) -> Any:
        if isinstance(value, list | tuple | dict) and len(value) > self.most:
            context = {"field_type": "List", "max_length": self.most, "actual_length": len(value)}
            raise PydanticKnownError("too_long", context)
        return value


class ByShape:
    """Lets a value's shape in JSON choose the member of a union: a list, an object, or else a single value.

    Left to pydantic, what is wrong inside a list comes after the complaint that it is no single value.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        members = handler(source)["choices"]
        choices = {_shape_of(each): each for each in members}
        if len(choices) < len(members):
            raise TypeError(f"the members of {source} do not differ in shape")

        def chosen(value: Any) -> str:
            shape = "list" if isinstance(value, list | tuple) else "object" if isinstance(value, dict | Spec) else "one"
            return shape if shape in choices else "one"

        return core_schema.tagged_union_schema(choices, chosen)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        found = handler(schema)
        found["anyOf"] = found.pop("oneOf")
        return found


def _shape_of(schema: Any) -> str:
    while schema["type"].startswith("function-") and "schema" in schema:
        schema = schema["schema"]
    match schema["type"]:
        case "tuple" | "list":
            return "list"
        case "model" | "definition-ref" | "dict":
            return "object"
    return "one"


class Spec(BaseModel):
    """A validated, immutable description. Surplus fields, NaN and infinities are refused."""

    # deferred: most are validated inside another one alone, which builds them once more
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Member(Spec):
    """A spec that belongs to a family and is named in JSON by its `type`."""

    summary: ClassVar[str]
    origin: ClassVar[str]
    example: ClassVar[dict[str, Any]]

    type: str

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The values that this member's `type` can take: one, unless the class stands for a library's whole zoo."""
        return tuple(map(str, get_args(cls.model_fields["type"].annotation)))

    @classmethod
    def name(cls) -> str:
        """The first value that this member's `type` can take, and for most the only one."""
        return cls.names()[0]


M = TypeVar("M", bound=Member)


def _concrete(base: type[Member]) -> Iterator[type[Member]]:
    for cls in base.__subclasses__():
        yield from _concrete(cls)
        if get_args(cls.model_fields["type"].annotation):
            yield cls


class Family(Mapping[str, type[M]], Generic[M]):
    """The members of a family by name, in alphabetical order; in an annotation, a field that takes any of them.

    They are looked up when they are first needed, not when the family's package is imported: a plug-in imports the
    base of a family before it can define members.

    Args:
        package: whose public modules define the family's own members; its last part is the name of the family.
        path: where those modules are.
        base: of every member.
    """

    def __init__(self, package: str, path: list[str], base: type[M]) -> None:
        self._package, self._path, self._base = package, path, base

    @cached_property
    def _members(self) -> dict[str, type[M]]:
        return discover(self._package, self._path, self._base)

    def __getitem__(self, name: str) -> type[M]:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    __hash__ = object.__hash__  # as part of an annotation

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(union(self._members))


def discover(package: str, path: list[str], base: type[M]) -> dict[str, type[M]]:
    """Import each public module of `package` and return the members of `base` by name, in alphabetical order.

    Raises:
        TypeError: two members have one name, or one lacks what the catalogue shows.
        PluginError: a plug-in cannot be used.
    """
    loaded = plugins.load()
    for module in pkgutil.iter_modules(path):
        if not module.name.startswith("_"):
            importlib.import_module(f"{package}.{module.name}")
    classes = dict.fromkeys(_concrete(base))  # a class with two bases comes twice
    found: dict[str, type[M]] = {}
    for cls in classes:
        if cls.__module__.startswith(f"{package}."):
            _join(found, cls)
    for plugin in loaded:
        _join_plugin(found, plugin, package.rpartition(".")[2], base)
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _join(found: dict[str, type[M]], cls: type[Member]) -> None:
    """Add a member under its names. Raises TypeError."""
    for name in cls.names():
        if name in found:
            raise TypeError(f"{cls.__module__} and {found[name].__module__} both define {name!r}")
        found[name] = cls  # type: ignore[assignment]  # a concrete subclass of M
    shown = ("summary", "origin", "example", "formula")  # the last for schedules alone
    missing = [a for a in shown if a in cls.__class_vars__ and not hasattr(cls, a)]
    if missing:
        raise TypeError(f"{cls.__module__}.{cls.__name__} lacks {', '.join(missing)}")


def _join_plugin(found: dict[str, type[M]], plugin: Plugin, group: str, base: type[M]) -> None:
    """Add a plug-in's members of a family. Raises PluginError."""
    modules = plugin.modules.get(group, ())
    empty = set(modules)
    own = {cls.__name__ for cls in found.values() if cls.__module__.startswith("lrcore.")}
    for cls in dict.fromkeys(_concrete(base)):
        module = plugin.module_of(cls)
        if module in modules:
            empty.discard(module)
            plugins.check_member(plugin, cls, cls.names(), base)
            if cls.__name__ in own:  # the OpenAPI document names schemas by their classes
                raise PluginError(plugin.name, f"{module}.{cls.__name__} has the name of a built-in class; rename it")
            try:
                _join(found, cls)
            except TypeError as error:
                raise PluginError(plugin.name, str(error)) from error
        elif module is not None:
            raise PluginError(plugin.name, f"{module} defines {cls.__name__}, but has no entry point for the {group}")
        elif any(vars(sys.modules[each]).get(cls.__name__) is cls for each in modules):
            raise PluginError(plugin.name, f"{cls.__name__} is defined in {cls.__module__}, which no entry point names")
    if empty:
        raise PluginError(plugin.name, f"{empty.pop()} defines no member of the {group}")


def home_of(member: type[Member]) -> str:
    """Return the file or the folder of its family that a member is in, such as "optax"; "" for one of a plug-in."""
    package, _, home, *_ = [*member.__module__.split("."), "", ""]
    return home if package == "lrcore" else ""


def union(members: Mapping[str, type[M]]) -> Any:
    """The tagged union of a family's members, for use as a field's type."""
    classes = tuple(dict.fromkeys(members.values()))  # a class with several names comes as often
    if len(classes) == 1:
        return classes[0]
    return Annotated[Union[classes], Field(discriminator="type")]  # noqa: UP007  # built at run time


def describe(member: type[Member], name: str | None = None) -> dict[str, Any]:
    """What a client needs to use a member: its catalogue entry, under one of its names, the first if not given."""
    name = name or member.name()
    entry = {"type": name, "summary": member.summary, "origin": member.origin}
    if hasattr(member, "formula"):
        entry["formula"] = member.formula
    return entry | {"parameters": member.model_json_schema(), "example": member.example | {"type": name}}
