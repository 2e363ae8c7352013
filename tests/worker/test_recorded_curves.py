"""The promise of the product: the curve that the API serves is the curve that a job trains with."""

from __future__ import annotations

from typing import Any

import pytest

from lrcore.schedules import SCHEDULES
from tests.conftest import Service
from tests.factories import job_spec

EPOCHS = 20  # what every example is defined for
STEPS = 4  # of an epoch, where the rates are those of steps
OTHERS: list[dict[str, Any]] = [
    {"type": "CosineAnnealingLR", "T_max": 7, "eta_min": 1e-3, "last_epoch": 2},
    {"type": "LambdaLR", "lr_lambda": "where(epoch < 5, (epoch + 1) / 5, 0.97 ** (epoch - 5))"},
    {"type": "MultiplicativeLR", "lr_lambda": "0.9 + 0.1 * cos(step)"},
    {"type": "CyclicLR", "base_lr": 0.001, "max_lr": 0.03, "step_size_up": 3, "scale_fn": "1 / (2 ** (x - 1))"},
]
SPECS = [s.example for s in SCHEDULES.values() if not s.metric_driven] + OTHERS


def spec(schedule: dict[str, Any], interval: str) -> dict[str, Any]:
    """A job whose twenty rates are those of steps or of epochs."""
    data = {"type": "fake", "samples": 64, "test_samples": 8, "image_size": 12}
    epochs, batch_size = (EPOCHS, 64) if interval == "epoch" else (EPOCHS // STEPS, 64 // STEPS)
    return job_spec(
        dataset=data, optimizer={"type": "SGD", "lr": 0.013}, schedule=schedule, interval=interval, epochs=epochs,
        batch_size=batch_size,
    )  # fmt: skip


def served(service: Service, schedule: dict[str, Any], stride: int = 1) -> list[list[float]]:
    """The curve, one rate in a list for the one group of parameters."""
    curve = service.client.curve(schedule, base_lr=[0.013], steps=EPOCHS // stride, stride=stride)
    return [[lr] for lr in curve[0].tolist()]


@pytest.fixture(scope="module")
def experiment(service: Service) -> str:
    """One with a run for each schedule, by epoch: none draws pictures, which take ten times as long as the training."""
    grid = {"schedule": SPECS}
    answer = service.http.post("/v1/experiments", json={"base": spec(SPECS[0], "epoch"), "grid": grid})
    return str(answer.raise_for_status().json()["id"])


@pytest.mark.sampled(12)
@pytest.mark.parametrize("schedule", SPECS, ids=[spec["type"] for spec in SPECS])
def test_a_job_records_the_curve_that_the_api_serves_to_the_last_bit(
    schedule: dict[str, Any], service: Service
) -> None:
    job = service.train(spec(schedule, "step"))

    assert job.error is None
    # an epoch's rate is that of its first step
    assert [epoch.lr for epoch in service.client.metrics(job.id)] == served(service, schedule, STEPS)


@pytest.mark.sampled(9)
@pytest.mark.parametrize("index", range(len(SPECS)), ids=[spec["type"] for spec in SPECS])
def test_a_run_of_an_experiment_records_it_too(index: int, service: Service, experiment: str) -> None:
    assert service.ended(experiment).error is None
    run = service.http.get(f"/v1/experiments/{experiment}/runs/{index}").raise_for_status().json()

    assert run["state"] == "succeeded"
    assert run["spec"]["schedule"]["type"] == SPECS[index]["type"]
    assert [epoch["lr"] for epoch in run["epochs"]] == served(service, SPECS[index])


@pytest.mark.parametrize("schedule", OTHERS, ids=[spec["type"] for spec in OTHERS])
def test_a_job_by_epoch_records_it_too(schedule: dict[str, Any], service: Service) -> None:
    job = service.train(spec(schedule, "epoch"))

    assert [epoch.lr for epoch in service.client.metrics(job.id)] == served(service, schedule)


@pytest.mark.parametrize("name", [name for name, cls in SCHEDULES.items() if cls.metric_driven])
def test_a_metric_driven_job_records_what_the_api_serves_for_its_metrics(name: str, service: Service) -> None:
    schedule = {"type": name, "patience": 0, "factor": 0.5, "threshold": 0.3}
    job = service.train(job_spec(epochs=8, schedule=schedule))

    epochs = service.client.metrics(job.id)
    losses = [epoch.test_loss for epoch in epochs]
    curve = service.client.curve(schedule, base_lr=0.1, steps=8, metrics=losses)
    assert [epoch.lr[0] for epoch in epochs] == curve.tolist()
    assert curve[-1] < 0.1
