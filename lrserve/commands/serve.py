"""Commands that run the service: up, api, worker, demo."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from lrserve.errors import Status, tell
from lrserve.options import AsJson
from lrserve.output import print_json, print_line, say

app = typer.Typer()
PANEL = "Run the service"

Host = Annotated[str, typer.Option(help="address to listen on")]
Port = Annotated[int, typer.Option(help="port to listen on", min=1, max=65535)]


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does; further signals do not disturb the ending."""

    def end(number: int, frame: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@app.command(rich_help_panel=PANEL)
def up(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[
        int | None,
        typer.Option(
            help="how many; one a GPU, or one on the CPU, if not given; several on the CPU share its cores", min=0
        ),
    ] = None,
    home: Annotated[Path | None, typer.Option(help="data folder; LRSERVE_HOME or ~/.lrserve if not given")] = None,
    as_json: AsJson = False,
) -> None:
    """Start everything on this machine: Redis (if LRSERVE_REDIS_URL names none), the API and the workers.

    With --json a line says where, once it is up, and one what has ended.
    """
    from lrserve.api.settings import ApiSettings
    from lrserve.supervisor import ProcessSupervisor, gpus

    settings = ApiSettings() if home is None else ApiSettings(home=home)
    check_plugins()
    processes = ProcessSupervisor(settings, host, port, workers if workers is not None else len(gpus()) or 1, say=tell)
    facts: dict[str, Any] = {"url": processes.url, "home": str(settings.home_folder), "data": str(settings.data_folder)}
    try:
        with _ended_by_signals(), processes.running():
            if as_json:
                print_line({"state": "up"} | facts)
            else:
                say(f"lrserve is up at {processes.url}  (docs: {processes.url}/docs)")
                say(f"data in {facts['home']}, data sets in {facts['data']}; Ctrl-C ends it")
            processes.watch()
    except KeyboardInterrupt:
        if as_json:
            print_line({"state": "ended"} | facts)
        else:
            say("lrserve has ended")


@app.command(rich_help_panel=PANEL)
def demo(
    output: Annotated[Path, typer.Option(help="folder for the pictures")] = Path("lrserve-demo"),
    as_json: AsJson = False,
) -> None:
    """Start what is needed, draw StepLR(5, 0.5), train with it and without, and compare."""
    from rich.console import Console

    from lrcore.service.settings import Settings
    from lrserve.client import ApiError, Client
    from lrserve.demo import run
    from lrserve.embedded import NoRedis
    from lrserve.supervisor import ProcessSupervisor, SupervisorError, free_port

    with tempfile.TemporaryDirectory(prefix="lrserve-demo-") as home:
        for shared in ("LRSERVE_REDIS_URL", "LRSERVE_ARTIFACT_ROOT", "MLFLOW_TRACKING_URI"):
            os.environ.pop(shared, None)  # the demo leaves no trace in what others use
        log = Path(home) / "log"
        try:
            with _ended_by_signals(), log.open("wb") as file:
                processes = ProcessSupervisor(
                    Settings(home=Path(home)), "127.0.0.1", free_port(), 1, say=tell, log=file
                )
                with processes.running(), Client(processes.url) as client:
                    found = run(client, output.resolve(), Console(stderr=as_json))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except (ApiError, SupervisorError, NoRedis):
            if printed := log.read_text(errors="replace")[-4000:] if log.exists() else "":
                say(printed, err=True)
            raise
        if found is None:
            raise typer.Exit(Status.NOT_SUCCEEDED)
        if as_json:
            print_json(found)


@app.command(rich_help_panel=PANEL)
def api(host: Host = "127.0.0.1", port: Port = 8000, as_json: AsJson = False) -> None:
    """Serve the HTTP API alone, with the Redis of LRSERVE_REDIS_URL. It becomes `python -m lrserve.api`, and logs."""
    from lrserve.api.settings import ApiSettings

    ApiSettings()  # wrong settings are reported here
    check_plugins()
    _become("lrserve.api", "--host", host, "--port", str(port))


@app.command(rich_help_panel=PANEL)
def worker(
    name: Annotated[
        str | None, typer.Option(help="unique among workers; under a dead one's name, its job is freed at once")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run one worker alone, with the Redis of LRSERVE_REDIS_URL. It becomes `python -m lrserve.worker`, and logs."""
    from lrcore.service.settings import Settings
    from lrserve.supervisor import check_torch

    if name == "":
        raise typer.BadParameter("a name has at least one letter", param_hint="'--name'")
    Settings()
    check_plugins()
    check_torch("`lrserve api` does without")
    _become("lrserve.worker", *(["--name", name] if name else []))


def check_plugins() -> None:
    """Raise PluginError if a plug-in cannot be used: API and workers would end as they start."""
    from lrcore import families, plugins

    if plugins.named():  # else the families need not be built here
        families.load()


def _become(module: str, *arguments: str) -> None:
    """Replace this process by another program, which has its own signals and exit status."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
