"""The promise of the product: the curve that the API serves is the curve that a job trains with."""

from __future__ import annotations

from typing import Any

import pytest

from lrcore.schedules import SCHEDULES
from tests.conftest import Service, job_spec

EPOCHS = 20  # what every example is defined for
OTHERS: list[dict[str, Any]] = [
    {"type": "CosineAnnealingLR", "T_max": 7, "eta_min": 1e-3, "last_epoch": 2},
    {"type": "LambdaLR", "lr_lambda": "where(epoch < 5, (epoch + 1) / 5, 0.97 ** (epoch - 5))"},
    {"type": "MultiplicativeLR", "lr_lambda": "0.9 + 0.1 * cos(step)"},
    {"type": "CyclicLR", "base_lr": 0.001, "max_lr": 0.03, "step_size_up": 3, "scale_fn": "1 / (2 ** (x - 1))"},
]
SPECS = [s.example for s in SCHEDULES.values() if not s.metric_driven] + OTHERS


@pytest.fixture(scope="module")
def recorded(service: Service) -> dict[tuple[int, str], list[list[float]]]:
    """The rates of each epoch that real jobs recorded, by schedule and interval."""
    data = {"type": "fake", "samples": 64, "test_samples": 8, "image_size": 12}
    optimizer = {"type": "SGD", "lr": 0.013}
    ids = {}
    for i, schedule in enumerate(SPECS):
        for interval, epochs, batch_size in (("epoch", EPOCHS, 64), ("step", EPOCHS // 4, 16)):
            spec = job_spec(
                dataset=data, optimizer=optimizer, schedule=schedule, interval=interval, epochs=epochs,
                batch_size=batch_size,
            )  # fmt: skip
            ids[i, interval] = service.client.submit(spec).id
    for job_id in ids.values():
        assert service.ended(job_id, 240).error is None
    return {key: [epoch.lr for epoch in service.client.metrics(job_id)] for key, job_id in ids.items()}


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("index", range(len(SPECS)), ids=[spec["type"] for spec in SPECS])
def test_a_job_records_the_curve_that_the_api_serves_to_the_last_bit(
    index: int, interval: str, service: Service, recorded: dict[tuple[int, str], list[list[float]]]
) -> None:
    stride = 1 if interval == "epoch" else 4  # an epoch's rate is that of its first step
    curve = service.client.curve(SPECS[index], base_lr=[0.013], steps=EPOCHS // stride, stride=stride)

    assert recorded[index, interval] == [[lr] for lr in curve[0].tolist()]


def test_a_plateau_job_records_what_the_api_serves_for_its_metrics(service: Service) -> None:
    schedule = {"type": "ReduceLROnPlateau", "patience": 0, "factor": 0.5, "threshold": 0.3}
    job = service.train(job_spec(epochs=8, schedule=schedule))

    epochs = service.client.metrics(job.id)
    losses = [epoch.test_loss for epoch in epochs]
    curve = service.client.curve(schedule, base_lr=0.1, steps=8, metrics=losses)
    assert [epoch.lr[0] for epoch in epochs] == curve.tolist()
    assert curve[-1] < 0.1
