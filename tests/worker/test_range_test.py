"""Range tests in the engine and in a worker, on the CPU."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from redis import Redis

from lrcore.access.limits import LimitStore
from lrcore.jobs.job import JobOptions
from lrcore.jobs.range_test import RangeTestSpec, end_of
from lrcore.service.settings import Settings
from lrcore.store.errors import StoreFull
from lrcore.store.queue import QUEUE
from lrserve.worker.engine import Hooks, Interrupted, grouping, train
from lrserve.worker.engine.range_test import RangeLosses, range_test
from lrserve.worker.executors import EXECUTORS, Executor, FinishedJob
from lrserve.worker.runner import Runner
from tests.factories import job_spec, range_test_spec
from tests.stores import JobStore

NOWHERE = Path("/nonexistent")
CPU = torch.device("cpu")
LEARNABLE = {
    "model": {"type": "mlp"},
    "dataset": {"type": "fake", "samples": 256, "test_samples": 64, "image_size": 12},
    "start_lr": 1e-3,
    "end_lr": 1e3,
    "num_iter": 60,
    "smoothing": 0.3,
}


def losses_of(test: RangeTestSpec, **how: Any) -> tuple[list[float], str]:
    done = seeds_of(test, **how)
    assert done.together == 1
    (losses,) = done.losses
    return losses, done.ended


def seeds_of(test: RangeTestSpec, **how: Any) -> RangeLosses:
    return range_test(test, data_root=NOWHERE, device=CPU, **how)


def test_its_losses_are_those_of_the_training_at_the_same_rates() -> None:
    test = range_test_spec(start_lr=1e-3, end_lr=0.5, num_iter=10)
    losses, ended = losses_of(test)
    epochs: list[list[float]] = []
    train(test.run(), data_root=NOWHERE, device=CPU, hooks=Hooks(losses=lambda epoch, of: epochs.append(of)))

    assert ended == "num_iter"
    assert len(losses) == 10
    assert losses == [loss for of in epochs for loss in of][:10]


@pytest.mark.parametrize("mode", ["exp", "linear"])
def test_every_step_is_made_at_the_rate_that_the_result_shows(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[list[float]] = []
    step = torch.optim.SGD.step

    def recorded(self: torch.optim.SGD, *arguments: Any) -> Any:
        if self.param_groups[0]["params"][0].device == CPU:  # else its memory is estimated
            used.append([group["lr"] for group in self.param_groups])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", recorded)
    optimizer = {"type": "SGD", "lr": 0.2, "param_groups": [{"params": "*.bias", "lr": 0.1}]}
    test = range_test_spec(optimizer=optimizer, start_lr=1e-4, end_lr=1e-2, num_iter=7, mode=mode)
    losses_of(test)

    assert [rates[0] for rates in used] == test.rates().tolist()
    assert [rates[1] for rates in used] == (test.rates() * 0.5).tolist()


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9}},
        {"optimizer": {"type": "AdamW"}, "model": {"type": "mlp", "dropout": 0.5}, "micro_batch_size": 10},
        {"dataset": {"type": "fake", "samples": 256, "flip": True, "crop": 2, "validation_split": 0.2}},
    ],
)
@pytest.mark.sampled(3)
@pytest.mark.parametrize("stop", [1, 7, 0, 4, 13])
def test_a_test_that_is_stopped_anywhere_and_resumed_is_one_that_was_not(
    changes: dict[str, Any], stop: int, tmp_path: Path
) -> None:
    test = range_test_spec(**{"start_lr": 1e-3, "end_lr": 0.3, "num_iter": 14} | changes)
    undisturbed = losses_of(test)
    steps: list[int] = []
    with pytest.raises(Interrupted):
        losses_of(test, folder=tmp_path, hooks=Hooks(step=steps.append, stop=lambda: steps[-1] >= stop))
    assert steps[-1] == stop
    again: list[int] = []

    assert losses_of(test, folder=tmp_path, hooks=Hooks(step=again.append)) == undisturbed
    assert again == list(range(stop, 15))
    assert losses_of(test, folder=tmp_path) == undisturbed  # it is done: nothing is left to do


def test_a_checkpoint_between_two_steps_has_all_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrserve.worker.engine.saver.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("lrserve.worker.engine.saver.SAVE_SHARE", 1e9)
    test = range_test_spec(num_iter=9, end_lr=0.3)

    class Killed(Exception):
        pass

    def kill(step: int) -> None:
        if step == 6:
            raise Killed

    with pytest.raises(Killed):
        losses_of(test, folder=tmp_path, hooks=Hooks(step=kill))
    again: list[int] = []

    assert losses_of(test, folder=tmp_path, hooks=Hooks(step=again.append)) == losses_of(test)
    assert again[0] == 5


def test_a_training_does_not_take_up_the_checkpoint_of_a_test(tmp_path: Path) -> None:
    test = range_test_spec(num_iter=8, end_lr=0.3)
    losses_of(test, folder=tmp_path)
    steps: list[int] = []
    train(test.run(), data_root=NOWHERE, device=CPU, folder=tmp_path, hooks=Hooks(step=steps.append))

    assert steps[0] == 0


def test_a_rate_that_is_too_high_ends_the_test() -> None:
    losses, ended = losses_of(range_test_spec(**LEARNABLE))
    broken, why = losses_of(range_test_spec(**LEARNABLE | {"start_lr": 1e25, "end_lr": 1e30, "stop_factor": None}))

    assert (ended, len(losses) < 60) == ("diverged", True)
    assert (why, math.isfinite(broken[-1]), np.isfinite(broken[:-1]).all()) == ("not_finite", False, True)


SEEDS = (5, 0, 3)
RATIO = {"type": "SGD", "lr": 0.2, "momentum": 0.9, "param_groups": [{"params": "*.bias", "lr": 0.05}]}
NEVER, STACKED, THREADS, PAIRS = "never", "stacked", "threads", "pairs"


def way(how: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Train several seeds one after another, as one stacked network, with a stack each, or two and then one.

    Returns how many of SEEDS are trained together.
    """
    monkeypatch.setattr(
        "lrserve.worker.engine.grouping.is_faster", lambda specs, device: how != NEVER and len(specs) > 1
    )
    monkeypatch.setattr(grouping, "SMALL", 0.0 if how == THREADS else math.inf)
    monkeypatch.setattr(grouping, "MOST", 2 if how == PAIRS else 64)
    return {NEVER: 1, PAIRS: 2}.get(how, 3)


@pytest.mark.parametrize(
    "changes",
    [
        LEARNABLE,
        LEARNABLE | {"optimizer": RATIO, "drop_last": True, "mode": "linear", "end_lr": 3.0},
        {"optimizer": {"type": "AdamW"}, "model": {"type": "lenet"}, "end_lr": 0.03, "num_iter": 23},
        {"dataset": {"type": "fake", "samples": 70, "flip": True, "crop": 2}, "micro_batch_size": 10, "num_iter": 20},
        LEARNABLE | {"start_lr": 1e-3, "end_lr": 1e300, "stop_factor": None},
        LEARNABLE | {"smoothing": 1.0, "stop_factor": 1.1},  # single seeds would end before their mean
    ],
    ids=["diverges", "groups", "lenet", "augmented", "not finite", "earlier"],
)
@pytest.mark.sampled(15)
@pytest.mark.parametrize("how", [STACKED, THREADS, PAIRS, NEVER])
def test_several_seeds_have_the_losses_that_each_has_alone(
    how: str, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = way(how, monkeypatch)
    given = changes | {"precision": "float64"}
    done = seeds_of(range_test_spec(**given, seeds=SEEDS))
    alone = [losses_of(range_test_spec(**given | {"seed": seed, "stop_factor": None}))[0] for seed in SEEDS]
    n, ended = end_of(range_test_spec(**given), alone)

    assert (done.ended, done.together) == (ended, together)
    assert [len(losses) for losses in done.losses] == [n] * 3
    np.testing.assert_allclose(done.losses, [losses[:n] for losses in alone], rtol=1e-9)
    assert len({losses[0] for losses in done.losses}) == 3


def test_one_seed_of_a_list_is_the_same_as_that_seed() -> None:
    assert losses_of(range_test_spec(**LEARNABLE, seeds=[4])) == losses_of(range_test_spec(**LEARNABLE | {"seed": 4}))


def test_seeds_with_dropout_are_trained_one_after_another() -> None:
    given: dict[str, Any] = {"model": {"type": "mlp", "dropout": 0.5}, "num_iter": 6, "end_lr": 0.1}
    done = seeds_of(range_test_spec(**given, seeds=SEEDS))

    assert done.together == 1
    assert done.losses == [losses_of(range_test_spec(**given, seed=seed))[0] for seed in SEEDS]


@pytest.mark.parametrize("how", [STACKED, THREADS, PAIRS, NEVER])
@pytest.mark.sampled(3)
@pytest.mark.parametrize("stop", [4, 29, 0, 13, 34])
def test_seeds_that_are_stopped_anywhere_and_resumed_are_those_that_were_not(
    how: str, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = way(how, monkeypatch)
    test = range_test_spec(start_lr=1e-3, end_lr=0.3, num_iter=14, seeds=SEEDS, optimizer=RATIO)
    undisturbed = seeds_of(test)
    steps: list[int] = []
    with pytest.raises(Interrupted):
        seeds_of(test, folder=tmp_path, hooks=Hooks(step=steps.append, stop=lambda: steps[-1] >= stop))
    again: list[int] = []

    assert seeds_of(test, folder=tmp_path, hooks=Hooks(step=again.append)) == undisturbed
    assert undisturbed.together == together
    assert again == sorted(again)
    assert again[0] == steps[-1] < stop + together  # no step is lost, and none is made twice
    assert again[-1] == test.steps == 42
    assert seeds_of(test, folder=tmp_path) == undisturbed  # it is done: nothing is left to do


def test_a_worker_that_is_killed_among_seeds_loses_none_that_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way(NEVER, monkeypatch)
    test = range_test_spec(num_iter=5, end_lr=0.3, seeds=SEEDS)

    class Killed(Exception):
        pass

    def kill(step: int) -> None:
        if step == 12:
            raise Killed

    with pytest.raises(Killed):
        seeds_of(test, folder=tmp_path, hooks=Hooks(step=kill))
    again: list[int] = []

    assert seeds_of(test, folder=tmp_path, hooks=Hooks(step=again.append)) == seeds_of(test)
    assert again[0] == 10


@pytest.mark.parametrize("how", [STACKED, THREADS])
def test_the_running_figures_are_means_over_the_seeds(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    way(how, monkeypatch)
    reported: list[tuple[int, float]] = []
    data = {"type": "fake", "samples": 120, "image_size": 12}
    test = range_test_spec(dataset=data, batch_size=2, num_iter=55, end_lr=1e-3, seeds=SEEDS, precision="float64")
    done = seeds_of(test, hooks=Hooks(running=lambda step, loss, accuracy: reported.append((step, loss))))

    assert reported == [(150, pytest.approx(np.mean([losses[:50] for losses in done.losses])))]


def runner_of(store: JobStore, home: Path) -> Runner:
    return Runner(store, store, Settings(home=home), "worker")


@pytest.mark.slow
def test_a_worker_leaves_result_files_and_the_training_that_was_asked_for(store: JobStore, tmp_path: Path) -> None:
    test = range_test_spec(**LEARNABLE | {"use_for": "valley", "epochs": 2})
    job_id = store.create(test, JobOptions(labels=("mine",), priority=4)).id
    runner_of(store, tmp_path).answer(QUEUE)
    job = store.get(job_id)

    assert (job.state, job.kind, job.error) == ("succeeded", "lr_range_test", None)
    assert job.result is not None
    valley = job.result["suggestion"]["valley"]
    made = store.get(job.result["job_id"])
    assert made.id == f"{job_id}-valley"
    assert (made.kind, made.spec["optimizer"]["lr"], made.spec["epochs"]) == ("training", valley, 2)
    assert (made.labels, made.priority, made.state) == (["mine"], 4, "queued")
    folder = tmp_path / "artifacts" / job_id
    names = {file.name for file in folder.iterdir()}
    assert names == {"spec.json", "result.json", "curve.csv", "plot.png", "plot.svg"}
    assert json.loads((folder / "result.json").read_text()) == job.result
    assert RangeTestSpec.model_validate_json((folder / "spec.json").read_text()) == test


def test_a_worker_leaves_the_losses_of_every_seed(store: JobStore, tmp_path: Path) -> None:
    test = range_test_spec(**LEARNABLE, seeds=[2, 7], seed=1, use_for="valley", epochs=2)
    job_id = store.create(test).id
    runner_of(store, tmp_path).answer(QUEUE)
    job = store.get(job_id)

    assert job.result is not None
    assert (job.result["seeds"], len(job.result["losses"])) == ([2, 7], 2)
    np.testing.assert_allclose(job.result["loss"], np.mean(job.result["losses"], axis=0), rtol=1e-15)
    assert job.progress.steps == 120
    assert store.get(job.result["job_id"]).spec["seed"] == 1
    header = (tmp_path / "artifacts" / job_id / "curve.csv").read_text().splitlines()[0]
    assert header == "step,lr,loss,smoothed_loss,loss_seed_2,loss_seed_7"


def test_a_worker_that_is_lost_before_the_end_makes_no_second_training(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = store.create(range_test_spec(**LEARNABLE | {"use_for": "max_lr", "epochs": 1})).id
    real = Runner._submit

    class Lost(BaseException):
        pass

    def lost(self: Runner, *arguments: Any) -> None:
        real(self, *arguments)
        raise Lost

    monkeypatch.setattr(Runner, "_submit", lost)
    with pytest.raises(Lost):
        runner_of(store, tmp_path).answer(QUEUE)
    monkeypatch.undo()
    assert store.abandon("worker", 3) == [job_id]
    rounded = EXECUTORS[RangeTestSpec].run

    def on_another_device(*arguments: Any, **how: Any) -> FinishedJob:
        outcome = rounded(*arguments, **how)
        assert outcome.then
        name, job = outcome.then
        optimizer = job.optimizer.at(0.123)  # type: ignore[attr-defined]
        return FinishedJob(
            outcome.write, result=outcome.result, then=(name, job.model_copy(update={"optimizer": optimizer}))
        )

    monkeypatch.setitem(EXECUTORS, RangeTestSpec, Executor(on_another_device))
    store.prioritize(job_id, 9)
    runner_of(store, tmp_path).answer(QUEUE)

    jobs, _ = store.page(whole=True)
    assert [(job.id, job.state) for job in jobs] == [(f"{job_id}-max_lr", "queued"), (job_id, "succeeded")]
    assert (jobs[1].losses, jobs[1].attempt) == (1, 2)
    assert jobs[0].spec["optimizer"]["lr"] == jobs[1].result["suggestion"]["max_lr"]  # type: ignore[index]


def test_without_a_suggestion_there_is_no_training(store: JobStore, tmp_path: Path) -> None:
    job_id = store.create(range_test_spec(num_iter=5, use_for="valley", epochs=1)).id
    runner_of(store, tmp_path).answer(QUEUE)
    job = store.get(job_id)

    assert job.state == "succeeded"
    assert job.result is not None
    assert job.result["job_id"] is None
    assert "5 finite losses" in job.result["suggestion"]["reasons"]["valley"]
    assert len(store.page()[0]) == 1


def test_a_test_that_is_cancelled_at_its_end_makes_no_training(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = store.create(range_test_spec(**LEARNABLE | {"use_for": "valley", "epochs": 1})).id
    tested = EXECUTORS[RangeTestSpec].run

    def cancelled(*arguments: Any, **how: Any) -> FinishedJob:
        return replace(tested(*arguments, **how), logged=lambda folder: store.cancel(job_id))

    monkeypatch.setitem(EXECUTORS, RangeTestSpec, Executor(cancelled))
    runner_of(store, tmp_path).answer(QUEUE)

    assert [(job.id, job.state) for job in store.page()[0]] == [(job_id, "cancelled")]


def test_a_test_whose_training_finds_no_room_fails(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = store.create(range_test_spec(**LEARNABLE | {"use_for": "valley", "epochs": 1})).id

    def full(*arguments: Any) -> None:
        raise StoreFull("nothing was stored")

    monkeypatch.setattr(JobStore, "put", full)
    runner_of(store, tmp_path).answer(QUEUE)
    job = store.get(job_id)

    assert (job.state, job.result) == ("failed", None)
    assert job.error is not None
    assert "StoreFull" in job.error.message


def test_a_test_whose_tenant_has_no_room_for_the_training_fails(store: JobStore, tmp_path: Path, redis: Redis) -> None:
    mine = store.of("mine")
    job_id = mine.create(
        range_test_spec(**LEARNABLE | {"use_for": "valley", "epochs": 1}), JobOptions(priority=1, max_attempts=1)
    ).id
    mine.create(range_test_spec(seed=1))
    LimitStore(redis).change("mine", {"queued": 1})
    runner_of(store, tmp_path).answer(QUEUE)
    job = store.get(job_id)

    assert (job.state, job.result) == ("failed", None)
    assert job.error is not None
    assert (job.error.type, "the limit queued is reached" in job.error.message) == ("limit_reached", True)


def test_a_job_of_an_unknown_kind_fails_and_the_next_one_is_taken(store: JobStore, redis: Redis) -> None:
    odd, job_id = store.create(range_test_spec()).id, store.create(range_test_spec(seed=1)).id
    redis.hset(f"lrserve:job:{odd}", "kind", "poem")
    claim = store.claim([QUEUE], "worker", 30)

    assert claim is not None
    assert (claim.id, claim.spec) == (job_id, range_test_spec(seed=1))
    error = store.get(odd).error
    assert error is not None
    assert (error.type, "poem" in error.message) == ("invalid_spec", True)


def test_progress_of_a_test_is_in_its_own_steps(store: JobStore, tmp_path: Path) -> None:
    job_id = store.create(range_test_spec(num_iter=10, end_lr=0.1)).id
    assert store.get(job_id).progress.steps == 10
    runner_of(store, tmp_path).answer(QUEUE)
    progress = store.get(job_id).progress

    assert (progress.step, progress.epoch, progress.epochs, progress.fraction) == (10, 2, 3, 1.0)


def test_a_job_of_each_kind_can_be_run() -> None:
    from lrcore.jobs.experiment import ExperimentSpec
    from lrcore.jobs.job_types import JOB_TYPES

    assert set(EXECUTORS) == set(JOB_TYPES.values()) - {ExperimentSpec}  # workers run its shards
    assert {kind: cls.kind for kind, cls in JOB_TYPES.items()} == {kind: kind for kind in JOB_TYPES}
    assert job_spec().keys() - {"epochs"} <= RangeTestSpec.model_fields.keys()
