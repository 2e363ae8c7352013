"""Jobs are cancelled at every moment of their lives."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lrcore.service.settings import Settings
from tests.conftest import until
from tests.factories import job_spec
from tests.faults.harness import SHORT, Rig, Trial, job_of, wait

AS_SHIPPED = {
    name: Settings.model_fields[name].default for name in ("heartbeat_seconds", "lease_seconds", "reap_seconds")
}
WITHIN = 1000  # milliseconds


def cancelled_after(rig: Rig, job: str) -> int:
    """Cancel the job; how many milliseconds later it had ended."""
    asked = rig.now()
    rig.client.cancel(job)
    assert rig.ended(job).state == "cancelled"
    took = rig.events(job)[-1].at - asked
    rig.row.notes.append(f"cancelled after {took} ms")
    return took


@pytest.mark.faults("cancelled while queued")
def test_a_queued_job_that_is_cancelled_never_runs(trial: Trial) -> None:
    with trial.service() as rig:
        first = rig.submit()
        queued = rig.submit(SHORT)
        until(lambda: rig.state(first) == "running")

        assert rig.client.cancel(queued).state == "cancelled"
        rig.kill("worker 0")
        rig.revive()
        rig.notify(5)

        assert rig.ended(first).state == "succeeded"
        wait(rig, 1.0)
        assert (rig.client.job(queued).state, rig.attempt(queued)) == ("cancelled", 0)


BUILDING: dict[str, dict[str, Any]] = {
    "data": job_spec(dataset={"type": "fake", "samples": 200_000, "test_samples": 100, "image_size": 48}),
    "model": job_spec(model={"type": "mlp", "hidden": [8192] * 5}),
}


@pytest.mark.faults("cancelled while it is being built")
@pytest.mark.parametrize("part", ["data", "model"])
def test_a_job_is_cancelled_while_its_parts_are_built(trial: Trial, part: str) -> None:
    with trial.service(**AS_SHIPPED) as rig:
        trial.reference.known(BUILDING[part], [])  # it never comes to an epoch
        for _ in range(3):
            job = rig.submit(BUILDING[part])
            until(lambda job=job: rig.state(job) == "running")
            assert cancelled_after(rig, job) < WITHIN
            assert rig.step(job) == 0
            rig.row.rounds += 1

        assert rig.ended(rig.submit(SHORT)).state == "succeeded"


@pytest.mark.faults("cancelled while training")
def test_a_job_is_cancelled_within_a_second(trial: Trial) -> None:
    with trial.service(**AS_SHIPPED) as rig:
        for moment in range(5):
            job = rig.submit()
            until(lambda job=job: rig.epochs(job))
            time.sleep(moment * 0.2)  # at different distances from a heartbeat
            assert cancelled_after(rig, job) < WITHIN
            rig.row.rounds += 1

        assert rig.ended(rig.submit(SHORT)).state == "succeeded"


@pytest.mark.faults("cancelled while finishing")
def test_a_job_that_is_cancelled_as_it_ends_ends_once(trial: Trial) -> None:
    with trial.service() as rig:
        won = {"cancelled": 0, "succeeded": 0}
        for moment in range(10):
            job = rig.submit(SHORT)
            until(lambda job=job: rig.epochs(job) >= 4)
            time.sleep(moment * 0.05)
            answer = rig.service.http.post(f"/v1/jobs/{job}/cancel")
            assert answer.status_code in (200, 202, 409)
            assert answer.status_code != 409 or rig.state(job) == "succeeded"  # too late, and said so
            won[rig.ended(job).state] += 1
        rig.row.rounds = 10
        rig.row.notes.append(str(won))
        assert all(won.values()), "the race was run at one place only"


@pytest.mark.faults("cancelled, and the worker killed before it hears")
def test_a_cancelled_job_is_not_run_again_when_its_worker_dies(trial: Trial) -> None:
    with trial.service(workers=2) as rig:
        job = rig.submit(job_of(100))
        rig.in_mid_epoch(job)

        worker = rig.holder(job)
        rig.freeze(worker)
        rig.client.cancel(job)
        rig.kill(worker)

        assert (rig.ended(job).state, rig.attempt(job)) == ("cancelled", 1)
