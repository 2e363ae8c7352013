"""A process that was frozen, and whose run has been another one's since, writes over no checkpoint of that one's."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch

from lrcore.errors import SpecError
from lrserve.worker.engine import Hooks, Interrupted, Result, train
from lrserve.worker.engine.data import Data
from lrserve.worker.engine.models.single import SingleModel
from lrserve.worker.engine.models.stacked import StackedModels
from lrserve.worker.engine.range_test import range_test
from lrserve.worker.engine.trainer import Trainer
from lrserve.worker.engine.training import train_many, train_together
from lrserve.worker.engine.training_run import TrainingRun
from tests.factories import range_test_spec, training_spec

CPU, NOWHERE = torch.device("cpu"), Path("/nonexistent")
JOB = training_spec()
STEPS = 12

Way = Callable[[Hooks, Path], object]


def alone(hooks: Hooks, folder: Path) -> None:
    train(JOB, data_root=NOWHERE, device=CPU, hooks=hooks, folder=folder)


def together(hooks: Hooks, folder: Path) -> None:
    jobs = [JOB, JOB.model_copy(update={"seed": 1})]
    train_together(jobs, data_root=NOWHERE, device=CPU, hooks=[hooks] * 2, folder=folder)


def range_of_one(hooks: Hooks, folder: Path) -> None:
    range_test(range_test_spec(num_iter=STEPS), data_root=NOWHERE, device=CPU, hooks=hooks, folder=folder)


def range_of_seeds(hooks: Hooks, folder: Path) -> None:
    range_test(
        range_test_spec(num_iter=STEPS // 2, seeds=[0, 1]), data_root=NOWHERE, device=CPU, hooks=hooks, folder=folder
    )


class Lost(Exception):
    """What the caller's `stop` raises once the run is another process's."""


class Successor:
    """Has taken the run over, while the process at hand believes that it is its own."""

    def __init__(self, folder: Path) -> None:
        self.checkpoint = folder / "checkpoint.safetensors"
        self.there = False

    def come(self) -> None:
        self.there = True
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        self.checkpoint.write_bytes(b"the successor's")

    def asked(self) -> bool:
        if self.there:
            raise Lost
        return False


def assert_nothing_was_written(way: Way, hooks: Hooks, successor: Successor) -> None:
    with pytest.raises(Lost):
        way(hooks, successor.checkpoint.parent)
    assert successor.checkpoint.read_bytes() == b"the successor's"
    assert list(successor.checkpoint.parent.iterdir()) == [successor.checkpoint]


@pytest.mark.parametrize("way", [alone, together])
def test_a_run_that_was_lost_when_it_had_been_evaluated_for_the_last_time(way: Way, tmp_path: Path) -> None:
    successor = Successor(tmp_path)

    def report(epoch: object, best: object) -> None:
        if getattr(epoch, "epoch", None) == JOB.epochs - 1:
            successor.come()

    assert_nothing_was_written(way, Hooks(epoch=report, stop=successor.asked), successor)


@pytest.mark.parametrize("way", [range_of_one, range_of_seeds])
def test_a_range_test_that_was_lost_at_its_last_step(way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrserve.worker.engine.grouping.SMALL", float("inf"))  # seeds side by side
    successor = Successor(tmp_path)
    hooks = Hooks(step=lambda step: successor.come() if step == STEPS else None, stop=successor.asked)

    assert_nothing_was_written(way, hooks, successor)


@pytest.mark.parametrize("way", [alone, together, range_of_one, range_of_seeds])
def test_a_run_that_was_asked_to_stop_and_then_lost(way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrserve.worker.engine.grouping.SMALL", float("inf"))
    successor, steps = Successor(tmp_path), [0]

    def stop() -> bool:
        if steps[-1] < 5:
            return False
        if steps[-1] == 5:
            steps.append(6)
            return True  # all runs of a shard get it at once, and the checkpoint is written
        successor.come()
        return successor.asked()

    assert_nothing_was_written(way, Hooks(step=steps.append, stop=stop), successor)


@pytest.mark.parametrize("way", [alone, together, range_of_one, range_of_seeds])
def test_whoever_counts_checkpoints_hears_of_each(way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrserve.worker.engine.grouping.SMALL", float("inf"))
    steps, sizes = [0], [0]

    def saved() -> None:
        sizes.append(sum(file.stat().st_size for file in tmp_path.iterdir()))

    with suppress(Interrupted):
        way(Hooks(step=steps.append, stop=lambda: steps[-1] == 5, saved=saved), tmp_path)

    assert (tmp_path / "checkpoint.safetensors").stat().st_size == sizes[-1] > 0


def test_a_checkpoint_that_is_overdue_after_a_long_freeze(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrserve.worker.engine.saver.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("lrserve.worker.engine.saver.SAVE_SHARE", 1e9)
    successor = Successor(tmp_path)
    hooks = Hooks(step=lambda step: successor.come() if step == 1 else None, stop=successor.asked)

    assert_nothing_was_written(together, hooks, successor)


def refused(hooks: Hooks, folder: Path) -> None:
    """A batch of one image, which the model cannot normalize."""
    data = {"type": "fake", "samples": 33, "image_size": 12}
    train(
        training_spec(model={"type": "resnet18", "width": 2}, dataset=data, batch_size=32),
        data_root=NOWHERE,
        device=CPU,
        hooks=hooks,
        folder=folder,
    )


@contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.sampled(4)
@pytest.mark.parametrize("way", [alone, together, range_of_one, range_of_seeds, refused])
@pytest.mark.parametrize("stop", [5, 1000], ids=["stopped", "whole"])
def test_the_device_s_memory_is_free_at_once_when_a_run_is_over(
    way: Way, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No circle of objects keeps a model or its images until the collector comes."""
    monkeypatch.setattr("lrserve.worker.engine.grouping.SMALL", float("inf"))
    steps = [0]
    with no_collector():
        with suppress(Interrupted, SpecError):
            way(Hooks(step=steps.append, stop=lambda: steps[-1] >= stop), tmp_path)
        kinds = (Trainer, TrainingRun, SingleModel, StackedModels, Data)
        assert [type(each) for each in gc.get_objects() if isinstance(each, kinds)] == []


def test_a_run_that_is_stopped_while_it_is_prepared_ends_there() -> None:
    @contextmanager
    def stopped() -> Iterator[None]:
        raise Interrupted
        yield

    jobs = [training_spec(model={"type": "mlp", "dropout": 0.5}, seed=seed) for seed in range(2)]  # each alone
    outcomes = train_many(jobs, data_root=NOWHERE, device=CPU, hooks=[Hooks(preparing=stopped), Hooks()])

    assert [type(outcome) for outcome in outcomes] == [Interrupted, Result]
