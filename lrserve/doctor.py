"""lrserve doctor: what is wrong on this machine and in its Redis, and how to fix it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from lrcore.text import visible
from lrserve.checks import Finding, Level
from lrserve.output import print_json

COLOURS = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}


def findings(host: str) -> Iterator[Finding]:
    """Yield all findings, in the order in which to fix them."""
    from lrcore import plugins
    from lrserve.api.settings import is_loopback

    plugins.skip()  # a process of its own loads them: the other findings do not depend on them
    from lrserve.checks import devices, folders, settings, store
    from lrserve.checks import plugins as plugin_checks

    known, said = settings.read()
    yield from said
    yield from plugin_checks.check()
    yield from folders.check(known)
    yield from store.check(known, exposed=not is_loopback(host))
    yield from devices.check(known)


def doctor(
    host: Annotated[str, typer.Option(help="address that the API listens on")] = "127.0.0.1",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Check this machine and its Redis, and say how to fix what is wrong. The exit status is 1 if there is a problem.

    It reads the same environment as `lrserve api` and `lrserve worker`: run it where they run, as their user. It writes
    a byte into each folder and a few keys into Redis, and removes them.
    """
    found, out = [], Console()
    for each in findings(host):
        found.append(each)
        if not as_json:
            level = (f"{each.level:8}", COLOURS[each.level])
            out.print(Text.assemble(level, visible(f" {each.name}: {each.found}")), soft_wrap=True)
            if each.fix:
                lines = [f"{'':9}{visible(line.strip())}" for line in each.fix.splitlines()]
                out.print(Text("\n".join(lines)), soft_wrap=True)
    good = all(each.level is not Level.PROBLEM for each in found)
    if as_json:
        print_json({"ok": good, "findings": found})
    if not good:
        raise typer.Exit(1)
