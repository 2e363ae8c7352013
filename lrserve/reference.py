"""docs/cli.md, made from the commands: python -m lrserve.reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from lrserve.errors import MEANINGS
from lrserve.main import app

HEAD = """\
# The command

`lrserve` is a client of the service, and starts it. This page is made from the commands by `make docs`.

Every command that asks a server takes `--url`, or `LRSERVE_URL` from the environment, and the key in `LRSERVE_KEY`.
A key is no option: command lines can be read by others.

`--json` prints one JSON document on standard output; lists that may be long, and events, are one document a line. An
error is then one line on standard error, `{"error": …, "exit_status": …}`, whose `error` is the server's problem+json
where it sent one.

`lrserve --install-completion` teaches your shell to complete commands, types of schedules and their parameters, and ids
of jobs, if the server answers within a second.

The exit status says what came of a command:

"""


def page() -> str:
    """The whole page as Markdown."""
    statuses = "".join(f"| {status.value} | {meaning} |\n" for status, meaning in MEANINGS.items())
    commands = "\n".join(
        part for name, command in _commands(typer.main.get_command(app)) for part in _section(name, command)
    )
    return f"{HEAD}| status | |\n|---|---|\n{statuses}\n{commands}\n"


def _commands(group: Any, before: str = "lrserve") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


def _section(name: str, command: Any) -> Iterator[str]:
    shown = [parameter for parameter in command.params if parameter.name != "help"]
    arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
    yield f"## {name}\n"
    yield f"`{' '.join([name, '[OPTIONS]', *map(_metavar, arguments)])}`\n"
    yield f"{' '.join((command.help or '').split())}\n"
    yield "| | |\n|---|---|"
    for parameter in shown:
        options = ", ".join([*parameter.opts, *parameter.secondary_opts])
        heading = _metavar(parameter) if parameter in arguments else options
        yield f"| `{heading}` | {_told(parameter)} |"
    yield ""


def _metavar(argument: Any) -> str:
    text = argument.metavar or argument.name.upper()
    return text if argument.required or text.startswith("[") else f"[{text}]"


def _told(parameter: Any) -> str:
    text = (parameter.help or "").replace("|", "\\|")
    default = parameter.default
    if isinstance(default, bool | list | tuple) or default in (None, "") or callable(default) or parameter.required:
        return text
    return f"{text}; `{default}` if not given"


if __name__ == "__main__":
    print(page(), end="")
