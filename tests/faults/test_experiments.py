"""Experiments whose workers are killed, frozen and told to end in the middle of their shards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lrcore.jobs.states import RunState, State
from tests.conftest import until
from tests.factories import job_spec
from tests.faults.harness import Rig, Spec, Trial, runs_of

RATES = [0.01, 0.02, 0.03, 0.04, 0.05]  # odd: then one worker makes the same shards as two do, of 2, 2 and 1 runs


def grid(epochs: int) -> Spec:
    """Runs with epochs of about a tenth of a second, of steps so small that the two of a shard train as one network."""
    base = job_spec(
        dataset={"type": "fake", "samples": 512, "test_samples": 64, "image_size": 16},
        optimizer={"type": "SGD", "lr": 0.05, "momentum": 0.9},
        schedule={"type": "CosineAnnealingLR", "T_max": "100%"},
        interval="step",
        epochs=epochs,
        batch_size=8,
    )
    return {"base": base, "grid": {"lr": RATES}}


LONG, LONGER = grid(20), grid(80)


@contextmanager
def service(trial: Trial, workers: int, **settings: Any) -> Iterator[Rig]:
    """An lrserve all of whose workers are there before an experiment is shared out."""
    with trial.service(workers, runs_at_once=2, **settings) as rig:
        until(lambda: rig.client.ready().workers == workers)
        yield rig


def go_on(rig: Rig, shard: str, run: int, epochs: int = 2) -> None:
    """Wait until a shard is trained, and one of its runs has got some epochs further than now."""
    until(lambda: rig.state(shard) == "running")
    before = rig.epochs(run_of(shard, run))
    until(lambda: rig.epochs(run_of(shard, run)) >= before + epochs)


def run_of(shard: str, run: int) -> str:
    """Under which name the epochs of a run are kept."""
    return f"{shard.partition('/')[0]}/{run}"


def with_checkpoints(rig: Rig, job: str) -> None:
    """Pause the experiment inside its first shard and let it go on, which leaves a checkpoint to resume from."""
    go_on(rig, f"{job}/1", 0)
    rig.client.pause(job)
    until(lambda: rig.state(job) == "paused")
    rig.client.resume(job)


def succeeded(rig: Rig, job: str) -> bool:
    """Whether the experiment comes to its end, and all of its runs do."""
    state = rig.ended(job, 240).state
    return state == State.SUCCEEDED and {run.state for run in runs_of(rig.service, job)} == {RunState.SUCCEEDED}


@pytest.mark.faults("experiment: worker killed in mid-shard")
def test_another_worker_takes_a_part_over(trial: Trial) -> None:
    with service(trial, workers=2) as rig:
        job = rig.submit(LONG)
        with_checkpoints(rig, job)
        go_on(rig, f"{job}/1", 0, epochs=1)
        attempt, first = rig.attempt(f"{job}/1"), rig.holder(f"{job}/1")

        rig.kill(first)
        until(lambda: rig.attempt(f"{job}/1") > attempt, 240)  # nobody starts the dead one again
        assert rig.holder(f"{job}/1") != first

        assert succeeded(rig, job)
        assert rig.client.job(job).losses >= 1


@pytest.mark.faults("experiment: everything killed at once")
def test_after_the_death_of_everything_an_experiment_goes_on(trial: Trial) -> None:
    with service(trial, workers=2) as rig:
        job = rig.submit(LONG)
        with_checkpoints(rig, job)
        go_on(rig, f"{job}/1", 0, epochs=1)

        rig.kill("redis", "api", *rig.workers)
        rig.revive()

        assert succeeded(rig, job)


@pytest.mark.faults("experiment: worker frozen past its lease, then thawed")
@pytest.mark.parametrize("told_to_end", [False, True], ids=["thawed", "and told to end"])
def test_a_shard_s_worker_that_was_frozen_writes_over_nothing(trial: Trial, told_to_end: bool) -> None:
    with service(trial, workers=2) as rig:
        job = rig.submit(LONGER)
        shard = f"{job}/1"
        with_checkpoints(rig, job)
        go_on(rig, shard, 0, epochs=1)
        attempt, frozen = rig.attempt(shard), rig.holder(shard)

        rig.freeze(frozen)
        until(lambda: rig.attempt(shard) > attempt, 240)  # its successor has a shard of its own to finish first
        assert rig.holder(shard) != frozen
        go_on(rig, shard, 0, epochs=1)
        checkpoint = rig.home / "jobs" / shard / "0" / "checkpoint.safetensors"
        before = checkpoint.stat()
        if told_to_end:  # so that it would save where it stands
            rig.service.process(frozen).terminate()
        rig.thaw(frozen)
        until(lambda: "is fenced" in rig.log())
        assert checkpoint.stat() == before  # which is its successor's by now

        assert succeeded(rig, job)


@pytest.mark.faults("experiment: Redis killed in mid-shard")
def test_an_experiment_does_not_notice_that_redis_was_killed(trial: Trial) -> None:
    with service(trial, workers=1) as rig:
        job = rig.submit(LONG)
        for _ in range(3):
            go_on(rig, f"{job}/1", 0)
            rig.kill("redis")
            time.sleep(0.5)
            rig.revive()
            rig.row.rounds += 1

        assert succeeded(rig, job)
        assert rig.client.job(job).losses == 0


@pytest.mark.faults("experiment: paused, its worker lost, resumed")
def test_an_experiment_is_paused_though_a_worker_dies_meanwhile(trial: Trial) -> None:
    with service(trial, workers=2) as rig:
        job = rig.submit(LONG)
        with_checkpoints(rig, job)
        go_on(rig, f"{job}/1", 0, epochs=1)

        held = rig.holder(f"{job}/1")
        rig.freeze(held)  # it does not hear that it is to stop
        rig.client.pause(job)
        rig.kill(held)
        until(lambda: rig.state(job) == "paused")  # once its lease has run out
        rig.revive()
        counts = [run.state for run in runs_of(rig.service, job)]
        assert set(counts) <= {RunState.QUEUED, RunState.SUCCEEDED}
        rig.client.resume(job)

        assert succeeded(rig, job)


@pytest.mark.faults("experiment: cancelled while two workers run shards")
def test_an_experiment_is_cancelled_on_all_workers(trial: Trial) -> None:
    with service(trial, workers=2) as rig:
        job = rig.submit(LONGER)
        for shard, run in ((1, 0), (2, 2)):
            go_on(rig, f"{job}/{shard}", run)

        rig.client.cancel(job)

        assert rig.ended(job).state == State.CANCELLED
        assert {run.state for run in runs_of(rig.service, job)} == {RunState.CANCELLED}
        until(lambda: not list((rig.home / "jobs").glob(f"{job}/*")))  # nothing is left of its checkpoints


@pytest.mark.faults("experiment: poison, a shard's worker dies at each attempt")
def test_runs_that_end_every_worker_fail_and_the_others_succeed(trial: Trial) -> None:
    with service(trial, workers=1, max_losses=2) as rig:
        job = rig.submit(LONG)

        for attempt in (1, 2, 3):
            until(lambda attempt=attempt: rig.state(f"{job}/1") == "running" and rig.attempt(f"{job}/1") == attempt)
            rig.kill("worker 0")
            rig.revive()
            rig.row.rounds += 1

        assert rig.ended(job, 240).state == State.SUCCEEDED
        states = [run.state for run in runs_of(rig.service, job)]
        assert states == [RunState.FAILED] * 2 + [RunState.SUCCEEDED] * 3
        errors = [rig.service.http.get(f"/v1/experiments/{job}/runs/{run}").json()["error"] for run in (0, 1)]
        assert [error["type"] for error in errors] == ["worker_lost"] * 2
