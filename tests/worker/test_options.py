"""The options of a job that the parity tests do not cover, and the step that a GPU captures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lrcore.errors import SpecError
from lrcore.jobs.training_spec import TrainingSpec
from lrserve.worker.engine import Hooks, train
from lrserve.worker.engine.data import load
from lrserve.worker.engine.models.base import ModelSetup, built
from lrserve.worker.engine.models.graph import GraphedStep
from lrserve.worker.engine.models.single import SingleModel
from lrserve.worker.engine.optim import Scheduled
from tests.factories import training_spec
from tests.worker.test_engine import figures

NOWHERE = Path("/nonexistent")
CPU = torch.device("cpu")


def test_a_run_that_no_longer_gets_better_ends_early() -> None:
    job = training_spec(epochs=50, optimizer={"type": "SGD", "lr": 0.0}, early_stopping={"patience": 3})

    assert len(train(job, data_root=NOWHERE, device=CPU).epochs) == 4


def test_an_improvement_below_min_delta_is_none() -> None:
    rule = {"monitor": "accuracy", "patience": 2, "min_delta": 1.0}
    job = training_spec(epochs=50, optimizer={"type": "SGD", "lr": 0.05}, early_stopping=rule)

    assert len(train(job, data_root=NOWHERE, device=CPU).epochs) == 3


@pytest.mark.slowest
def test_bfloat16_learns_and_keeps_float32_weights() -> None:
    job = training_spec(
        dataset={"type": "fake", "samples": 1000},
        optimizer={"type": "SGD", "lr": 0.02, "momentum": 0.9},
        epochs=6,
        batch_size=32,
        precision="bfloat16",
    )
    result = train(job, data_root=NOWHERE, device=CPU)

    assert result.best.test_accuracy > 0.9
    assert {p.dtype for p in result.model.parameters()} == {torch.float32}
    assert figures(result.epochs) != figures(
        train(job.model_copy(update={"precision": "float32"}), data_root=NOWHERE, device=CPU).epochs
    )


def test_a_short_last_batch_can_be_left_out() -> None:
    losses: list[float] = []
    job = training_spec(batch_size=100, drop_last=True, epochs=2)
    result = train(job, data_root=NOWHERE, device=CPU, hooks=Hooks(losses=lambda epoch, found: losses.extend(found)))

    assert job.steps_per_epoch == 2  # of 256 images
    assert len(losses) == 4
    assert result.epochs[0].train_loss == pytest.approx((losses[0] + losses[1]) / 2)
    with pytest.raises(ValidationError, match="no batch is full"):
        training_spec(batch_size=257, drop_last=True)


def test_running_figures_are_means_over_fifty_steps() -> None:
    running: list[tuple[int, float, float]] = []
    losses: list[float] = []
    job = training_spec(batch_size=2, epochs=1)
    hooks = Hooks(running=lambda *figures: running.append(figures), losses=lambda epoch, found: losses.extend(found))
    train(job, data_root=NOWHERE, device=CPU, hooks=hooks)

    assert [step for step, _, _ in running] == [50, 100]
    for step, loss, accuracy in running:
        assert loss == pytest.approx(math.fsum(losses[step - 50 : step]) / 50, rel=1e-6)
        assert 0 <= accuracy <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"optimizer": {"type": "SGD", "param_groups": [{"params": "0.*"}, {"params": "0.weight"}]}},
            r"optimizer\.param_groups\.1\.params: nothing is left for '0\.weight'",
        ),
        (
            {"optimizer": {"type": "Muon", "param_groups": [{"params": "*.bias"}]}},
            r"optimizer\.param_groups\.0\.params: nothing is left",
        ),
        ({"model": {"type": "torchvision:resnet18"}, "batch_size": 255}, "batch_size: a piece of one image"),
        (
            {"model": {"type": "torchvision:resnet18"}, "micro_batch_size": 21},
            "micro_batch_size: a piece of one image",
        ),
    ],
)
def test_what_the_job_cannot_do_is_said_before_it_starts(changes: dict[str, Any], message: str) -> None:
    started: list[int] = []
    with pytest.raises(SpecError, match=message):
        train(training_spec(**changes), data_root=NOWHERE, device=CPU, hooks=Hooks(step=started.append))
    assert not started


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"type": "lenet", "freeze": ["nothing.*"]}}, r"model\.freeze\.0: no parameter .* 0\.weight"),
        ({"model": {"type": "lenet", "freeze": ["*"]}}, r"model\.freeze leaves no parameter"),
        (
            {"optimizer": {"type": "SGD", "param_groups": [{"params": "0.*"}, {"params": "head.*"}]}},
            r"optimizer\.param_groups\.1\.params: no parameter",
        ),
    ],
)
def test_names_that_the_model_does_not_have_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        train(training_spec(**changes), data_root=NOWHERE, device=CPU)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schedule": {"type": "LambdaLR", "lr_lambda": ["1", "1"]}}, "schedule"),
        ({"momentum_schedule": {"type": "LinearLR"}, "optimizer": {"type": "Adagrad"}}, "momentum_schedule"),
        (
            {
                "momentum_schedule": {"type": "LinearLR", "end_factor": 1.0},
                "schedule": {"type": "CyclicLR", "base_lr": 0.1, "max_lr": 0.2},
            },
            "momentum_schedule",
        ),
        (
            {
                "momentum_schedule": {"type": "LambdaLR", "lr_lambda": "1 + epoch"},
                "optimizer": {"type": "SGD", "momentum": 0.9},
            },
            "momentum_schedule",
        ),
        ({"schedule": {"type": "CyclicLR", "base_lr": 0.1, "max_lr": 0.2, "max_momentum": 1.2}}, "schedule"),
        (
            {
                "momentum_schedule": {"type": "LambdaLR", "lr_lambda": "min(1, epoch)"},
                "optimizer": {"type": "RMSprop", "momentum": 0.9},
            },
            "momentum_schedule",
        ),
        ({"weight_decay_schedule": {"type": "ReduceLROnPlateau"}}, "weight_decay_schedule"),
        (
            {"weight_decay_schedule": {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 10}, "epochs": 11},
            "weight_decay_schedule",
        ),
    ],
)
def test_schedules_that_do_not_fit_are_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        training_spec(**changes)
    assert [error["ctx"]["error"].field[0] for error in refused.value.errors()] == [field]


def graphed(job: TrainingSpec, device: torch.device) -> SingleModel:
    """The run's side of the device, as it is where steps can be captured."""
    run = SingleModel([ModelSetup(job, Scheduled(job), built(job, device))], load(job.dataset, NOWHERE, device), device)
    run.graph = GraphedStep(run.optimizers, job, device)
    return run


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": {"type": "AdamW", "param_groups": [{"params": "0.*", "lr": 0.01}]}},
        {"dataset": {"type": "fake", "samples": 256, "image_size": 12, "flip": True, "crop": 2, "cutout": 5}},
        {"ema_decay": 0.9, "max_grad_norm": 0.5, "label_smoothing": 0.1, "precision": "bfloat16"},
        {"model": {"type": "resnet18", "width": 4}},
    ],
)
def test_the_step_that_a_gpu_captures_is_the_step_of_the_loop(changes: dict[str, Any]) -> None:
    """Run here step by step, by the same code with its indices and rates as tensors; only the capture is missing."""
    changes = {"optimizer": {"type": "AdamW"}} | changes
    job = training_spec(interval="step", schedule={"type": "StepLR", "step_size": 3, "gamma": 0.5}, **changes)
    expected: list[float] = []
    train(job, data_root=NOWHERE, device=CPU, hooks=Hooks(losses=lambda epoch, losses: expected.extend(losses)))

    torch.manual_seed(job.seed)
    run = graphed(job, CPU)
    for group in run.groups:  # so that the rate may be a tensor
        group |= {"foreach": False, "capturable": False}
    found: list[float] = []
    for epoch in range(job.epochs):
        run.begin(epoch, 0)
        for _ in range(job.steps_per_epoch):
            run.zero_grad()
            run.whole_step(first=epoch == 0 and not found)
            found.append(run.losses[len(found) % job.steps_per_epoch].item())

    assert found == pytest.approx(expected, rel=1e-5)


def test_the_step_that_a_gpu_captures_mixes_no_devices_and_reads_nothing_back() -> None:
    """On a device whose tensors have no values, and which takes none from the CPU. Without torch's own update."""
    device = torch.device("meta")
    data = {"type": "fake", "samples": 256, "image_size": 12, "flip": True, "crop": 2, "cutout": 5, "normalize": True}
    job = training_spec(dataset=data, ema_decay=0.9, label_smoothing=0.1, model={"type": "resnet18", "width": 4})
    run = graphed(job, device)
    run.optimizers = []

    run.begin(0, 0)
    for i in range(job.steps_per_epoch):
        run.model.zero_grad()
        run.whole_step(first=i == 0)

    assert {tensor.device for tensor in run.evaluated.state_dict().values()} == {device}
