"""How a worker runs each job type, which files each must leave, and who reports on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lrcore.jobs.experiment import ShardSpec
from lrcore.jobs.job_spec import JobSpec
from lrcore.jobs.range_test import RangeTestSpec, result
from lrcore.jobs.training_spec import TrainingSpec

from . import artifacts
from .engine import Hooks, Interrupted, Result, train
from .engine.range_test import range_test
from .engine.training import train_in_turn
from .reporter import Reporter
from .shard import ShardHooks, ShardReporter
from .tracking import track


@dataclass(frozen=True)
class FinishedJob:
    """A job that succeeded, and what is left to do with it.

    Attributes:
        write: puts its files into the job's folder; None if it leaves none.
        logged: called with the folder once the files are where they stay.
        result: JSON for the job's record, or "".
        then: id and spec of a job that is to be submitted, or None.
    """

    write: Callable[[Path], None] | None
    logged: Callable[[Path], None] = lambda folder: None
    result: str = ""
    then: tuple[str, JobSpec] | None = None


class RunJob(Protocol):
    """Runs a job of one type; raises what the engine does."""

    def __call__(self, spec: Any, job_id: str, *, data_root: Path, hooks: Any, folder: Path) -> FinishedJob:
        """Run the job, from the checkpoint in its folder if there is one.

        Args:
            hooks: as the job type's reporter makes them.
        """


def _training(spec: TrainingSpec, job_id: str, *, data_root: Path, hooks: Hooks, folder: Path) -> FinishedJob:
    artifacts.check(spec)
    return trained(spec, job_id, train(spec, data_root=data_root, hooks=hooks, folder=folder))


def trained(spec: TrainingSpec, job_id: str, done: Result) -> FinishedJob:
    """What a training leaves."""
    return FinishedJob(
        lambda folder: artifacts.write(folder, spec, done.epochs, done.best),
        lambda folder: track(folder, spec, done.epochs, done.best, job_id),
    )


def _range_test(spec: RangeTestSpec, job_id: str, *, data_root: Path, hooks: Hooks, folder: Path) -> FinishedJob:
    done = range_test(spec, data_root=data_root, hooks=hooks, folder=folder)
    # an id that follows from the test's: whoever comes to submit it makes the same job, which is made once
    found = result(spec, done.losses, done.ended, f"{job_id}-{spec.use_for}", done.together)
    then = None
    if spec.use_for and found.job_id:
        then = found.job_id, spec.training(getattr(found.suggestion, spec.use_for))
    text = found.model_dump_json()
    return FinishedJob(lambda folder: artifacts.write_range_test(folder, spec, found), result=text, then=then)


def _shard(spec: ShardSpec, job_id: str, *, data_root: Path, hooks: ShardHooks, folder: Path) -> FinishedJob:
    rule = spec.experiment.prune
    rungs = rule.rungs(spec.experiment.base.epochs) if rule else ()
    specs = [spec.experiment.run(index) for index in spec.indices]
    interrupted = False
    for _, outcomes in train_in_turn(specs, data_root=data_root, hooks=hooks.runs, folder=folder, rungs=rungs):
        interrupted = interrupted or any(isinstance(outcome, Interrupted) for outcome in outcomes)
        del outcomes  # with the runs' weights
    if interrupted and hooks.stop():  # else they were pruned
        raise Interrupted
    return FinishedJob(None)


@dataclass(frozen=True)
class Executor:
    """What a worker knows of a job type.

    Attributes:
        reporter: makes the hooks, and delivers what happens to the store.
    """

    run: RunJob
    reporter: type[Reporter] = Reporter


EXECUTORS: dict[type[JobSpec], Executor] = {
    TrainingSpec: Executor(_training),
    RangeTestSpec: Executor(_range_test),
    ShardSpec: Executor(_shard, ShardReporter),
}
