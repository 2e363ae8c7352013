"""The command about configurations of frameworks: read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from lrcore.errors import CurveError
from lrserve.options import AsJson
from lrserve.output import print_json, say, table

if TYPE_CHECKING:
    from lrcore.configs import Reading

app = typer.Typer()


@app.command(rich_help_panel="Schedules")
def read(
    file: Annotated[
        str,
        typer.Argument(
            help="the configuration: JSON, YAML, TOML, Python, darknet's cfg, or the flags of a command line; - for "
            "standard input",
            metavar="FILE",
        ),
    ],
    framework: Annotated[
        str | None,
        typer.Option("--from", help="whose configuration it is; guessed if not given", show_default=False),
    ] = None,
    base_lr: Annotated[
        float | None, typer.Option(help="the optimizer's rate, in place of the configuration's", show_default=False)
    ] = None,
    total_steps: Annotated[int | None, typer.Option(help="steps of the run", show_default=False)] = None,
    steps_per_epoch: Annotated[
        int | None, typer.Option(help="for what the configuration counts in epochs", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read the schedule in a framework's configuration, on this machine; nothing in the file is executed."""
    from lrcore import configs
    from lrserve.config_files import ConfigFileError, read_config

    lengths = {"total_steps": total_steps, "steps_per_epoch": steps_per_epoch}
    try:
        found = configs.read(framework, read_config(file), base_lr=base_lr, **lengths)
    except ConfigFileError as error:
        raise typer.BadParameter(str(error)) from None
    except CurveError as error:
        raise typer.BadParameter(_refusal(error)) from None
    if as_json:
        document = vars(found).copy()
        print_json({"from": document.pop("framework")} | document)
    else:
        _show(found)


def _show(found: Reading) -> None:
    say(json.dumps(found.schedule))
    say(f"\nfrom {found.framework}, base_lr {found.base_lr}, by {found.interval}")
    if found.facts is not None:
        rows = found.facts if isinstance(found.facts, list) else [found.facts]
        say(table(list(rows[0]), [list(row.values()) for row in rows]))
    for note in found.notes:
        say(f"# {note}", err=True)


def _refusal(error: CurveError) -> str:
    """A refusal, with the option or the path in the file that it is about."""
    first, *inside = error.field or ("config",)
    if first == "config":
        where = ".".join(map(str, inside))
        return f"{where}: {error}" if where else str(error)
    return f"--{str(first).replace('_', '-')}: {error}"
