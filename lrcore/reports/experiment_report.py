"""An experiment with all its runs: states, leaderboard, picture and tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from lrcore.jobs.configuration_labels import labels
from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.job import Epoch, Job, RunRow
from lrcore.jobs.states import RunState
from lrcore.numerics.statistics import Floats
from lrcore.reports.leaderboard import By, Row, leaderboard
from lrcore.reports.metrics import cells
from lrcore.reports.overlay import Line, draw_experiment, steps
from lrcore.store.reader import JobReader
from lrcore.store.records import RunView
from lrcore.text import csv_of

DRAWN = 60  # configurations: more grey lines show nothing
AT_ONCE = 500  # runs whose epochs are read together


class EpochRow(Epoch):
    """A finished epoch of a run of an experiment."""

    run: int = Field(description="the run's index")
    configuration: int = Field(description="index of what it has in common with the runs of other seeds")
    seed: int
    label: str = Field(description="the configuration in a few words")


WHICH = tuple(name for name in EpochRow.model_fields if name not in Epoch.model_fields)


class ExperimentReport:
    """What is known of an experiment at one moment.

    Args:
        job: the experiment's record.
        begun: its runs that have begun.
    """

    def __init__(self, job: Job, begun: Mapping[int, RunView]) -> None:
        self.spec = ExperimentSpec.of(job)
        self._job, self._begun = job, begun
        self._seeds = self.spec.seeds

    @classmethod
    def of(cls, job: Job, store: JobReader) -> ExperimentReport:
        """As the store has it."""
        return cls(job, store.runs(job.key))

    def rows(self) -> list[RunRow]:
        """All runs, in order."""
        return [self.row(run) for run in range(self.spec.runs)]

    def row(self, run: int) -> RunRow:
        """One of the runs."""
        view, (configuration, place) = self._view(run), divmod(run, len(self._seeds))
        last, best = view.metrics, view.best
        return RunRow.model_construct(
            run=run,
            configuration=configuration,
            seed=self._seeds[place],
            state=view.state,
            epoch=last.epoch if last else None,
            final_test_accuracy=last.test_accuracy if last else None,
            best_test_accuracy=best.test_accuracy if best else None,
            best_epoch=best.epoch if best else None,
            error=view.error,
            training=view.training,
        )

    def leaderboard(self, by: By = "final", baseline: int | None = None) -> list[Row]:
        """The configurations, the best one first; arguments and errors as of leaderboard.leaderboard."""
        shape = self.spec.configurations, len(self._seeds)
        final, best = np.full(shape, np.nan), np.full(shape, np.nan)
        for run, view in self._begun.items():
            if view.state is RunState.SUCCEEDED and view.metrics and view.best:
                place = divmod(run, shape[1])
                final[place], best[place] = view.metrics.test_accuracy, view.best.test_accuracy
        states = [[str(self._view(run).state) for run in self.spec.runs_of(c)] for c in range(shape[0])]
        return leaderboard(self._settings(), self._seeds, states, final, best, by=by, baseline=baseline)

    def picture(self, store: JobReader, form: str) -> bytes:
        """Accuracies and rates of the configurations that lead, or lead so far; `form` is png or svg."""
        rows = self.leaderboard()
        shown = labels(self._settings())
        begun = [row for row in rows if any(run in self._begun for run in self.spec.runs_of(row.configuration))]
        lines = [self._line(row, shown[row.configuration], store) for row in begun[:DRAWN]]
        return draw_experiment(self.title(), lines, form, more=len(rows) - len(lines))

    def title(self) -> str:
        """What it is about, in a line."""
        base = self.spec.base
        trained = f"{base.model.type} on {base.dataset.type}, {self.spec.configurations} × {len(self._seeds)} runs"
        return f"{self.spec.name}: {trained}" if self.spec.name else trained

    def metrics_csv(self, store: JobReader) -> Iterator[str]:
        """Every finished epoch of every run as CSV, a piece at a time."""
        optional = {"val_loss", "val_accuracy"} if not self.spec.base.dataset.validation_size else set[str]()
        columns = [field for field in Epoch.model_fields if field not in optional]
        yield ",".join([*WHICH, *columns]) + "\n"
        for part in self._epochs(store):
            yield csv_of([*which, *cells(epoch, columns)] for which, epochs in part for epoch in epochs)

    def metrics_json(self, store: JobReader) -> Iterator[str]:
        """The same as a JSON object, a piece at a time."""
        yield f'{{"id": {json.dumps(self._job.id)}, "epochs": ['
        separator = ""
        for part in self._epochs(store):
            rows = (
                dict(zip(WHICH, which, strict=True)) | epoch.model_dump(mode="json")
                for which, epochs in part
                for epoch in epochs
            )
            if text := ", ".join(map(json.dumps, rows)):
                yield separator + text
                separator = ", "
        yield "]}"

    def _epochs(self, store: JobReader) -> Iterator[list[tuple[tuple[int, int, int, str], list[Epoch]]]]:
        """What WHICH names, and the finished epochs, of each run that has begun, some runs at a time."""
        shown, runs = labels(self._settings()), sorted(self._begun)
        for begin in range(0, len(runs), AT_ONCE):
            chosen = runs[begin : begin + AT_ONCE]
            places = [divmod(run, len(self._seeds)) for run in chosen]
            which = [(run, i, self._seeds[j], shown[i]) for run, (i, j) in zip(chosen, places, strict=True)]
            yield list(zip(which, store.run_epochs(self._job.key, chosen), strict=True))

    def curves(self, store: JobReader, figure: str) -> Iterator[tuple[int, list[float]]]:
        """A figure of every finished epoch of each run that has begun: of rates, the first parameter group's."""
        runs = sorted(self._begun)
        for begin in range(0, len(runs), AT_ONCE):
            chosen = runs[begin : begin + AT_ONCE]
            for run, values in zip(chosen, store.run_figures(self._job.key, chosen, figure), strict=True):
                yield run, [value[0] for value in values] if figure == "lr" else values

    def _settings(self) -> list[dict[str, Any]]:
        return [self.spec.plain_settings(i) for i in range(self.spec.configurations)]

    def _view(self, run: int) -> RunView:
        view = self._begun.get(run, RunView(RunState.QUEUED))
        if self._job.state.ended and not view.state.ended:
            return RunView(RunState.CANCELLED, view.metrics, view.best)
        return view

    def _line(self, row: Row, label: str, store: JobReader) -> Line:
        runs = self.spec.runs_of(row.configuration)
        epochs = store.run_epochs(self._job.key, runs)
        spec = self.spec.run(runs[0])
        lr, per_epoch = spec.tables().lr, spec.intervals // spec.epochs
        if lr is None:  # it follows a metric
            lr, per_epoch = np.array([[epoch.lr[0] for epoch in epochs[0]]]), 1
        rates = steps(lr[0], per_epoch) if lr.size else None
        return Line(label, row.rank, rates, _accuracies(epochs, spec.epochs))


def _accuracies(epochs: Sequence[Sequence[Epoch]], length: int) -> Floats:
    """Test accuracies, (runs, length), NaN where there is none yet."""
    found = np.full((len(epochs), length), np.nan)
    for row, rows in zip(found, epochs, strict=True):
        row[: len(rows)] = [epoch.test_accuracy for epoch in rows]
    return found
