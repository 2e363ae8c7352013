"""lrserve experiments: their list, runs, leaderboards and epochs."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from lrserve import completion
from lrserve.commands.jobs import print_jobs
from lrserve.options import AsJson, ExperimentId, Url, connect
from lrserve.output import board, print_json, print_line, print_result, say, table

app = typer.Typer(help="Experiments: list, leaderboard, runs, run, epochs, plot.", no_args_is_help=True)


@app.command("list")
def list_experiments(
    state: Annotated[
        str | None, typer.Option(help="only those in this state", autocompletion=completion.states)
    ] = None,
    limit: Annotated[int, typer.Option(help="how many at most; 0 for all", min=0)] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List experiments, newest first. With --json each is a line."""
    with connect(url) as client:
        found = client.experiments(state=state, page_size=min(limit or 100, 100))
        print_jobs(islice(found, limit or None), as_json)


@app.command()
def leaderboard(
    experiment: ExperimentId,
    by: Annotated[str, typer.Option(help="the test accuracy that orders: final or best")] = "final",
    baseline: Annotated[
        int | None, typer.Option(help="configuration that the others are compared with; the leader if not given")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """The configurations, the best one first."""
    with connect(url) as client:
        rows = client.leaderboard(experiment, by, baseline)  # type: ignore[arg-type]  # the server refuses others
    if as_json:
        print_json(rows)
    else:
        say(board(rows), end="")


@app.command()
def runs(experiment: ExperimentId, url: Url = None, as_json: AsJson = False) -> None:
    """Every run: its configuration, seed, state and accuracies. With --json each is a line."""
    with connect(url) as client:
        found = client.runs(experiment)
    if as_json:
        for run in found:
            print_line(run)
        return
    head = ["run", "configuration", "seed", "state", "epoch", "final_test_accuracy", "best_test_accuracy"]
    say(table(head, [[getattr(run, name) for name in head] for run in found]))


@app.command()
def run(
    experiment: ExperimentId,
    index: Annotated[int, typer.Argument(help="of the run, from 0", metavar="RUN")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """One run as the job that it is: JSON that `lrserve submit` takes; with --json all that is known of it."""
    with connect(url) as client:
        found = client.run(experiment, index)
    print_result(found, json.dumps(found["spec"], indent=2), as_json=as_json)


@app.command()
def epochs(experiment: ExperimentId, url: Url = None, as_json: AsJson = False) -> None:
    """Every epoch of every run, as CSV. With --json each is a line, its figures as the CSV has them."""
    with connect(url) as client:
        found = client.epochs(experiment)
    if as_json:
        for row in found:
            print_line(row)
    else:
        say(found.csv(), end="")


@app.command()
def plot(
    experiment: ExperimentId,
    output: Annotated[Path, typer.Option("--output", "-o", help="file to write: .png or .svg")] = Path(
        "experiment.png"
    ),
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Draw accuracies and rates of the configurations into a file."""
    if output.suffix not in (".png", ".svg"):
        raise typer.BadParameter("the file must end in .png or .svg", param_hint="--output")
    with connect(url) as client:
        output.write_bytes(client.plot(experiment, output.suffix[1:]))  # type: ignore[arg-type]
    print_result({"file": str(output)}, str(output), as_json=as_json)
