"""The main job from end to end: a curve, and what it does to a classifier, against the fixed rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lrcore.jobs.states import State
from lrcore.text import visible
from lrserve.client import Client
from lrserve.output import draw

EPOCHS = 20
SCHEDULE = {"type": "StepLR", "step_size": 5, "gamma": 0.5}
JOB: dict[str, Any] = {
    "model": {"type": "lenet"},
    "dataset": {"type": "digits"},
    "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9},
    "epochs": EPOCHS,
    "batch_size": 64,
}


def run(client: Client, folder: Path, console: Console) -> dict[str, Any] | None:
    """Show everything and write the pictures into `folder`. None if a job did not succeed. Raises ApiError."""
    base_lr = JOB["optimizer"]["lr"]
    curve = client.curve(SCHEDULE, EPOCHS, base_lr)
    console.print(f"[bold]StepLR(step_size=5, gamma=0.5)[/bold] from {base_lr}, by POST /v1/curves:\n")
    console.print(draw(list(range(EPOCHS)), curve.tolist()), highlight=False)

    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"curve.png": client.curve_as("png", SCHEDULE, EPOCHS, base_lr)}
    console.print(f"\n[bold]LeNet on scikit-learn's digits, {EPOCHS} epochs[/bold], by POST /v1/jobs:\n")
    accuracies: dict[str, Any] = {}
    table = Table("schedule", "final test accuracy", "best test accuracy", "at epoch")
    for name, schedule in (("StepLR", SCHEDULE), ("fixed rate", None)):
        job = client.submit(JOB | {"schedule": schedule}).watch(f"{name:<10}", console)
        if job.state is not State.SUCCEEDED or job.metrics is None or job.best is None:
            why = visible(job.error.message, keep="\n") if job.error else ""
            console.print(f"{name}: the job {job.state}: {why}", style="red", markup=False, highlight=False)
            return None
        pictures[f"{name.replace(' ', '-').lower()}.png"] = client.plot(job.id)
        final, best = job.metrics.test_accuracy, job.best
        accuracies[name] = {"final_test_accuracy": final, "best_test_accuracy": best.test_accuracy, "epoch": best.epoch}
        table.add_row(name, f"{final:.4f}", f"{best.test_accuracy:.4f}", str(best.epoch))
    for file, content in pictures.items():
        (folder / file).write_bytes(content)
    console.print()
    console.print(table)
    console.print("\nPictures:")
    for file in pictures:
        console.print(visible(f"  {folder / file}"), markup=False, highlight=False, soft_wrap=True)
    return {"accuracies": accuracies, "pictures": [str(folder / file) for file in pictures]}
