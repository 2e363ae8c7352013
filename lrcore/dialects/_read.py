"""From other frameworks' names and arguments to lrserve's: {"type": "paddle.StepDecay", ...}."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from lrcore import dialects
from lrcore.errors import CurveError, message
from lrcore.schedules import SCHEDULES

# whose names are read: more than those that code is written for
FRAMEWORKS = tuple(
    module.name
    for module in pkgutil.iter_modules(dialects.__path__)
    if not (module.ispkg or module.name.startswith("_"))
)


TITLES = {"deepspeed": "DeepSpeed", "keras": "Keras", "paddle": "Paddle"}
Path = tuple[str | int, ...]
MESSAGES = {"missing_argument": "Field required", "unexpected_keyword_argument": "Extra inputs are not permitted"}


def read(data: Any, path: Path = ()) -> Any:
    """The JSON of a schedule with every `framework.Name` in it as lrserve says it.

    A name that lrserve took over from its framework is the same without the prefix. A framework's other names, and
    those that mean something else there, are the functions in READERS of its module here, which take its arguments by
    their names, validated by their annotations.

    Args:
        data: nested no deeper than `_foreign` lets pass. Its lengths are shares of what `SharesOf` names.
        path: where it lies in the caller's JSON.

    Raises:
        CurveError: the framework has no such schedule, or it takes other arguments.
    """
    if isinstance(data, list | tuple):
        return [each if isinstance(each, int | float) else read(each, (*path, i)) for i, each in enumerate(data)]
    if not isinstance(data, dict):
        return data
    fields = {name: read(value, (*path, name)) for name, value in data.items()}
    kind = fields.get("type")
    framework, dot, name = kind.partition(".") if isinstance(kind, str) else ("", "", "")
    if not dot or framework not in FRAMEWORKS:
        return fields
    arguments = {key: value for key, value in fields.items() if key != "type"}
    reader = _readers(framework).get(name)
    if reader is None:
        if name in own_names(framework):
            return {"type": name} | arguments
        known = ", ".join(names(framework))
        raise CurveError(
            (*path, "type"), f"{framework} has no schedule {name[:80]!r} that is known here; known: {known}"
        )
    try:
        return _validating(reader)(**arguments)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        argument, *inside = first["loc"]
        field = (argument, *(part for part in inside if isinstance(part, int)))  # without the members of a union
        wrong = MESSAGES.get(first["type"]) or message(first)
        raise CurveError((*path, *field), f"{framework}.{name}: {argument}: {wrong}") from None
    except CurveError as error:
        raise CurveError((*path, *error.field), f"{framework}.{name}: {error}") from None


@cache
def names(framework: str) -> tuple[str, ...]:
    """Return the names that may follow `framework.`, in alphabetical order."""
    return tuple(sorted({*own_names(framework), *_readers(framework)}, key=str.lower))


@cache
def own_names(framework: str) -> tuple[str, ...]:
    """Return the names that lrserve took over from a framework with their arguments."""
    return tuple(
        name for name, cls in SCHEDULES.items() if cls.origin.startswith(f"{framework}.") and name in cls.origin
    )


def known_elsewhere(name: str) -> str:
    """Return how to write a name that lrserve has only after that of its framework; empty if there is none."""
    found = []
    for framework in FRAMEWORKS:
        reader = _readers(framework).get(name)
        if reader is not None:
            needed = any(each.default is each.empty for each in signature(reader).parameters.values())
            example = "" if needed else f", which is read as {json.dumps(reader())} where nothing else is given"
            found.append(f"write '{framework}.{name}' for {TITLES.get(framework, framework)}'s{example}")
    return "; ".join(found)


def _readers(framework: str) -> dict[str, Callable[..., Any]]:
    readers: dict[str, Callable[..., Any]] = importlib.import_module(f"lrcore.dialects.{framework}").READERS
    return readers


@cache
def _validating(reader: Callable[..., Any]) -> Callable[..., Any]:
    return validate_call(config=ConfigDict(allow_inf_nan=False))(reader)
