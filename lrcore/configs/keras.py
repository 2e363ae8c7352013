"""Keras: a schedule as serialize() or get_config() gives it, alone or in an optimizer's."""

from __future__ import annotations

from typing import Any

from lrcore.configs._base import Context, Found, Json, Options, Path, an_object, choose, from_spec, validated
from lrcore.configs._pieces import CONSTANT
from lrcore.dialects._read import names
from lrcore.schedules._base import Rate

# what tells a schedule without its class, by the arguments that no other one has
CONFIGS = {
    "CosineDecayRestarts": {"first_decay_steps"},
    "PiecewiseConstantDecay": {"boundaries", "values"},
    "PolynomialDecay": {"end_learning_rate"},
    "CosineDecay": {"decay_steps", "alpha"},
}


class _Rate(Options):
    learning_rate: Rate


def fits(config: Any) -> bool:
    """Whether this looks like Keras'."""
    if not isinstance(config, dict):
        return False
    return str(config.get("module", "")).startswith("keras") or "initial_learning_rate" in config or (
        isinstance(config.get("learning_rate"), dict) and "class_name" in config["learning_rate"]
    )  # fmt: skip


def read(config: Any, context: Context) -> Found:
    """Read a schedule, or that of an optimizer."""
    config = an_object(config)
    path: Path = ()
    if "learning_rate" not in config and isinstance(inner := config.get("config"), dict) and "learning_rate" in inner:
        config, path = inner, ("config",)
    if "learning_rate" in config:
        context.left_out(config.keys() - {"learning_rate", "name"})
        path = (*path, "learning_rate")
        if not isinstance(config["learning_rate"], dict):
            rate = validated(_Rate, {"learning_rate": config["learning_rate"]}, path[:-1]).learning_rate
            return Found(CONSTANT, context.rate(rate))
        config = config["learning_rate"]
    return Found(_schedule(config, path))


def _schedule(config: Json, path: Path) -> Json:
    if "class_name" in config:
        name, where = config["class_name"], (*path, "class_name")
        arguments, path = config.get("config", {}), (*path, "config")
    else:
        arguments, where = config, (*path, "name")
        name = config.get("name")
        if name not in names("keras"):
            name = next((each for each, keys in CONFIGS.items() if keys <= config.keys()), name)
    given = {key: value for key, value in an_object(arguments, path).items() if key != "name"}
    return from_spec("keras", choose(name, names("keras"), "the schedule", where), given, path)
