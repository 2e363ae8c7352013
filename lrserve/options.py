"""What the commands share: their options, and how they reach a server."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lrcore import unique_keys
from lrserve import completion

if TYPE_CHECKING:
    from lrserve.client import Client

Url = Annotated[
    str | None,
    typer.Option(envvar="LRSERVE_URL", help="the server to talk to; http://127.0.0.1:8000 if not given", metavar="URL"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON, and errors as JSON")]
JobId = Annotated[str, typer.Argument(help="of the job", metavar="JOB", autocompletion=completion.jobs)]
ExperimentId = Annotated[
    str, typer.Argument(help="of the experiment", metavar="EXPERIMENT", autocompletion=completion.experiments)
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="file to write instead of the terminal", show_default=False)
]

RETRIES = 2  # somebody waits for the answer


def connect(url: str | None) -> Client:
    """A client of the server that the command is for. Raises ApiError."""
    from lrserve.client import Client

    return Client(url, retries=RETRIES)


def read_object(text: str, name: str) -> dict[str, Any]:
    """JSON on the command line, in a file or, for -, on standard input, as an object. Raises typer.BadParameter."""
    if text == "-":
        return parse_object(sys.stdin.buffer.read().decode("utf-8", "replace"), "-")
    if text.lstrip().startswith("{"):
        return parse_object(text, name)
    return parse_object(read_file(text), text)


def read_file(path: str) -> str:
    """A file's text. Raises typer.BadParameter."""
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{path} is no text: it is no UTF-8") from None


def parse_object(text: str, name: str) -> dict[str, Any]:
    """A JSON object. Raises typer.BadParameter."""
    try:
        value = _json(text, name)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{name} must be a JSON object")
    return value


def parse_schedule(schedule: str, parameters: list[str]) -> dict[str, Any]:
    """A schedule given as JSON, or by its type and name=value. Raises typer.BadParameter."""
    spec = parse_object(schedule, "schedule") if schedule.lstrip().startswith("{") else {"type": schedule}
    return spec | parse_values(parameters)


def parse_values(parameters: list[str]) -> dict[str, Any]:
    """name=value, … as an object. Raises typer.BadParameter."""
    found: dict[str, Any] = {}
    for parameter in parameters:
        name, equals, value = parameter.partition("=")
        if not equals:
            raise typer.BadParameter(f"{parameter!r} is not name=value")
        if name in found:
            raise typer.BadParameter(f"{name} comes twice: leave out one of the two")
        found[name] = literal(value, name)
    return found


def literal(value: str, name: str) -> Any:
    """JSON where it is JSON, else the text: 0.5, [3, 8] and true, but triangular2 and 0.95**epoch.

    Raises:
        typer.BadParameter: an object in the JSON has a key twice.
    """
    try:
        return _json(value, name)
    except json.JSONDecodeError:
        return value


def _json(text: str, name: str) -> Any:
    value = json.loads(text)
    try:
        unique_keys.check(text)
    except unique_keys.DuplicateKey as error:
        raise typer.BadParameter(f"{name}: {'.'.join(map(str, error.path))}: {error}") from None
    return value
