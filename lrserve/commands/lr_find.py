"""lrserve lr-find: an LR range test, from its submission to its suggestion."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lrserve.commands.jobs import print_job, watch_to_end
from lrserve.errors import tell
from lrserve.options import AsJson, Url, connect, read_object
from lrserve.output import draw_losses, print_json, say

app = typer.Typer()

SCHEDULED = ("schedule", "interval", "momentum_schedule", "weight_decay_schedule")  # what a range test has no use for


@app.command("lr-find", rich_help_panel="Jobs")
def lr_find(
    spec: Annotated[
        str,
        typer.Argument(
            help="a training job, whose schedules are not used: a JSON file, JSON itself, or - for standard input"
        ),
    ],
    start_lr: Annotated[float, typer.Option(help="the first rate")] = 1e-7,
    end_lr: Annotated[float, typer.Option(help="the last rate")] = 10.0,
    num_iter: Annotated[int, typer.Option(help="steps")] = 100,
    mode: Annotated[str, typer.Option(help="exp or linear")] = "exp",
    seed: Annotated[
        list[int] | None,
        typer.Option(help="again for each further one: their losses' mean is judged", show_default=False),
    ] = None,
    use_for: Annotated[
        str | None, typer.Option(help="steepest, valley or max_lr: then train at that suggestion for the job's epochs")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="print the test's id and do not wait for it")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Find a rate: train for some steps while the rate rises, draw the losses, and say which rates they suggest."""
    base = {name: value for name, value in read_object(spec, "job").items() if name not in SCHEDULED}
    options: dict[str, Any] = {"mode": mode, "seeds": seed or None, "use_for": use_for}
    with connect(url) as client:
        test = client.lr_range_test(base, start_lr=start_lr, end_lr=end_lr, num_iter=num_iter, **options)
        if detach:
            print_job(test, False, as_json)
            return
        if as_json:
            print_json({"id": test.id} | test.result().model_dump(mode="json"))
            return
        watch_to_end(test, False)
        found = test.result()
    suggested = {name: getattr(found.suggestion, name) for name in ("steepest", "valley", "max_lr")}
    say(draw_losses(found.lr, found.smoothed_loss, suggested))
    say()
    for name, rate in suggested.items():
        reason = dict(found.suggestion.reasons).get(name, "")  # type: ignore[call-overload]
        say(f"{name:<9} {rate:.3g}" if rate is not None else f"{name:<9} none: {reason}")
    if found.job_id:
        tell(f"job {found.job_id} trains at {use_for}")
