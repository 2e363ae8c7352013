"""Query parameters that a route does not know are refused, as the fields of a body are: a mistyped filter would list
everything, a mistyped dry_run would submit."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from .problems import MAX_ERRORS, MAX_NAME, Invalid, known_instead


async def only_known(request: Request) -> None:
    """Refuse a request with others, by name. Raises Invalid."""
    if not request.query_params:
        return
    known = _names(request.scope["route"].dependant)
    if unknown := [name for name in request.query_params if name not in known]:
        wrong = [name[:MAX_NAME] for name in unknown[:MAX_ERRORS]]
        raise Invalid(*[(("query", name), f"no such parameter; {known_instead(name, known)}") for name in wrong])


def _names(dependant: Any) -> list[str]:
    """The names of a route's query parameters."""
    own = [field.alias for field in dependant.query_params]
    return own + [name for part in dependant.dependencies for name in _names(part)]
