"""Paddle: a scheduler by its name and arguments, which may hold another one."""

from __future__ import annotations

from typing import Any

from lrcore.configs._base import Context, Found, Json, Path, an_object, choose, from_spec
from lrcore.dialects._read import names
from lrcore.errors import CurveError

KEYS = ("class_name", "type", "name")
RATES = {"learning_rate", "max_learning_rate", "base_learning_rate"}


def fits(config: Any) -> bool:
    """Whether this looks like Paddle's."""
    if not isinstance(config, dict):
        return False
    given = config["args"] if isinstance(config.get("args"), dict) else config
    name = next((str(config[key]).rpartition(".")[2] for key in KEYS if key in config), "")
    return name in names("paddle") and (bool(given.keys() & RATES) or name == "PiecewiseDecay")


def read(config: Any, context: Context) -> Found:
    """Read a scheduler of paddle.optimizer.lr."""
    return Found(_schedule(config, ()))


def _schedule(config: Any, path: Path) -> Json:
    config = an_object(config, path)
    key = next((key for key in KEYS if key in config), KEYS[0])
    given = config.get(key)
    name = choose(
        given.rpartition(".")[2] if isinstance(given, str) else given, names("paddle"), "the scheduler", (*path, key)
    )
    inside = isinstance(config.get("args"), dict)
    arguments = dict(config["args"] if inside else config)
    path = (*path, "args") if inside else path
    if arguments.get("last_epoch", -1) not in (-1, 0):
        raise CurveError((*path, "last_epoch"), "a schedule begun later is not supported: leave it out")
    for each in (key, "verbose", "last_epoch"):
        arguments.pop(each, None)
    if isinstance(arguments.get("learning_rate"), dict):
        arguments["learning_rate"] = _schedule(arguments["learning_rate"], (*path, "learning_rate"))
    return from_spec("paddle", name, arguments, path)
