"""Plug-ins: installed distributions that bring schedules, models, data sets and optimizers of their own.

`LRSERVE_PLUGINS` names the distributions; no other is imported, whatever its entry points. In each of the groups below,
an entry point has a vendor as its name and a module as its value. Importing that module defines the members, whose
names begin with the vendor. Knows nothing of the families: they ask for the modules of their group.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution
from typing import Any

from pydantic import BaseModel

VARIABLE = "LRSERVE_PLUGINS"
GROUPS = ("schedules", "models", "datasets", "optimizers")
PREFIX = "lrserve."  # of an entry-point group, before the family's name
HEAVY = ("torch", "torchvision", "sklearn", "safetensors")  # the API must start without these
VENDOR = re.compile(r"[a-z][a-z0-9-]{0,31}")
RESERVED = ("lrserve", "torch", "torchvision")  # names that no plug-in may use
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
VERSION = re.compile(r"[A-Za-z0-9.!+_-]{1,64}")  # it becomes part of a queue's name
DISTRIBUTION = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"  # PEP 508
INSIDE = {
    "schedules": "the method that needs it",
    "models": "`build`",
    "datasets": "`load`",
    "optimizers": "`build`",
}


class PluginError(Exception):
    """A plug-in cannot be used. The message names its distribution, and what to do."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"plug-in {name!r} of {VARIABLE}: {' '.join(message.split())}")  # one line


@dataclass(frozen=True)
class Plugin:
    """A distribution that the operator has named.

    Attributes:
        name: normalized, as in PEP 503.
        vendors: the vendor of each of its modules.
        modules: by group, those whose members join the family.
    """

    name: str
    version: str
    vendors: Mapping[str, str] = field(compare=False)
    modules: Mapping[str, tuple[str, ...]] = field(compare=False)

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"

    def module_of(self, cls: type) -> str | None:
        """Return the plug-in's module in or below which a class is defined; None if there is none."""
        module = cls.__module__
        while module and module not in self.vendors:
            module = module.rpartition(".")[0]
        return module or None


class _Loader:
    """Loads the plug-ins of the environment once, before the first family is built."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._loading = False
        self._plugins: tuple[Plugin, ...] | None = None

    def load(self) -> tuple[Plugin, ...]:
        """Import every module of every plug-in that LRSERVE_PLUGINS names, in that order. Raises PluginError."""
        with self._lock:
            if self._loading:
                raise RuntimeError(
                    "the module uses the members of a family while it is imported; do so inside a method"
                )
            if self._plugins is None:
                self._loading = True
                try:
                    self._plugins = _loaded(named())
                finally:
                    self._loading = False
            return self._plugins

    def skip(self) -> None:
        """Load no plug-ins in this process, as in `lrserve doctor`."""
        self._plugins = ()


_LOADER = _Loader()
load = _LOADER.load
skip = _LOADER.skip


def named(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the distributions of LRSERVE_PLUGINS: normalized names, each once."""
    text = next((value for name, value in environment.items() if name.upper() == VARIABLE), "")
    return tuple(dict.fromkeys(_normalized(name.strip()) for name in text.split(",") if name.strip()))


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _loaded(names: Iterable[str]) -> tuple[Plugin, ...]:
    """Import all modules of the plug-ins. Raises PluginError."""
    found: list[Plugin] = []
    owners: dict[str, str] = {}
    for name in names:
        plugin = _described(name)
        for vendor in plugin.vendors.values():
            if owners.setdefault(vendor, name) != name:
                raise PluginError(name, f"the vendor {vendor!r} belongs to {owners[vendor]!r} already")
        for group, modules in plugin.modules.items():
            for module in modules:
                _import(name, module, group)
        found.append(plugin)
    return tuple(found)


def _described(name: str) -> Plugin:
    """Read a distribution's metadata. Raises PluginError."""
    if not re.fullmatch(DISTRIBUTION, name):
        raise PluginError(name, "this is not the name of a distribution; separate names by commas")
    try:
        found = distribution(name)
    except PackageNotFoundError:
        raise PluginError(name, f"it is not installed; install it, or take it out of {VARIABLE}") from None
    if not VERSION.fullmatch(found.version or ""):
        raise PluginError(name, f"its version {found.version!r} is not valid")
    vendors: dict[str, str] = {}
    modules: dict[str, tuple[str, ...]] = {}
    for group in GROUPS:
        entries = sorted(found.entry_points.select(group=PREFIX + group), key=lambda entry: entry.name)
        for entry in entries:
            _check_entry(name, entry)
            if vendors.setdefault(entry.module, entry.name) != entry.name:
                raise PluginError(name, f"its entry points name {entry.module} for two vendors")
        if entries:
            modules[group] = tuple(dict.fromkeys(entry.module for entry in entries))
    if not modules:
        groups = ", ".join(PREFIX + group for group in GROUPS)
        raise PluginError(name, f"it has no entry points in any of the groups {groups}")
    return Plugin(name, found.version, vendors, modules)


def _check_entry(name: str, entry: EntryPoint) -> None:
    where = f"its entry point {entry.name!r} in {entry.group}"
    if not VENDOR.fullmatch(entry.name):
        rule = "lower-case letters, digits and hyphens, at most 32, beginning with a letter"
        raise PluginError(name, f"{where} must be the vendor's name: {rule}")
    if entry.name in RESERVED:
        raise PluginError(name, f"{where} is reserved; choose another vendor")
    if not re.fullmatch(r"\w+(\.\w+)*", entry.value.strip()):
        raise PluginError(name, f"{where} must name a module, such as package.module, not {entry.value!r}")


def _import(name: str, module: str, group: str) -> None:
    """Import a module of a plug-in. Raises PluginError."""
    before = {library for library in HEAVY if library in sys.modules}
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever a module can do
        missing = (getattr(error, "name", None) or "").partition(".")[0]
        if missing in HEAVY:
            raise _too_heavy(name, module, group, missing) from error
        raise PluginError(name, f"{module} cannot be imported: {type(error).__name__}: {error}") from error
    for library in HEAVY:
        if library in sys.modules and library not in before:
            raise _too_heavy(name, module, group, library)


def _too_heavy(name: str, module: str, group: str, library: str) -> PluginError:
    return PluginError(
        name,
        f"{module} imports {library} when it is imported, but the API must start without it; "
        f"import {library} inside {INSIDE[group]}",
    )


def check_member(plugin: Plugin, cls: type, names: Iterable[str], base: type) -> None:
    """Raise PluginError unless a member of a plug-in is named and derived as it must be.

    Args:
        names: the values of its `type`.
        base: of its family.
    """
    where = f"{cls.__module__}.{cls.__name__}"
    vendor = plugin.vendors[plugin.module_of(cls) or ""]
    for name in names:
        given, _, rest = name.partition(":")
        if given != vendor or not NAME.fullmatch(rest):
            rule = f"must be {vendor!r}, a colon and a name of letters, digits, '_', '.' and '-'"
            raise PluginError(plugin.name, f'the type {name!r} of {where} {rule}, such as "{vendor}:{cls.__name__}"')
    for parent in cls.__mro__:
        if parent is not base and issubclass(parent, base) and parent.__module__.startswith("lrcore."):
            raise PluginError(
                plugin.name, f"{where} derives from {parent.__name__}, which is not public; derive from {base.__name__}"
            )


def used_by(spec: Any) -> dict[str, str]:
    """Return the version of each plug-in whose members a spec uses, by distribution, in alphabetical order.

    Args:
        spec: a pydantic model, with members of families anywhere inside.
    """
    plugins = load()
    if not plugins:
        return {}
    classes = {type(each) for each in _models(spec)}
    return {each.name: each.version for each in sorted(plugins, key=str) if any(map(each.module_of, classes))}


def _models(value: Any) -> Iterator[BaseModel]:
    """Every model inside a value, itself included."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseModel):
            yield each
            waiting += [*vars(each).values(), *(each.__pydantic_extra__ or {}).values()]
        elif isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
