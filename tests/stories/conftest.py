"""What the stories have in common: a job to which nothing happens."""

from __future__ import annotations

from typing import Any

import pytest

from lrcore.jobs.job import Epoch
from tests.conftest import Service, until
from tests.factories import long_job


def figures(epochs: list[Epoch]) -> list[dict[str, Any]]:
    return [epoch.model_dump(exclude={"seconds"}) for epoch in epochs]


def a_few_epochs(service: Service, job_id: str) -> None:
    """Wait until the job has finished two epochs."""
    until(lambda: len(service.client.metrics(job_id)) >= 2)


@pytest.fixture(scope="session")
def undisturbed(service: Service) -> list[dict[str, Any]]:
    """The figures of `long_job()` when nothing happens to it."""
    return figures(service.client.metrics(service.train(long_job()).id))
