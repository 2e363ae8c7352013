"""Which problems OpenAPI lists for a route: most of them follow from the route's dependencies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from .problems import TITLES

Responses = dict[int | str, dict[str, Any]]
Dependency = TypeVar("Dependency", bound=Callable[..., Any])

NAMES = TITLES | {
    409: "The job's state does not allow this",
    422: "Invalid input",
    429: "A limit of the tenant is reached",
    503: "The job store is away, or too many large requests are being answered",
}
_refusals: dict[Callable[..., Any], tuple[int, ...]] = {}


def refuses(*statuses: int) -> Callable[[Dependency], Dependency]:
    """Declare the statuses with which a dependency may refuse a request; every route that has it documents them."""

    def noted(dependency: Dependency) -> Dependency:
        _refusals[dependency] = statuses
        return dependency

    return noted


def documented(*statuses: int, **also: str | dict[str, Any]) -> Responses:
    """Return OpenAPI entries for problems that no dependency declares, and for a route's other answers.

    Args:
        statuses: of problems.
        also: by status after an underscore: `_409="it is full"` names a problem, `_200={…}` is an entry as it stands.
    """
    given = {int(name.removeprefix("_")): entry for name, entry in also.items()}
    problems = {status: NAMES[status] for status in statuses}
    problems |= {status: text for status, text in given.items() if isinstance(text, str)}
    entries: Responses = {status: entry for status, entry in given.items() if isinstance(entry, dict)}
    return entries | {status: _problem(problems[status]) for status in sorted(problems)}


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


class DocumentedRoute(APIRoute):
    """A route that documents the statuses with which its dependencies may refuse a request."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        derived = {status for call in _calls(self.dependant) for status in _refusals.get(call, ())}
        self.responses = documented(*derived) | self.responses


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for dependency in dependant.dependencies:
        if dependency.call is not None:
            yield dependency.call
        yield from _calls(dependency)
