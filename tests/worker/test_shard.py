"""Reports of a shard of an experiment, and what comes back, with a real Redis."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisGone

from lrcore.jobs.experiment import ExperimentSpec, ShardSpec
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.states import RunState, State
from lrcore.service.settings import Settings
from lrcore.store.queue import QUEUE
from lrcore.store.records import Claim, Judgement
from lrserve.worker import executors
from lrserve.worker.engine import Hooks, Interrupted
from lrserve.worker.runner import Runner
from lrserve.worker.shard import ShardHooks, ShardReporter
from tests.conftest import until
from tests.factories import claimed_runs, epoch, job_spec
from tests.stores import JobStore

SETTINGS = Settings(heartbeat_seconds=0.02)
STEPS = 4  # of an epoch


def experiment(changes: dict[str, Any] | None = None, **axes: Any) -> ExperimentSpec:
    return ExperimentSpec.model_validate({"base": job_spec(epochs=8), "grid": axes} | (changes or {}))


def best_epoch(index: int, accuracy: float = 0.5) -> tuple[Epoch, Best]:
    """Figures of an epoch, which is the best one."""
    figures = epoch(index, accuracy)
    return figures, Best.of(figures)


@contextmanager
def reporting(store: JobStore, claim: Claim) -> Iterator[tuple[ShardReporter, ShardHooks]]:
    reporter = ShardReporter(store, claim, SETTINGS, threading.Event())
    reporter.start()
    try:
        yield reporter, reporter.hooks(reporter.must_stop, nullcontext)
    finally:
        reporter.stop()
        reporter.check()


def test_a_stop_that_is_taken_back_stops_all_runs_nevertheless(store: JobStore) -> None:
    job = store.create(experiment(seed=[0, 1]))
    with reporting(store, claimed_runs(store)) as (reporter, hooks):
        store.pause(job.id)
        until(hooks.runs[0].stop)  # the other one has not been asked yet
        store.resume(job.id)
        until(lambda: reporter.wanted == "")

        assert hooks.runs[1].stop()
        assert hooks.stop()


def test_runs_that_were_stopped_in_passing_have_not_succeeded(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = store.create(experiment(seed=[0, 1]))

    def train_in_turn(specs: list[Any], *, hooks: list[Any], **others: Any) -> Iterator[Any]:
        store.pause(job.id)
        until(lambda: all(hook.stop() for hook in hooks))
        store.resume(job.id)
        threading.Event().wait(0.3)  # a checkpoint is written
        yield list(range(len(specs))), [Interrupted() for _ in specs]

    monkeypatch.setattr(executors, "train_in_turn", train_in_turn)
    settings = Settings(home=tmp_path, heartbeat_seconds=0.02)
    Runner(store, store, settings, "worker", most_runs=8).answer(QUEUE)

    assert store.get(job.id).state is State.QUEUED
    assert {run.state for run in store.runs(job.id).values()} == {RunState.QUEUED}


def test_a_run_s_weights_are_gone_before_the_next_run_has_its_own(tmp_path: Path) -> None:
    spec = experiment({"base": job_spec(epochs=1, optimizer={"type": "Muon"})}, seed=[0, 1, 2])
    weights: list[weakref.ref[Any]] = []
    left: list[int] = []

    def ended(outcome: Any) -> None:
        gc.collect()
        left.append(sum(found() is not None for found in weights))
        weights.append(weakref.ref(outcome.model))

    hooks = ShardHooks([Hooks(ended=ended)] * 3, lambda: False)
    shard = ShardSpec(first=0, count=3, experiment=spec)
    executors.EXECUTORS[ShardSpec].run(shard, "x/1", data_root=tmp_path, hooks=hooks, folder=tmp_path)

    assert left == [0, 0, 0]


def test_progress_does_not_fall_back_while_a_shard_is_resumed(store: JobStore) -> None:
    job = store.create(experiment(seed=[0, 1]))

    def step() -> int:
        progress = store.get(job.id).progress
        assert progress is not None
        return progress.step

    with reporting(store, claimed_runs(store)) as (reporter, hooks):
        for run in hooks.runs:
            run.step(0)
            run.step(STEPS)
            run.epoch(*best_epoch(0))
        reporter.finish(State.QUEUED, None)
    assert step() == 2 * STEPS

    with reporting(store, claimed_runs(store)) as (reporter, hooks):
        reporter.confirm()  # it loads the data, say
        assert step() == 2 * STEPS
        for run in hooks.runs:
            run.epoch(*best_epoch(0))
        reporter.confirm()
        assert step() == 2 * STEPS
        for run in hooks.runs:
            run.step(STEPS)
            run.step(STEPS + 1)
        until(lambda: step() == 2 * STEPS + 2)


def test_a_judgement_that_redis_did_not_answer_is_asked_for_again(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune = {"prune": {"type": "asha", "min_resource": 1, "reduction_factor": 2}}
    job = store.create(experiment(prune, lr=[0.1, 0.2]))
    judge, away = store.judge, [True]

    def broken(claim: Claim, judgements: list[Judgement]) -> list[bool]:
        if away and judgements[0].key == "0:0":
            away.pop()
            raise RedisGone("away")
        return judge(claim, judgements)

    monkeypatch.setattr(store, "judge", broken)
    with reporting(store, claimed_runs(store)) as (_, hooks):
        hooks.runs[1].epoch(*best_epoch(0, 0.2))
        until(lambda: 1 in store.runs(job.id) and store.runs(job.id)[1].metrics)
        hooks.runs[0].epoch(*best_epoch(0, 0.1))

        until(hooks.runs[0].stop)
        assert not hooks.runs[1].stop()
        assert not hooks.stop()
    assert [run.state for run in store.runs(job.id).values()] == [RunState.PRUNED, RunState.RUNNING]
