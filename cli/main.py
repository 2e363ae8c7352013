"""The `lrserve` command."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from api.settings import ApiSettings
from cli import keys, limits
from cli.client import ApiError, Client
from cli.demo import run
from cli.embedded import NoRedis
from cli.stack import Stack, StackError, free_port, gpus
from cli.terminal import board, draw, watch
from lrcore import __version__
from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.settings import Settings
from lrcore.jobs.states import State

app = typer.Typer(
    name="lrserve",
    help="Learning-rate schedules as a service: exact curves at once, and training jobs that use them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
out, err = Console(), Console(stderr=True)

Url = Annotated[str, typer.Option(envvar="LRSERVE_URL", help="the server to talk to")]
Host = Annotated[str, typer.Option(help="address to listen on")]
Port = Annotated[int, typer.Option(help="port to listen on", min=1, max=65535)]
DEFAULT_URL = "http://127.0.0.1:8000"


@contextmanager
def _told() -> Iterator[None]:
    """Errors as one line for people, with exit status 1."""
    try:
        yield
    except (ApiError, NoRedis, StackError) as error:
        err.print(f"lrserve: {error}", style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except OSError as error:
        err.print(f"lrserve: {error.filename}: {error.strerror}", style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    except ValidationError as error:
        for each in error.errors():
            name = "_".join(map(str, each["loc"])).upper()
            err.print(
                f"lrserve: LRSERVE_{name}: {each['msg'].removeprefix('Value error, ')}",
                style="red",
                highlight=False,
                soft_wrap=True,
            )
        raise typer.Exit(1) from None


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


app.add_typer(keys.app, name="keys")
app.add_typer(limits.app, name="limits")


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False) -> None:
    """Learning-rate schedules as a service."""
    if show:
        print(f"lrserve {__version__}")
        raise typer.Exit


@app.command()
def up(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[
        int | None, typer.Option(help="how many; one a GPU, or one on the CPU, if not given", min=0)
    ] = None,
    home: Annotated[Path | None, typer.Option(help="data folder; LRSERVE_HOME or ~/.lrserve if not given")] = None,
) -> None:
    """Start everything on this machine: Redis (if LRSERVE_REDIS_URL names none), the API and the workers."""
    with _told():
        settings = ApiSettings() if home is None else ApiSettings(home=home)
        stack = Stack(settings, host, port, workers if workers is not None else len(gpus()) or 1, say=err.print)
        try:
            with _ended_by_signals(), stack.running():
                out.print(f"lrserve is up at {stack.url}  (docs: {stack.url}/docs)", highlight=False, soft_wrap=True)
                out.print(f"data in {settings.home_folder}, data sets in {settings.data_folder}; Ctrl-C ends it",
                          highlight=False, soft_wrap=True)  # fmt: skip
                stack.watch()
        except KeyboardInterrupt:
            out.print("lrserve has ended")


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="folder for the pictures")] = Path("lrserve-demo"),
) -> None:
    """Start what is needed, draw StepLR(5, 0.5), train with it and without, and compare."""
    with _told(), tempfile.TemporaryDirectory(prefix="lrserve-demo-") as home:
        for shared in ("LRSERVE_REDIS_URL", "LRSERVE_ARTIFACT_ROOT", "MLFLOW_TRACKING_URI"):
            os.environ.pop(shared, None)  # the demo leaves no trace in what others use
        log = Path(home) / "log"
        try:
            with _ended_by_signals(), log.open("wb") as file:
                stack = Stack(Settings(home=Path(home)), "127.0.0.1", free_port(), 1, say=err.print, log=file)
                with stack.running(), Client(stack.url) as client:
                    succeeded = run(client, output.resolve(), out)
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except (ApiError, StackError, NoRedis):
            if log.exists():
                err.print(log.read_text(errors="replace")[-4000:], highlight=False, markup=False)
            raise
        if not succeeded:
            raise typer.Exit(1)


@app.command()
def api(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Serve the HTTP API alone, against the Redis of LRSERVE_REDIS_URL."""
    with _told():
        ApiSettings()
    _become("api", "--host", host, "--port", str(port))


@app.command()
def worker(
    name: Annotated[
        str | None, typer.Option(help="unique among workers; under a dead one's name, its job is freed at once")
    ] = None,
) -> None:
    """Run one worker alone, against the Redis of LRSERVE_REDIS_URL."""
    with _told():
        Settings()
    _become("worker", *(["--name", name] if name else []))


def _become(module: str, *arguments: str) -> None:
    """Go on as another program: signals and exit status are then its own."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


@app.command()
def curve(
    schedule: Annotated[str, typer.Argument(help="a type, such as StepLR, or a whole schedule as JSON")],
    parameters: Annotated[list[str] | None, typer.Argument(help="name=value, for a schedule given by its type")] = None,
    steps: Annotated[int, typer.Option(help="how many values")] = 20,
    base_lr: Annotated[float | None, typer.Option(help="the initial rate, if the schedule has none of its own")] = None,
    start: int = 0,
    stride: int = 1,
    form: Annotated[str, typer.Option("--format", help="text, json, csv, npy, png or svg")] = "text",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="file to write instead of the terminal")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Compute a curve: lrserve curve StepLR step_size=5 gamma=0.5 --base-lr 0.1 --steps 20."""
    spec = _json(schedule, "schedule") if schedule.lstrip().startswith("{") else {"type": schedule}
    for parameter in parameters or []:
        name, equals, value = parameter.partition("=")
        if not equals:
            raise typer.BadParameter(f"{parameter!r} is not name=value")
        spec[name] = _literal(value)
    request: dict[str, Any] = {"steps": steps, "start": start, "stride": stride}
    if base_lr is not None:
        request["base_lr"] = base_lr
    with _told(), Client(url) as client:
        if form == "text":
            answer = client.curve(spec, **request)
            lr = answer["lr"] if not isinstance(answer["lr"][0], list) else answer["lr"][0]
            content = (draw([start + stride * i for i in range(steps)], lr) + "\n").encode()
        else:
            content = client.curve_as(form, spec, **request)
        if output is not None:
            output.write_bytes(content)
            return
    if form in ("npy", "png") and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} is no text for a terminal: use --output FILE")
    sys.stdout.buffer.write(content)


@app.command()
def submit(
    spec: Annotated[
        str, typer.Argument(help="the job or experiment: a JSON file, JSON itself, or - for standard input")
    ],
    follow: Annotated[bool, typer.Option("--watch", help="stay until it has ended")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Submit a training job, or an experiment, and print its id."""
    if spec == "-":
        text = sys.stdin.buffer.read().decode("utf-8", "replace")
    elif spec.lstrip().startswith("{"):
        text = spec
    else:
        try:
            text = Path(spec).read_text("utf-8")
        except OSError as error:
            raise typer.BadParameter(f"{spec}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise typer.BadParameter(f"{spec} is not JSON: it is no UTF-8") from None
    job_spec = _json(text, spec if text is not spec else "job")
    with _told(), Client(url) as client:
        job = client.submit(job_spec)
        print(job.id, flush=True)
        if follow:
            _watch(client, job.id)


@app.command("watch")
def watch_job(job_id: str, url: Url = DEFAULT_URL) -> None:
    """Follow a job to its end. The exit status is 0 if it succeeded."""
    with _told(), Client(url) as client:
        _watch(client, job_id)


@app.command()
def cancel(job_id: str, url: Url = DEFAULT_URL) -> None:
    """Cancel a job and print its state: cancelled, or running until its worker has stopped."""
    with _told(), Client(url) as client:
        print(client.cancel(job_id).state)


@app.command()
def pause(job_id: str, url: Url = DEFAULT_URL) -> None:
    """Pause a job and print its state: paused, or running until its worker has stopped."""
    with _told(), Client(url) as client:
        print(client.pause(job_id).state)


@app.command()
def resume(job_id: str, url: Url = DEFAULT_URL) -> None:
    """Put a paused job back into its queue; it goes on where it stopped."""
    with _told(), Client(url) as client:
        print(client.resume(job_id).state)


@app.command()
def retry(job_id: str, url: Url = DEFAULT_URL) -> None:
    """Run an ended job again, as a new one, and print its id."""
    with _told(), Client(url) as client:
        print(client.retry(job_id).id)


@app.command()
def artifacts(
    job_id: str,
    download: Annotated[Path | None, typer.Option(help="folder to put the files into; made if need be")] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """List what a job has left behind: weights, metrics, figure, TensorBoard events; or download it."""
    with _told(), Client(url) as client:
        found = client.artifacts(job_id)
        if download is None:
            for artifact in found:
                print(f"{artifact.size:>12}  {artifact.name}")
            return
        download.mkdir(parents=True, exist_ok=True)
        for artifact in found:
            print(client.download(job_id, artifact.name, download))


def _watch(client: Client, job_id: str) -> None:
    job = watch(client, job_id, err)
    if job.state is not State.SUCCEEDED:
        reason = f": {job.error.message}" if job.error else ""
        err.print(f"{job.state}{reason}", style="red", highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    if job.kind == ExperimentSpec.kind:
        out.print(board(client.leaderboard(job_id)), end="", highlight=False, soft_wrap=True)
    elif job.metrics and job.best:
        out.print(
            f"{job.state}: final test accuracy {job.metrics.test_accuracy:.4f}, "
            f"best {job.best.test_accuracy:.4f} at epoch {job.best.epoch}",
            highlight=False,
        )


def _json(text: str, name: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{name} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{name} must be a JSON object")
    return value


def _literal(value: str) -> Any:
    """JSON where it is JSON, else the text: 0.5, [3, 8] and true, but triangular2 and 0.95**epoch."""
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


if __name__ == "__main__":
    app()
