"""The engine against the plain loop that people write, with torch's own optimizers and schedulers, in float64."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lrcore.jobs.training_spec import TrainingSpec
from lrcore.optimizers import OPTIMIZERS
from lrserve.worker.engine import Hooks, train
from lrserve.worker.engine.data import load, permutation
from tests.factories import training_spec
from tests.lrcore.test_torch_parity import IN_TORCH, build

NOWHERE = Path("/nonexistent")
CPU = torch.device("cpu")
STEPS = 50
EPOCHS = 10  # of five steps; the last batch of each is short

SCHEDULES: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 7, "gamma": 0.5},
    "MultiStepLR": {"milestones": [10, 30], "gamma": 0.5},
    "ConstantLR": {"factor": 0.5, "total_iters": 20},
    "LinearLR": {"start_factor": 0.1, "total_iters": 20},
    "PolynomialLR": {"total_iters": 40, "power": 2.0},
    "ExponentialLR": {"gamma": 0.95},
    "CosineAnnealingLR": {"T_max": 20, "eta_min": 1e-4},
    "CosineAnnealingWarmRestarts": {"T_0": 5, "T_mult": 2},
    "CyclicLR": {"base_lr": 1e-3, "max_lr": 0.1, "step_size_up": 6},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 50},
    "LambdaLR": {"lr_lambda": "0.95 ** epoch"},
    "MultiplicativeLR": {"lr_lambda": "0.95"},
    "SWALR": {"swa_lr": 0.01, "anneal_epochs": 20},
    "SequentialLR": {
        "schedulers": [{"type": "LinearLR", "total_iters": 5}, {"type": "CosineAnnealingLR", "T_max": 45}],
        "milestones": [5],
    },
    "ChainedScheduler": {"schedulers": [{"type": "LinearLR"}, {"type": "ExponentialLR", "gamma": 0.97}]},
    "Constant": {},
    "ReduceLROnPlateau": {"patience": 0, "threshold": 0.05, "factor": 0.5},
}


def spec(**changes: Any) -> TrainingSpec:
    data = {"type": "fake", "samples": 310, "test_samples": 50, "image_size": 12, "noise": 0.3}
    given = {"dataset": data, "precision": "float64", "epochs": EPOCHS, "interval": "step", "batch_size": 64}
    return training_spec(**given | changes)


def losses_of(job: TrainingSpec) -> list[float]:
    """The loss of each step."""
    found: list[float] = []
    hooks = Hooks(losses=lambda epoch, losses: found.extend(losses))
    train(job, data_root=NOWHERE, device=CPU, hooks=hooks)
    return found


def batches(job: TrainingSpec, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    splits = job.dataset.load(NOWHERE)
    images, labels = torch.from_numpy(np.asarray(splits.train_images)), torch.from_numpy(splits.train_labels)
    for chosen in torch.from_numpy(permutation(len(labels), job.seed, epoch)).split(job.batch_size):
        yield images[chosen].double() / 255, labels[chosen]


def fresh_model(job: TrainingSpec) -> nn.Module:
    torch.manual_seed(job.seed)
    return job.model.build(job.dataset.image_shape, job.dataset.num_classes).double()


def loss_on_test_images(job: TrainingSpec, model: nn.Module) -> float:
    splits = job.dataset.load(NOWHERE)
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(np.asarray(splits.test_images)).double() / 255)
        return F.cross_entropy(logits, torch.from_numpy(splits.test_labels)).item()


def plain(job: TrainingSpec, optimizer_of: Any) -> list[float]:
    """The loop of the tutorials: optimizer.step(), then scheduler.step()."""
    model = fresh_model(job)
    optimizer: torch.optim.Optimizer = optimizer_of(model)
    reference = job.rate_schedule.torch_reference()
    assert reference is not None
    scheduler = build(reference, optimizer)
    found = []
    for epoch in range(job.epochs):
        model.train()
        for images, labels in batches(job, epoch):
            loss = F.cross_entropy(model(images), labels, label_smoothing=job.label_smoothing)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            if job.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(model.parameters(), job.max_grad_norm)
            optimizer.step()
            if job.interval == "step":
                scheduler.step()
            found.append(loss.item())
        if job.interval == "epoch":
            scheduler.step(*([loss_on_test_images(job, model)] if job.rate_schedule.metric_driven else []))
    return found


def torch_optimizer(job: TrainingSpec) -> Any:
    cls = getattr(torch.optim, job.optimizer.name())
    return lambda model: cls(model.parameters(), **job.optimizer.arguments())


def assert_same(ours: list[float], theirs: list[float]) -> None:
    assert len(ours) == len(theirs) == STEPS
    assert max(theirs) > 1.01 * min(theirs)  # something was learnt, or broken
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_every_schedule_of_torch_is_tried() -> None:
    assert set(SCHEDULES) == {*IN_TORCH, "ReduceLROnPlateau"}


@pytest.mark.sampled(12)
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_the_losses_are_those_of_torch_s_scheduler(name: str, interval: str) -> None:
    if name == "ReduceLROnPlateau" and interval == "step":
        pytest.skip("it follows a metric, once an epoch")
    job = spec(
        schedule={"type": name} | SCHEDULES[name],
        interval=interval,
        optimizer={"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3, "nesterov": True},
    )

    assert_same(losses_of(job), plain(job, torch_optimizer(job)))


@pytest.mark.sampled(9)
@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "SGD", "lr": 0.1},
        {"type": "SGD", "lr": 0.05, "momentum": 0.9, "dampening": 0.5},
        {"type": "Adam"},
        {"type": "Adam", "amsgrad": True, "weight_decay": 0.01, "betas": [0.8, 0.99], "eps": 1e-6},
        {"type": "Adam", "weight_decay": 0.1, "decoupled_weight_decay": True},
        {"type": "AdamW", "lr": 3e-3, "weight_decay": 0.1},
        {"type": "RMSprop", "lr": 1e-3, "momentum": 0.5, "centered": True},
        {"type": "Adagrad", "lr_decay": 0.01, "initial_accumulator_value": 0.1},
        {"type": "NAdam", "momentum_decay": 0.01},
        {"type": "RAdam", "weight_decay": 0.01},
        {"type": "SGD", "lr": 1e-3, "maximize": True},
    ],
    ids=lambda optimizer: optimizer["type"],
)
@pytest.mark.parametrize("cycles", [False, True], ids=["decay", "cycling momentum"])
def test_the_losses_are_those_of_torch_s_optimizer(optimizer: dict[str, Any], cycles: bool) -> None:
    schedule: dict[str, Any] = {"type": "ExponentialLR", "gamma": 0.97}
    if cycles:
        if optimizer["type"] == "Adagrad" or (optimizer["type"] == "SGD" and "momentum" not in optimizer):
            pytest.skip("it has no momentum")
        schedule = {"type": "OneCycleLR", "max_lr": 2 * optimizer.get("lr", 1e-3), "total_steps": STEPS}
    job = spec(optimizer=optimizer, schedule=schedule)

    assert_same(losses_of(job), plain(job, torch_optimizer(job)))


def test_every_optimizer_is_tried() -> None:
    assert set(OPTIMIZERS) == {"SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam", "RAdam", "Muon"}


def test_muon_trains_matrices_and_adamw_the_rest() -> None:
    job = spec(optimizer={"type": "Muon", "lr": 0.02, "others": {"type": "AdamW", "lr": 3e-3}})
    model = fresh_model(job)
    matrices = [p for p in model.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if p.ndim != 2]
    muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.1)
    adamw = torch.optim.AdamW(rest, lr=3e-3)
    found = []
    for epoch in range(job.epochs):
        for images, labels in batches(job, epoch):
            loss = F.cross_entropy(model(images), labels)
            model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            muon.step()
            adamw.step()
            found.append(loss.item())

    # torch's Muon makes the step orthogonal in bfloat16
    np.testing.assert_allclose(losses_of(job), found, rtol=1e-6)


def test_parameter_groups_have_their_own_rate_and_decay() -> None:
    job = spec(
        optimizer={
            "type": "SGD",
            "lr": 0.1,
            "momentum": 0.9,
            "weight_decay": 0.01,
            "param_groups": [{"params": "0.*", "lr": 0.01}, {"params": "*.bias", "weight_decay": 0.0}],
        },
        schedule={"type": "LambdaLR", "lr_lambda": ["0.9 ** epoch", "1", "1 / (epoch + 1)"]},
    )

    def groups(model: nn.Module) -> torch.optim.Optimizer:
        named = dict(model.named_parameters())
        first = [named["0.weight"], named["0.bias"]]
        biases = [p for name, p in named.items() if name.endswith("bias") and name != "0.bias"]
        rest = [p for name, p in named.items() if not name.endswith("bias") and name != "0.weight"]
        return torch.optim.SGD(
            [{"params": rest}, {"params": first, "lr": 0.01}, {"params": biases, "weight_decay": 0.0}],
            lr=0.1,
            momentum=0.9,
            weight_decay=0.01,
        )

    assert_same(losses_of(job), plain(job, groups))


def test_layer_decay_and_no_decay_on_norms_and_biases() -> None:
    job = spec(
        model={"type": "mlp", "hidden": [32, 16]},
        optimizer={
            "type": "AdamW",
            "lr": 0.01,
            "weight_decay": 0.3,
            "layer_decay": 0.5,
            "decay_norm_and_bias": False,
        },
        schedule={"type": "ExponentialLR", "gamma": 0.97},
    )

    def groups(model: nn.Module) -> torch.optim.Optimizer:
        layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
        assert len(layers) == 3
        made = []
        for layer, scale in zip(layers, (0.25, 0.5, 1.0), strict=True):
            made.append({"params": [layer.weight], "lr": 0.01 * scale, "weight_decay": 0.3})
            made.append({"params": [layer.bias], "lr": 0.01 * scale, "weight_decay": 0.0})
        return torch.optim.AdamW(made)

    assert_same(losses_of(job), plain(job, groups))


def test_frozen_parameters_stay_as_they_were_initialized() -> None:
    job = spec(model={"type": "lenet", "freeze": ["0.*", "3.weight"]})
    result = train(job, data_root=NOWHERE, device=CPU)
    before, after = fresh_model(job).state_dict(), result.model.state_dict()

    assert {name for name in before if torch.equal(before[name], after[name])} == {"0.weight", "0.bias", "3.weight"}


def test_smoothed_labels_and_clipped_gradients() -> None:
    job = spec(label_smoothing=0.1, max_grad_norm=0.5, optimizer={"type": "SGD", "lr": 0.3})

    assert_same(losses_of(job), plain(job, torch_optimizer(job)))


@pytest.mark.slowest
def test_accumulated_gradients_are_those_of_the_whole_batch() -> None:
    whole = losses_of(spec(optimizer={"type": "Adam"}))

    for size in (1, 10, 63, 64, 100):
        job = spec(optimizer={"type": "Adam"}, micro_batch_size=size)
        np.testing.assert_allclose(losses_of(job), whole, rtol=1e-9)


def test_weight_decay_and_momentum_follow_schedules_of_their_own() -> None:
    job = spec(
        optimizer={"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
        weight_decay_schedule={"type": "ExponentialLR", "gamma": 0.9},
        momentum_schedule={"type": "LinearLR", "start_factor": 0.5, "total_iters": 30},
    )
    model = fresh_model(job)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    found = []
    for epoch in range(job.epochs):
        for images, labels in batches(job, epoch):
            t = len(found)
            optimizer.param_groups[0].update(weight_decay=0.1 * 0.9**t, momentum=0.9 * (0.5 + 0.5 * min(t, 30) / 30))
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            found.append(loss.item())

    assert_same(losses_of(job), found)


def test_the_averaged_model_is_torch_s() -> None:
    job = spec(model={"type": "resnet18", "width": 4}, ema_decay=0.8, epochs=4, optimizer={"type": "SGD", "lr": 0.05})
    model = fresh_model(job)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    test_losses = []
    for epoch in range(job.epochs):
        model.train()
        for images, labels in batches(job, epoch):
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            averaged.update_parameters(model)
        test_losses.append(loss_on_test_images(job, averaged))
    result = train(job, data_root=NOWHERE, device=CPU)

    np.testing.assert_allclose([epoch.test_loss for epoch in result.epochs], test_losses, rtol=1e-9)


def test_the_batches_of_float32_are_totensor_s() -> None:
    job = spec(precision="float32")
    data = load(job.dataset, NOWHERE, CPU)
    order = torch.arange(len(data.training))
    images, labels = data.training.batch(order, slice(0, 310), None)
    splits = job.dataset.load(NOWHERE)

    assert torch.equal(images, torch.from_numpy(np.asarray(splits.train_images)).float().div(255))
    assert torch.equal(labels, torch.from_numpy(splits.train_labels))
