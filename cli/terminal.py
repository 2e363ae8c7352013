"""Curves and jobs in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from cli.client import Client, Event
from lrcore.jobs.job import Job
from lrcore.jobs.leaderboard import Row
from lrcore.jobs.names import names
from lrcore.jobs.states import State

BAR = 40
MOST_ROWS = 40


def draw(steps: list[int], lr: list[float]) -> str:
    """A curve as a table with a bar a row; of a long curve, evenly spaced rows."""
    stride = -(-len(lr) // MOST_ROWS)
    top = max(lr) or 1.0
    rows = [(steps[i], lr[i]) for i in range(0, len(lr), stride)]
    if rows[-1][0] != steps[-1]:
        rows.append((steps[-1], lr[-1]))
    width = max(4, len(str(steps[-1])))
    lines = [f"{'step':>{width}}  {'lr':<12}"]
    lines += [f"{step:>{width}}  {rate:<12.6g} {'█' * round(BAR * rate / top)}".rstrip() for step, rate in rows]
    return "\n".join(lines)


def figures(epoch: dict[str, Any]) -> str:
    """An epoch in half a line: rate, then loss and accuracy in training and on the test set."""
    return (
        f"lr {epoch['lr'][0]:.3g}  train {epoch['train_loss']:.3f} {epoch['train_accuracy']:.3f}"
        f"  test {epoch['test_loss']:.3f} {epoch['test_accuracy']:.3f}"
    )


def board(rows: Sequence[Row]) -> str:
    """A leaderboard as a table: accuracies of the last epoch, and the difference to the leader with its interval."""
    labels = names([row.settings for row in rows])
    width = max(map(len, labels))
    lines = [f"{'':3} {'':{width}} {'final test accuracy':>20}  {'difference to the first (95 %)'}"]
    for row, label in zip(rows, labels, strict=True):
        figure, apart = row.final_test_accuracy, row.difference
        mean = (
            "" if figure is None else f"{figure.mean:.4f}" + (f" ± {figure.std:.4f}" if figure.std is not None else "")
        )
        difference = "" if apart is None else f"{apart.mean:+.4f}"
        if apart is not None and apart.low is not None and apart.high is not None:
            difference += f"  [{apart.low:+.4f}, {apart.high:+.4f}]"
        lost = [f"{row.runs[state]} {state}" for state in ("failed", "pruned") if state in row.runs]
        lines.append(f"{row.rank:3} {label:{width}} {mean:>20}  {difference:26} {', '.join(lost)}".rstrip())
    return "\n".join(lines) + "\n"


def watch(client: Client, job_id: str, console: Console, title: str = "") -> Job:
    """Show a progress bar until the job has ended; returns it as it ended. Raises ApiError."""
    job = client.job(job_id)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=12),
        TaskProgressColumn(),
        TextColumn("{task.fields[figures]}"),
        console=console,
    ) as bar:
        task = bar.add_task(title or "training", total=job.progress.epochs, figures=job.state)
        for update in _updates(client.follow(job_id)):
            bar.update(task, **update)
    return client.job(job_id)


def _updates(events: Iterable[Event]) -> Iterable[dict[str, Any]]:
    """What each event changes on the bar."""
    for event in events:
        data = event.data
        if event.type == "state" and data["state"] in (State.QUEUED, State.RUNNING):
            yield {"figures": data["state"] if data["attempt"] <= 1 else f"{data['state']}, attempt {data['attempt']}"}
        elif event.type == "progress":
            yield {"completed": data["fraction"] * data["epochs"]}
        elif event.type == "epoch":
            if "run" in data:  # of an experiment, whose progress counts all runs
                yield {"figures": f"run {data['run']}  {figures(data)}"}
            else:
                yield {"completed": data["epoch"] + 1, "figures": figures(data)}
