"""Commands about schedules: curve, compare, schedules, translate, fit."""

from __future__ import annotations

import difflib
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lrcore.errors import message
from lrserve import completion
from lrserve.logs import LogError, read_log
from lrserve.options import RETRIES, AsJson, Output, Url, connect, parse_schedule
from lrserve.output import draw, print_json, print_result, say, table

app = typer.Typer()
PANEL = "Schedules"
BINARY = ("npy", "arrow", "png")

Schedule = Annotated[
    str,
    typer.Argument(
        help="a type, such as StepLR, or a whole schedule as JSON",
        autocompletion=completion.schedules,
        metavar="SCHEDULE",
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Argument(
        help="name=value, for a schedule given by its type",
        autocompletion=completion.parameters,
        metavar="[NAME=VALUE]...",
        show_default=False,
    ),
]
Steps = Annotated[int, typer.Option(help="how many values")]
BaseLr = Annotated[
    list[float] | None,
    typer.Option(
        help="the initial rate, if the schedule has none of its own; again for each further parameter group",
        show_default=False,
    ),
]
Start = Annotated[int, typer.Option(help="first step")]
Stride = Annotated[int, typer.Option(help="distance of the steps")]
Form = Annotated[str, typer.Option("--format", help="text, json, csv, npy, arrow, png or svg")]
Scale = Annotated[str, typer.Option(help="of the rates in a picture: linear or log")]


@app.command(rich_help_panel=PANEL)
def curve(
    schedule: Schedule,
    parameters: Parameters = None,
    steps: Steps = 20,
    base_lr: BaseLr = None,
    start: Start = 0,
    stride: Stride = 1,
    form: Form = "text",
    scale: Scale = "linear",
    output: Output = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Compute a curve: lrserve curve StepLR step_size=5 gamma=0.5 --base-lr 0.1 --steps 20.

    As text it needs no server, unless --url or LRSERVE_URL names one, or the schedule is from a plug-in of the server.
    """
    spec = parse_schedule(schedule, parameters or [])
    where: dict[str, Any] = {"steps": steps, "base_lr": _rates(base_lr), "start": start, "stride": stride}
    if form == "text" and not as_json:
        lr = _computed(spec, where, url)
        text = "\n\n".join(draw(_steps(steps, start, stride), row.tolist()) for row in lr.reshape(-1, steps))
        _write((text + "\n").encode(), form, output)
        return
    form = "json" if as_json else form
    with connect(url) as client:
        _write(client.curve_as(form, spec, scale=scale, **where), form, output)  # type: ignore[arg-type]


@app.command(rich_help_panel=PANEL)
def compare(
    schedules: Annotated[
        list[str],
        typer.Argument(
            help="each as JSON, or a type with its parameters in quotes: 'StepLR step_size=5'",
            autocompletion=completion.schedules,
            metavar="SCHEDULE...",
        ),
    ],
    steps: Steps = 20,
    base_lr: BaseLr = None,
    start: Start = 0,
    stride: Stride = 1,
    form: Form = "text",
    scale: Scale = "linear",
    output: Output = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Compute several curves over the same steps: lrserve compare 'StepLR step_size=5' 'CosineAnnealingLR T_max=20'."""
    curves = {text: _schedule(text) for text in schedules}
    if len(curves) < len(schedules):
        raise typer.BadParameter("a schedule is there twice")
    where: dict[str, Any] = {"steps": steps, "base_lr": _rates(base_lr), "start": start, "stride": stride}
    with connect(url) as client:
        if form != "text" or as_json:
            form = "json" if as_json else form
            _write(client.compare_as(form, curves, scale=scale, **where), form, output)  # type: ignore[arg-type]
            return
        found = client.compare(curves, **where)
    columns = {name: each.lr.reshape(-1, steps)[0].tolist() for name, each in found.items()}
    say(table(["step", *columns], zip(_steps(steps, start, stride), *columns.values(), strict=True)))


@app.command(rich_help_panel=PANEL)
def schedules(
    type: Annotated[
        str | None,
        typer.Argument(help="one of them, in full", autocompletion=completion.schedules, metavar="[TYPE]"),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the schedules, or show one: its formula, its parameters and an example."""
    with connect(url) as client:
        if type is None:
            every = client.schedules()
            rows: list[tuple[str, ...]] = [(each.type, each.summary, each.origin) for each in every]
            print_result(every, table(["type", "summary", "origin"], rows), as_json=as_json)
            return
        entry = client.schedule(type)
    if as_json:
        print_json(entry)
        return
    say(f"{entry.type}: {entry.summary}\n\n  {entry.formula}\n\nfrom {entry.origin}\n")
    own = entry.parameters.get("$defs", {}).get(type, entry.parameters)
    required = own.get("required", [])
    rows = [
        (name, "required" if name in required else json.dumps(field.get("default")), field.get("description", ""))
        for name, field in own["properties"].items()
        if name != "type"
    ]
    say(table(["parameter", "default", ""], rows))
    say(f"\nexample: {json.dumps(entry.example)}")


@app.command(rich_help_panel=PANEL)
def translate(
    schedule: Schedule,
    parameters: Parameters = None,
    to: Annotated[
        str,
        typer.Option(
            help="torch, optax, keras, transformers, timm, deepspeed, mmengine, composer or lightning",
            autocompletion=completion.frameworks,
        ),
    ] = "torch",
    base_lr: Annotated[
        float | None, typer.Option(help="the optimizer's initial rate, if the schedule has none of its own")
    ] = None,
    total_steps: Annotated[int | None, typer.Option(help="steps of the run, for lengths in percent")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Print a schedule as code of another framework; what is to be known about it goes to standard error."""
    spec = parse_schedule(schedule, parameters or [])
    with connect(url) as client:
        found = client.translate(spec, to, base_lr, total_steps=total_steps)
    if as_json:
        print_json(found)
        return
    say(found.code.rstrip("\n"))
    for note in [*([] if found.exact else ["not exact"]), *found.notes]:
        say(f"# {note}", err=True)


@app.command(rich_help_panel=PANEL)
def fit(
    log: Annotated[
        str,
        typer.Argument(
            help="file with the rates: one per line, CSV, JSON or JSON lines; - for standard input", metavar="FILE"
        ),
    ],
    column: Annotated[
        str | None,
        typer.Option(
            help="name of the column or key with the rates; found by its name if left out", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="how many schedules")] = 5,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Find the schedule behind a log: of TensorBoard, W&B, the Hugging Face Trainer, pandas or Excel."""
    try:
        logged = read_log(log, column)
    except LogError as error:
        raise typer.BadParameter(str(error)) from None
    with connect(url) as client:
        found = client.fit(logged.lr, limit, step=logged.step)
    rows = [
        (
            f"{each.max_error:.2e}",
            "yes" if each.exact else "",
            "" if each.diverges_at is None else each.diverges_at,
            each.base_lr,
            json.dumps(each.schedule),
        )
        for each in found
    ]
    print_result(found, table(["max error", "exact", "diverges at", "base_lr", "schedule"], rows), as_json=as_json)


def _schedule(text: str) -> dict[str, Any]:
    if text.lstrip().startswith("{"):
        return parse_schedule(text, [])
    try:
        type, *parameters = shlex.split(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no schedule: {error}") from None
    return parse_schedule(type, parameters)


def _computed(spec: dict[str, Any], where: dict[str, Any], url: str | None) -> Any:
    """Compute the rates, here or on the server. Raises typer.BadParameter, ApiError."""
    from pydantic import ValidationError

    from lrcore.errors import CurveError
    from lrserve.client import ApiError, Client
    from lrserve.curves import curve

    refusal = None
    if url is None:
        try:
            return curve(spec, **where)
        except ValidationError as error:
            refusal = "; ".join(map(_refusal, error.errors()))
        except CurveError as error:
            refusal = str(error)
    try:
        with Client(url, retries=0 if refusal else RETRIES) as client:
            return client.curve(spec, **where)
    except ApiError as error:
        if refusal is None or error.problem:
            raise
        raise typer.BadParameter(refusal) from None


def _refusal(error: Any) -> str:
    from lrcore.schedules import SCHEDULES

    field = ".".join(str(part) for part in error["loc"] if part not in SCHEDULES)
    if error["type"] != "union_tag_invalid":
        return f"{field}: {message(error)}" if field else message(error)
    wanted = str(error["ctx"]["tag"])
    near = difflib.get_close_matches(wanted, SCHEDULES, 1)
    return f"{field}: there is no schedule {wanted}" + (f"; did you mean {near[0]}?" if near else "")


def _rates(base_lr: list[float] | None) -> float | list[float] | None:
    return base_lr[0] if base_lr and len(base_lr) == 1 else base_lr or None


def _steps(steps: int, start: int, stride: int) -> list[int]:
    return [start + stride * i for i in range(steps)]


def _write(content: bytes, form: str, output: Path | None) -> None:
    if output is not None:
        output.write_bytes(content)
        return
    if form in BINARY and sys.stdout.isatty():
        raise typer.BadParameter(f"{form} is no text for a terminal: use --output FILE")
    if form in BINARY:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        say(content.decode("utf-8", "replace"), end="\n" if form == "json" else "")
