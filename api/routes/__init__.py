"""One module per resource. Every module here is found, and has a `router` or a list of `routers`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter


def discovered() -> Iterator[tuple[APIRouter, bool]]:
    """Yield the router of every module here, and whether it accepts query parameters that no route declares."""
    for info in iter_modules(__path__):
        if not info.name.startswith("_"):  # what several resources share
            module = import_module(f"{__name__}.{info.name}")
            for router in getattr(module, "routers", None) or [module.router]:
                yield router, getattr(module, "ANY_QUERY", False)
