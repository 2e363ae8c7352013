"""The `lrserve` command."""

from __future__ import annotations

from typing import Annotated

import typer

from lrcore import __version__
from lrserve.commands import configs, curves, experiments, jobs, keys, limits, lr_find, serve, webhooks
from lrserve.doctor import doctor
from lrserve.errors import Group
from lrserve.output import say

app = typer.Typer(
    name="lrserve",
    help="Learning-rate schedules as a service: exact curves at once, and training jobs that use them.",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

for module in (serve, curves, configs, jobs, lr_find):
    app.add_typer(module.app)
app.add_typer(experiments.app, name="experiments", rich_help_panel="Jobs")
app.add_typer(webhooks.app, name="webhooks", rich_help_panel="Administration")
app.add_typer(keys.app, name="keys", rich_help_panel="Administration")
app.add_typer(limits.app, name="limits", rich_help_panel="Administration")
app.command(rich_help_panel="Administration")(doctor)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False) -> None:
    """Learning-rate schedules as a service."""
    if show:
        say(f"lrserve {__version__}")
        raise typer.Exit
