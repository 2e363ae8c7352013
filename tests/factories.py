"""What the tests are about, made with defaults: jobs as JSON, specs, an epoch's figures, and jobs in a store.

Every builder takes what shall differ as keywords.
"""

from __future__ import annotations

from typing import Any

import httpx

from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.job import Epoch, Progress
from lrcore.jobs.range_test import RangeTestSpec
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.store.queue import QUEUE
from lrcore.store.records import Claim
from tests.conftest import until
from tests.stores import JobStore

LEASE = 30.0  # seconds, longer than any test
SHORT = 0.05  # seconds of a lease that a test waits for
MOST = 2  # losses to infrastructure that a job may have
ALL_RUNS = 10_000  # of an experiment, as many as there may be


def job_spec(**changes: Any) -> dict[str, Any]:
    """Return a training job of well under a second, as JSON: LeNet on 256 generated images."""
    spec: dict[str, Any] = {
        "model": {"type": "lenet"},
        "dataset": {"type": "fake", "samples": 256, "test_samples": 64, "image_size": 12},
        "optimizer": {"type": "SGD", "lr": 0.1},
        "epochs": 3,
        "batch_size": 64,
    }
    return spec | changes


def long_job(**changes: Any) -> dict[str, Any]:
    """Return a training job of some seconds, with epochs short enough to see some of them, as JSON.

    A job that the test ends has 200 of them or more.
    """
    dataset = {"type": "fake", "samples": 2000, "test_samples": 100, "image_size": 28}
    return job_spec(dataset=dataset, epochs=12, batch_size=32) | changes


def range_test_of(job: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the range test of a training job, both as JSON."""
    return {name: value for name, value in job.items() if name != "epochs"} | changes


def range_test_job(**changes: Any) -> dict[str, Any]:
    """Return a range test of the images and the model of `job_spec`, as JSON."""
    return range_test_of(job_spec(), **changes)


def training_spec(**changes: Any) -> TrainingSpec:
    """Return `job_spec` as the validated spec."""
    return TrainingSpec.model_validate(job_spec(**changes))


def range_test_spec(**changes: Any) -> RangeTestSpec:
    """Return `range_test_job` as the validated spec."""
    return RangeTestSpec.model_validate(range_test_job(**changes))


def experiment_spec(base: dict[str, Any] | None = None, **axes: Any) -> ExperimentSpec:
    """Return an experiment on `job_spec`, changed by `base`, over the axes of a grid."""
    return ExperimentSpec.model_validate({"base": job_spec(**base or {}), "grid": axes})


def experiment_of(runs: int) -> ExperimentSpec:
    """Return an experiment of so many runs, which differ in their seed."""
    return experiment_spec(seed=list(range(runs)))


SPEC = training_spec()


def epoch(index: int, accuracy: float = 0.5) -> Epoch:
    """Return the figures of an epoch."""
    return Epoch(
        epoch=index, lr=[0.1], train_loss=1.0, train_accuracy=0.5, test_loss=1.0, test_accuracy=accuracy, seconds=0.1
    )


def progress(step: int) -> Progress:
    """Return the progress of `SPEC`, which has twelve steps, within its first epoch."""
    return Progress(epoch=0, epochs=3, step=step, steps=12, fraction=step / 12, eta_seconds=None)


def claimed(store: JobStore, worker: str = "a", lease: float = LEASE, most_runs: int = 1) -> Claim:
    """Claim the best job that waits, of which there has to be one."""
    claim = store.claim([QUEUE], worker, lease, most_runs)
    assert claim is not None
    return claim


def claimed_runs(store: JobStore, worker: str = "a", most: int = ALL_RUNS, lease: float = LEASE) -> Claim:
    """Claim runs of the experiment that waits, at most so many."""
    return claimed(store, worker, lease, most)


def running(store: JobStore, worker: str = "a", lease: float = LEASE) -> Claim:
    """Submit a job, and claim it."""
    store.create(SPEC)
    return claimed(store, worker, lease)


def lapsed(store: JobStore, most: int = MOST) -> list[str]:
    """Return what a reaper finds once a short lease has run out."""
    return until(lambda: store.reap(most))


def submitted(http: httpx.Client, kind: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    """Submit a job of a kind, such as `lr-range-tests`, and return it as the service describes it."""
    answer = http.post(f"/v1/{kind}", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == job["links"]["self"]
    return job
