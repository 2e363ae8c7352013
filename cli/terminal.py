"""Curves and jobs in a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from cli.client import Client, Event
from lrcore.jobs.job import Job
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
            yield {"completed": data["epoch"] + 1, "figures": figures(data)}
