"""How errors are printed for people and for programs, and the exit status of each."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from lrcore.errors import message
from lrcore.text import visible
from lrserve.output import say

# what a wrong command line raises; Typer exports only this kind of it
USAGE: type[typer.BadParameter] = typer.BadParameter.__base__  # type: ignore[assignment]


class Status(IntEnum):
    """What the exit status of a command says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NO_ANSWER = 3
    NOT_SUCCEEDED = 4


MEANINGS = {
    Status.DONE: "it is done; of a job that was watched: it has succeeded",
    Status.FAILED: "the server refused, or something on this machine went wrong",
    Status.USAGE: "the command line is wrong",
    Status.NO_ANSWER: "the server does not answer",
    Status.NOT_SUCCEEDED: "the job that was watched has ended, but not succeeded",
}


class Group(TyperGroup):
    """The commands, with their errors as one line for people, or as one of JSON if the command line asks for it."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit."""
        args = list(sys.argv[1:] if args is None else args)
        self._as_json = "--json" in args
        if not (self._as_json and standalone_mode):
            return super().main(args, prog_name, complete_var, standalone_mode, windows_expand_args, **extra)
        try:
            status = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except USAGE as error:
            tell_json({"title": "Wrong command line", "detail": error.format_message()}, Status.USAGE)
            sys.exit(Status.USAGE)
        sys.exit(status if isinstance(status, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Raises typer.Exit for the errors that have an explanation."""
        try:
            return super().invoke(ctx)
        except USAGE as error:  # Typer prints it
            error.message = visible(error.message, keep="\n")
            raise
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except Exception as error:
            explained = explain(error)
            if explained is None:
                raise
            status, problem, lines = explained
            if getattr(self, "_as_json", False):
                tell_json(problem, status)
            else:
                for line in lines:
                    tell(f"lrserve: {line}")
            raise typer.Exit(int(status)) from None


def explain(error: Exception) -> tuple[Status, dict[str, Any], list[str]] | None:
    """The exit status of an error, its problem, and lines for people; None if it is a fault of the program."""
    from pydantic import ValidationError

    from lrcore.plugins import PluginError
    from lrserve.client import ApiError, NoAnswer

    text = str(error)
    if isinstance(error, PluginError):
        return Status.FAILED, {"title": "Plug-in cannot be used", "detail": text}, [text]
    if isinstance(error, ApiError):
        status = Status.NO_ANSWER if isinstance(error, NoAnswer) else Status.FAILED
        keyless = ["LRSERVE_KEY takes a key, and `lrserve keys create` makes one"] if error.status == 401 else []
        return status, error.problem or {"title": "No answer of lrserve", "detail": text}, [text, *keyless]
    if isinstance(error, ModuleNotFoundError):
        text = _missing(str(error.name))
        return Status.FAILED, {"title": "Not installed", "detail": text}, [text]
    if "redis" in sys.modules and (explained := _of_the_service(error)):
        return explained
    if isinstance(error, OSError):
        text = f"{error.filename}: {error.strerror}" if error.filename else text
        return Status.FAILED, {"title": "Error of the system", "detail": text}, [text]
    if isinstance(error, ValidationError):  # of the settings: all else the server validates
        lines = [_setting(each) for each in error.errors()]
        return Status.FAILED, {"title": "Wrong setting", "detail": "; ".join(lines)}, lines
    return None


def _missing(module: str) -> str:
    if sys.platform == "win32" and module in ("fcntl", "resource"):
        return "the service runs on Linux and macOS: on Windows, install it in WSL. Curves and the client work here"
    return (
        f"this needs {module}, which is not installed: pip install 'lrserve[all]', or 'lrserve[server]' for everything "
        "but workers. Or, without installing: uvx --from 'lrserve[all]' lrserve ..."
    )


def _of_the_service(error: Exception) -> tuple[Status, dict[str, Any], list[str]] | None:
    """What `explain` says of the errors of commands that need more than the client."""
    from lrcore.store.connection import RedisError
    from lrserve.embedded import NoRedis
    from lrserve.supervisor import SupervisorError

    text = str(error)
    if isinstance(error, NoRedis | SupervisorError):
        return Status.FAILED, {"title": "Cannot run", "detail": text}, [text]
    if isinstance(error, RedisError):  # of the commands that work on it themselves
        text = f"Redis: {text.rstrip('.')}; `lrserve doctor` says more"
        return Status.FAILED, {"title": "Redis refused the command, or does not answer", "detail": text}, [text]
    return None


def _setting(error: Any) -> str:
    name = "_".join(map(str, error["loc"])).upper()
    return f"LRSERVE_{name}: {message(error)}"


def tell(line: str) -> None:
    """A line of an error, in red where there is a terminal."""
    say(line, err=True, colour="red")


def tell_json(problem: dict[str, Any], status: Status) -> None:
    """An error for programs: {"error": problem+json, "exit_status": …} on standard error."""
    say(json.dumps({"error": problem, "exit_status": int(status)}), err=True)
