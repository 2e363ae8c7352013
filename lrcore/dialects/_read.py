"""From other frameworks' names and arguments to lrserve's: {"type": "paddle.StepDecay", ...}."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

from lrcore import dialects
from lrcore.schedules import SCHEDULES

# whose names are read: more than those that code is written for
FRAMEWORKS = tuple(module.name for module in pkgutil.iter_modules(dialects.__path__) if not module.name.startswith("_"))


def read(data: Any) -> Any:
    """The JSON of a schedule with every `framework.Name` in it as lrserve says it.

    A name that lrserve took over from its framework is the same without the prefix. A framework's other names are the
    functions in READERS of its module here, which take its arguments by their names.

    Raises:
        ValueError: the framework has no such schedule, or it takes other arguments.
    """
    if isinstance(data, list | tuple):
        return [each if isinstance(each, int | float) else read(each) for each in data]
    if not isinstance(data, dict):
        return data
    fields = {name: read(value) for name, value in data.items()}
    framework, dot, name = str(fields.get("type", "")).partition(".")
    if not dot or framework not in FRAMEWORKS:
        return fields
    arguments = {key: value for key, value in fields.items() if key != "type"}
    reader = importlib.import_module(f"lrcore.dialects.{framework}").READERS.get(name)
    if reader is None:
        home = SCHEDULES[name].__module__.rpartition(".")[2] if name in SCHEDULES else None
        coined_elsewhere = home in FRAMEWORKS and home != framework
        if home is None or coined_elsewhere:
            raise ValueError(f"{framework} has no schedule {name[:80]!r} that is known here")
        return {"type": name} | arguments
    try:
        inspect.signature(reader).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{framework}.{name}: {error}") from None
    return reader(**arguments)
