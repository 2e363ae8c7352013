"""The training loop as a library, on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from lrcore.curve import CurveRequest, sample
from lrcore.datasets.digits import Digits
from lrcore.errors import DataUnavailable
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.schedules import SCHEDULES
from lrserve.worker.engine import Diverged, Hooks, Interrupted, Result, checkpoint, train
from lrserve.worker.engine.data import load, permutation
from lrserve.worker.engine.models.base import ModelSetup, built
from lrserve.worker.engine.models.single import SingleModel
from lrserve.worker.engine.optim import Scheduled
from tests.factories import job_spec, training_spec

NOWHERE = Path("/nonexistent")
CPU = torch.device("cpu")


def figures(epochs: list[Epoch]) -> list[dict[str, Any]]:
    """Everything but how long it took."""
    return [epoch.model_dump(exclude={"seconds"}) for epoch in epochs]


def test_it_learns() -> None:
    job = training_spec(
        dataset={"type": "fake", "samples": 1000},
        optimizer={"type": "SGD", "lr": 0.02, "momentum": 0.9},
        epochs=6,
        batch_size=32,
    )
    result = train(job, data_root=NOWHERE, device=CPU)

    assert result.epochs[-1].test_accuracy > 0.9
    assert result.best.test_accuracy == max(epoch.test_accuracy for epoch in result.epochs)


def test_the_same_job_gives_the_same_figures_to_the_last_bit() -> None:
    first, second = (train(training_spec(), data_root=NOWHERE, device=CPU) for _ in range(2))

    assert figures(first.epochs) == figures(second.epochs)


def test_another_seed_gives_other_figures() -> None:
    first, second = (train(training_spec(seed=seed), data_root=NOWHERE, device=CPU) for seed in (0, 1))

    assert figures(first.epochs) != figures(second.epochs)


def test_the_loop_is_plain_sgd_with_the_rates_of_the_curve() -> None:
    job = training_spec(
        interval="step",
        schedule={"type": "OneCycleLR", "max_lr": 0.3, "total_steps": 12},
        optimizer={"type": "SGD", "lr": 0.1, "momentum": 0.5, "weight_decay": 1e-3},
    )
    result = train(job, data_root=NOWHERE, device=CPU)

    splits = job.dataset.load(NOWHERE)
    images = torch.from_numpy(splits.train_images).float() / 255
    labels = torch.from_numpy(splits.train_labels)
    torch.manual_seed(job.seed)
    model = job.model.build(job.dataset.image_shape, job.dataset.num_classes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.95, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=12)
    losses = []
    for epoch in range(job.epochs):
        order = torch.from_numpy(permutation(len(labels), job.seed, epoch))
        total = 0.0
        for chosen in torch.split(order, job.batch_size):
            loss = torch.nn.functional.cross_entropy(model(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
            total += loss.item() * len(chosen)
        losses.append(total / len(labels))
    np.testing.assert_allclose([epoch.train_loss for epoch in result.epochs], losses, rtol=1e-5)


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_every_step_is_made_at_the_rate_that_the_curve_shows(interval: str, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = {
        "type": "SequentialLR",
        "milestones": [2],
        "schedulers": [{"type": "LinearLR", "total_iters": 2}, {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.1}],
    }
    used: list[tuple[float, float]] = []
    step = torch.optim.SGD.step

    def recorded(self: torch.optim.SGD, *arguments: Any) -> Any:
        if self.param_groups[0]["params"][0].device == CPU:  # else its memory is estimated
            used.append((self.param_groups[0]["lr"], self.param_groups[0]["momentum"]))
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", recorded)
    job = training_spec(schedule=schedule, interval=interval, optimizer={"type": "SGD", "lr": 0.2, "momentum": 0.3})
    train(job, data_root=NOWHERE, device=CPU)

    curve = sample(CurveRequest.model_validate({"schedule": schedule, "base_lr": 0.2, "steps": job.intervals}))
    assert curve.momentum is not None
    each = 1 if interval == "step" else job.steps_per_epoch
    assert [lr for lr, _ in used] == np.repeat(curve.lr[0], each).tolist()
    momentum = np.where(np.isnan(curve.momentum[0]), 0.3, curve.momentum[0])
    assert [m for _, m in used] == np.repeat(momentum, each).tolist()


OPTIONS: list[dict[str, Any]] = [
    {"optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9}},
    {"schedule": {"type": "StepLR", "step_size": 5, "gamma": 0.5}, "interval": "step"},
    {"schedule": {"type": "ReduceLROnPlateau", "patience": 0, "factor": 0.5, "threshold": 0.5}},
    {"schedule": {"type": "greedy", "patience": 0, "factor": 0.5, "smooth": True, "window_size": 2, "warmup": 1}},
    {"schedule": {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.2, "step_size_up": 3}},
    {"optimizer": {"type": "NAdam"}, "ema_decay": 0.9, "max_grad_norm": 0.5, "micro_batch_size": 10},
    {"dataset": {"type": "fake", "flip": True, "crop": 2, "cutout": 7, "validation_split": 0.2}},
    {"model": {"type": "mlp", "dropout": 0.5}, "early_stopping": {"patience": 1, "min_delta": 0.1}},
    {"model": {"type": "resnet18", "width": 4}, "optimizer": {"type": "Muon"}},
    {"optimizer": {"type": "NAdam"}, "precision": "float64"},
    {
        "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.3},
        "schedule": {
            "type": "SequentialLR",
            "milestones": [2],
            "schedulers": [
                {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.2, "step_size_up": 3},
                {"type": "LinearLR"},
            ],
        },
    },
]


@pytest.fixture(scope="module", params=OPTIONS, ids=str)
def undisturbed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainingSpec, Result, Path]:
    """A job that nobody stops, what it comes to, and its folder."""
    job, folder = training_spec(epochs=5, **request.param), tmp_path_factory.mktemp("undisturbed")
    return job, train(job, data_root=NOWHERE, device=CPU, folder=folder), folder


@pytest.mark.sampled(12)
@pytest.mark.parametrize("stop", [0, 1, 4, 6, 11, 19])
def test_a_run_that_is_stopped_anywhere_and_resumed_gives_the_figures_of_one_that_is_not(
    undisturbed: tuple[TrainingSpec, Result, Path], stop: int, tmp_path: Path
) -> None:
    job, whole, folder = undisturbed
    steps: list[int] = []
    hooks = Hooks(step=steps.append, stop=lambda: steps[-1] >= stop)  # also in the middle of a test pass
    if whole.epochs[-1].epoch == 4:  # else early stopping may come first
        with pytest.raises(Interrupted):
            train(job, data_root=NOWHERE, device=CPU, hooks=hooks, folder=tmp_path)
        assert steps[-1] == stop
    again: list[int] = []
    seen: list[Epoch] = []
    hooks = Hooks(step=again.append, epoch=lambda epoch, best: seen.append(epoch))
    resumed = train(job, data_root=NOWHERE, device=CPU, hooks=hooks, folder=tmp_path)

    assert again[0] == (stop if whole.epochs[-1].epoch == 4 else 0)
    assert figures(resumed.epochs) == figures(whole.epochs) == figures(seen)
    assert resumed.best == whole.best
    for file in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / file).read_bytes() == (folder / file).read_bytes()


def test_a_resumed_optimizer_has_the_strides_of_its_parameters(tmp_path: Path) -> None:
    """As the fused kernels of a GPU want them; the CPU's do not mind."""
    job = training_spec(model={"type": "resnet18", "width": 4}, optimizer={"type": "AdamW"})
    interrupt(job, tmp_path, 5)
    found = checkpoint.load(tmp_path / "checkpoint.safetensors", checkpoint.key(job))
    assert found is not None
    run = SingleModel([ModelSetup(job, Scheduled(job), built(job, CPU))], load(job.dataset, NOWHERE, CPU), CPU)
    run.load(0, {part.removeprefix("0-"): named for part, named in found[0].items()})
    state = run.optimizers[0].state

    assert len(state) == len(list(run.model.parameters()))
    for parameter, values in state.items():
        assert values["exp_avg"].stride() == values["exp_avg_sq"].stride() == parameter.stride()
        assert values["step"] == 5


def interrupt(job: TrainingSpec, folder: Path, step: int) -> int:
    """Train up to a step, and stop there with a checkpoint. Returns the step it began at."""
    done: list[int] = []
    hooks = Hooks(step=done.append, stop=lambda: done[-1] >= step)
    with pytest.raises(Interrupted):
        train(job, data_root=NOWHERE, device=CPU, hooks=hooks, folder=folder)
    return done[0]


def first_step(job: TrainingSpec, folder: Path) -> int:
    """Where a run begins that finds what is in the folder."""
    done: list[int] = []
    train(job, data_root=NOWHERE, device=CPU, hooks=Hooks(step=done.append), folder=folder)
    return done[0]


def test_a_checkpoint_of_another_job_is_not_resumed(tmp_path: Path) -> None:
    interrupt(training_spec(seed=1), tmp_path, 5)

    assert first_step(training_spec(seed=2), tmp_path) == 0


def test_the_checkpoint_before_a_truncated_one_is_resumed(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"

    def truncate() -> None:
        file.write_bytes(file.read_bytes()[:1000])

    assert interrupt(training_spec(), tmp_path, 5) == 0
    truncate()
    assert interrupt(training_spec(), tmp_path, 7) == 0  # there is none before it
    assert interrupt(training_spec(), tmp_path, 9) == 7
    truncate()
    assert first_step(training_spec(), tmp_path) == 7


def test_a_long_run_is_saved_on_its_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrserve.worker.engine.saver.SAVE_SECONDS", 0.0)
    monkeypatch.setattr("lrserve.worker.engine.saver.SAVE_SHARE", 1e9)
    there: list[bool] = []
    hooks = Hooks(stop=lambda: there.append((tmp_path / "checkpoint.safetensors").exists()) or False)
    train(training_spec(), data_root=NOWHERE, device=CPU, hooks=hooks, folder=tmp_path)

    assert there == [False] * 2 + [True] * (len(there) - 2)  # asked before the first step, and before the first save


@pytest.mark.parametrize("name", [name for name, cls in SCHEDULES.items() if cls.metric_driven])
@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_metric_driven_schedule_follows_the_job_s_own_test_metric(mode: str, name: str) -> None:
    schedule = {"type": name, "mode": mode, "patience": 0, "factor": 0.5, "threshold": 0.3}
    epochs = train(training_spec(epochs=10, schedule=schedule), data_root=NOWHERE, device=CPU).epochs

    metrics = [epoch.test_loss if mode == "min" else epoch.test_accuracy for epoch in epochs]
    request = {"schedule": schedule, "base_lr": 0.1, "steps": 10, "metrics": metrics}
    expected = sample(CurveRequest.model_validate(request)).lr[0]
    assert [epoch.lr[0] for epoch in epochs] == expected.tolist()
    assert expected[-1] < 0.1


def test_the_best_epoch_is_the_earliest_with_the_highest_test_accuracy() -> None:
    bests: list[Best] = []
    result = train(
        training_spec(epochs=10, optimizer={"type": "SGD", "lr": 0.1, "momentum": 0.9}),
        data_root=NOWHERE,
        device=CPU,
        hooks=Hooks(epoch=lambda epoch, best: bests.append(best)),
    )

    accuracies = [epoch.test_accuracy for epoch in result.epochs]
    assert [best.epoch for best in bests] == [int(np.argmax(accuracies[: n + 1])) for n in range(len(accuracies))]


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    with pytest.raises(Diverged, match="epoch 0, at rate 1e"):
        train(training_spec(optimizer={"type": "SGD", "lr": 1e12}), data_root=NOWHERE, device=CPU)


def test_a_data_set_that_is_not_there_says_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("in the way of the folder")

    with pytest.raises(DataUnavailable, match=r"fashion-mnist is not under .*LRSERVE_DATA_ROOT"):
        train(training_spec(dataset={"type": "fashion-mnist"}), data_root=tmp_path / "root", device=CPU)


def test_digits_are_digits() -> None:
    job = training_spec(
        dataset={"type": "digits"}, epochs=4, batch_size=32, optimizer={"type": "SGD", "lr": 0.05, "momentum": 0.9}
    )
    splits = job.dataset.load(NOWHERE)

    assert splits.train_images.shape == (1437, 1, 28, 28)
    assert splits.test_images.shape == (360, 1, 28, 28)
    assert splits.train_images.max() == 255
    assert train(job, data_root=NOWHERE, device=CPU).best.test_accuracy > 0.9


def test_digits_in_their_own_size_are_as_they_come() -> None:
    images = Digits(type="digits", resize=8).load(NOWHERE).train_images[:, 0]
    original = {image.tobytes() for image in np.round(load_digits().images * (255 / 16)).astype(np.uint8)}
    assert all(image.tobytes() in original for image in images)


@pytest.mark.slow
def test_it_runs_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(job_spec()))
    done = subprocess.run(
        [sys.executable, "-m", "lrserve.worker.engine", str(tmp_path / "spec.json")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert [json.loads(line)["epoch"] for line in done.stdout.splitlines()] == [0, 1, 2]


@pytest.mark.slow
def test_the_command_line_names_what_is_wrong_with_a_spec(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(job_spec(epochs=0)))
    done = subprocess.run(
        [sys.executable, "-m", "lrserve.worker.engine", str(tmp_path / "spec.json")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "epochs" in done.stderr
