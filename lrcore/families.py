"""All four families, with the plug-ins that LRSERVE_PLUGINS names."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from lrcore import plugins
from lrcore.datasets import DATASETS
from lrcore.family import Member
from lrcore.models import MODELS
from lrcore.optimizers import OPTIMIZERS
from lrcore.plugins import PluginError
from lrcore.schedules import SCHEDULES

FAMILIES: dict[str, Mapping[str, type[Member]]] = {
    "schedules": SCHEDULES,
    "models": MODELS,
    "datasets": DATASETS,
    "optimizers": OPTIMIZERS,
}


def load() -> dict[str, dict[str, list[str]]]:
    """Build every family. Raises PluginError if a plug-in cannot be used.

    Returns:
        By plug-in, as name==version, and family: the names of the members that it adds.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for plugin in plugins.load():
        members = {kind: {n: c for n, c in each.items() if plugin.module_of(c)} for kind, each in FAMILIES.items()}
        for own in members.values():
            for name, cls in own.items():
                _check_example(plugin.name, name, cls)
        found[str(plugin)] = {kind: list(own) for kind, own in members.items() if own}
    return found


def _check_example(plugin: str, name: str, cls: type[Member]) -> None:
    """Raise PluginError unless a member's example is valid."""
    try:
        cls.model_validate(cls.example | {"type": name})
    except Exception as error:  # its validators are the plug-in's code
        raise PluginError(plugin, f"the example of {name} is not valid: {error}") from error


def load_or_exit() -> None:
    """Build every family as a process starts. If a plug-in cannot be used, print one line and exit with EX_CONFIG."""
    try:
        load()
    except PluginError as error:
        print(f"lrserve: {error}", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
