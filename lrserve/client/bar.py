"""A job's progress bar."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from lrcore.jobs.job import Job
from lrcore.jobs.states import State
from lrcore.text import visible
from lrserve.client.events import Event

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console


class Bar:
    """Shows events on one line of a terminal while it is entered.

    Args:
        title: before the bar; the job's kind if empty.
        console: standard error if None.
    """

    def __init__(self, job: Job, title: str = "", console: Console | None = None) -> None:
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            TaskProgressColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=console or Terminal(stderr=True),
        )
        self._task = self._progress.add_task(
            visible(title or job.kind.replace("_", " ")), total=job.progress.epochs, figures=job.state
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Move the bar to what an event says."""
        changes = _update(event)
        if "figures" in changes:
            changes["figures"] = visible(changes["figures"])
        self._progress.update(self._task, **changes)


def _update(event: Event) -> dict[str, Any]:
    """What an event changes on the bar."""
    data = event.data
    if event.type == "state" and data["state"] in (State.QUEUED, State.RUNNING):
        return {"figures": data["state"] if data["attempt"] <= 1 else f"{data['state']}, attempt {data['attempt']}"}
    if event.type == "progress":
        return {"completed": data["fraction"] * data["epochs"]}
    if event.type == "epoch" and "run" in data:  # of an experiment, whose progress counts all runs
        return {"figures": f"run {data['run']}  {figures(data)}"}
    if event.type == "epoch":
        return {"completed": data["epoch"] + 1, "figures": figures(data)}
    return {}


def figures(epoch: dict[str, Any]) -> str:
    """An epoch in half a line: rate, then loss and accuracy in training and on the test set."""
    return (
        f"lr {epoch['lr'][0]:.3g}  train {epoch['train_loss']:.3f} {epoch['train_accuracy']:.3f}"
        f"  test {epoch['test_loss']:.3f} {epoch['test_accuracy']:.3f}"
    )
