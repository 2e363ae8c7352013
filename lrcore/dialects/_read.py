"""From other frameworks' names and arguments to lrserve's: {"type": "paddle.StepDecay", ...}."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from lrcore import dialects
from lrcore.errors import CurveError
from lrcore.schedules import SCHEDULES

# whose names are read: more than those that code is written for
FRAMEWORKS = tuple(module.name for module in pkgutil.iter_modules(dialects.__path__) if not module.name.startswith("_"))


Path = tuple[str | int, ...]
MESSAGES = {"missing_argument": "Field required", "unexpected_keyword_argument": "Extra inputs are not permitted"}


def read(data: Any, path: Path = ()) -> Any:
    """The JSON of a schedule with every `framework.Name` in it as lrserve says it.

    A name that lrserve took over from its framework is the same without the prefix. A framework's other names are the
    functions in READERS of its module here, which take its arguments by their names, validated by their annotations.

    Args:
        data: nested no deeper than `lrcore.lengths` lets pass. Its lengths are shares of what `SharesOf` names.
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
    reader = importlib.import_module(f"lrcore.dialects.{framework}").READERS.get(name)
    if reader is None:
        home = SCHEDULES[name].__module__.rpartition(".")[2] if name in SCHEDULES else None
        coined_elsewhere = home in FRAMEWORKS and home != framework
        if home is None or coined_elsewhere:
            raise CurveError((*path, "type"), f"{framework} has no schedule {name[:80]!r} that is known here")
        return {"type": name} | arguments
    try:
        return _validating(reader)(**arguments)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        argument, *inside = first["loc"]
        field = (argument, *(part for part in inside if isinstance(part, int)))  # without the members of a union
        message = MESSAGES.get(first["type"], first["msg"]).removeprefix("Value error, ")
        raise CurveError((*path, *field), f"{framework}.{name}: {argument}: {message}") from None
    except CurveError as error:
        raise CurveError((*path, *error.field), f"{framework}.{name}: {error}") from None


@cache
def _validating(reader: Callable[..., Any]) -> Callable[..., Any]:
    return validate_call(config=ConfigDict(allow_inf_nan=False))(reader)
