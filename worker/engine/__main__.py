"""Train one job without any service: python -m lrserve.worker.engine SPEC.json [--data-root DIR] [--folder DIR]."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from lrcore import families
from lrcore.errors import LrcoreError
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.plugins import PluginError

from . import Diverged, Hooks, Interrupted, train


def main() -> int:
    """Print a line of JSON for each epoch, and a progress bar on stderr if that is a terminal.

    Returns the exit status: 0, 1 with the reason on stderr, or 130 if it was stopped.
    """
    parser = argparse.ArgumentParser(prog="python -m lrserve.worker.engine", description=__doc__)
    parser.add_argument("spec", type=Path, help="the job as JSON, as POST /v1/jobs takes it")
    parser.add_argument("--data-root", type=Path, default=Path("data"), help="folder of the data sets (default: data)")
    parser.add_argument(
        "--folder", type=Path, help="takes the weights, and a checkpoint from which the next call resumes"
    )
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        families.load()
        os.environ["LRSERVE_DATA_ROOT"] = str(arguments.data_root)  # where an image-folder is counted
        spec = TrainingSpec.model_validate_json(arguments.spec.read_bytes())
        with hooks_of(spec, stop) as hooks:
            train(spec, data_root=arguments.data_root, folder=arguments.folder, hooks=hooks)
    except Interrupted:
        print("stopped" + (": call again to go on" if arguments.folder else ""), file=sys.stderr)
        return 130
    except (OSError, ValidationError, LrcoreError, Diverged, PluginError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def hooks_of(spec: TrainingSpec, stop: threading.Event) -> Iterator[Hooks]:
    """Hooks that print, and that stop at the event."""

    def report(epoch: Epoch, best: Best) -> None:
        print(epoch.model_dump_json(), flush=True)

    try:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    except ImportError:  # the engine does without
        yield Hooks(epoch=report, stop=stop.is_set)
        return
    columns = (TextColumn("epoch {task.fields[epoch]}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    figures = TextColumn("loss {task.fields[loss]} acc {task.fields[accuracy]}")
    with Progress(*columns, figures, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        steps = spec.steps_per_epoch
        task = bar.add_task("training", total=spec.epochs * steps, epoch=0, loss="-", accuracy="-")
        yield Hooks(
            step=lambda step: bar.update(task, completed=step, epoch=step // steps),
            running=lambda step, loss, acc: bar.update(task, loss=f"{loss:.3f}", accuracy=f"{acc:.3f}"),
            epoch=report,
            stop=stop.is_set,
        )


if __name__ == "__main__":
    sys.exit(main())
