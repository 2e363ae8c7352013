"""What the reporter of a shard reports again when Redis has lost it."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path

from redis import Redis
from torch import nn

from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.job import Best
from lrcore.jobs.states import State
from lrcore.service.settings import Settings
from lrserve.worker.engine import Diverged, Result
from lrserve.worker.shard import ShardHooks, ShardReporter
from tests.conftest import until
from tests.factories import claimed_runs, epoch, experiment_of, job_spec
from tests.store.experiments import contents, rewind, states
from tests.stores import JobStore

BEST = Best(epoch=0, test_accuracy=0.5)


def reported(store: JobStore, home: Path, spec: ExperimentSpec) -> tuple[ShardReporter, ShardHooks]:
    """The reporter of a shard with all runs, and what their training calls."""
    store.create(spec)
    reporter = ShardReporter(store, claimed_runs(store), Settings(home=home), threading.Event())
    reporter.start()
    return reporter, reporter.hooks(lambda: False, nullcontext)


def test_the_ends_of_runs_are_sent_again_if_redis_has_lost_them(store: JobStore, redis: Redis, tmp_path: Path) -> None:
    reporter, hooks = reported(store, tmp_path, experiment_of(4))
    [job] = store.page()[0]
    for run in hooks.runs:
        run.epoch(epoch(0), BEST)
    until(lambda: all(store.run_epochs(job.id, range(4))))
    before = contents(redis)
    for run in hooks.runs[:3]:
        run.epoch(epoch(1), BEST)
    hooks.runs[0].ended(Diverged("the loss is not finite"))
    hooks.runs[1].ended(Result([], BEST, nn.Identity(), {}))
    until(lambda: states(store, job.id)[:2] == ["failed", "succeeded"])
    rewind(redis, before)

    reporter.finish(State.SUCCEEDED, None)

    assert states(store, job.id) == ["failed", "succeeded", "succeeded", "succeeded"]
    assert [len(epochs) for epochs in store.run_epochs(job.id, range(4))] == [2, 2, 2, 1]
    error = store.runs(job.id)[0].error
    assert error is not None
    assert error.type == "diverged"


def test_a_run_whose_pruning_redis_has_lost_is_pruned(store: JobStore, redis: Redis, tmp_path: Path) -> None:
    spec = ExperimentSpec.model_validate(
        {"base": job_spec(), "grid": {"lr": [0.1, 0.2, 0.3, 0.4]}, "prune": {"type": "asha"}}
    )
    reporter, hooks = reported(store, tmp_path, spec)
    [job] = store.page()[0]
    before = contents(redis)
    for run, accuracy in zip(hooks.runs, (0.8, 0.6, 0.4, 0.2), strict=True):  # the best one first: it goes on
        run.epoch(epoch(0, accuracy), Best(epoch=0, test_accuracy=accuracy))
    until(lambda: all(run.stop() for run in hooks.runs[1:]))
    rewind(redis, before)

    reporter.finish(State.SUCCEEDED, None)

    assert states(store, job.id) == ["succeeded", "pruned", "pruned", "pruned"]
    assert all(store.run_epochs(job.id, range(4)))
