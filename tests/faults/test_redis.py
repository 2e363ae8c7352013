"""Redis dies, freezes, forgets and is full; messages are lost and rung too often."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from lrcore.jobs.states import State
from lrcore.store.queue import QUEUE, broker_list
from tests.conftest import until
from tests.factories import job_spec
from tests.faults.harness import SHORT, Rig, Trial, job_of, wait

LEASE = 2.0  # seconds, as the harness sets it


@pytest.mark.faults("Redis killed in mid-job")
def test_training_does_not_notice_that_redis_was_killed(trial: Trial) -> None:
    with trial.service() as rig:
        job = rig.submit()
        for _ in range(3):
            rig.in_mid_epoch(job)
            rig.kill("redis")
            wait_without_redis(rig, 0.5)
            rig.revive()

        assert (rig.ended(job).state, rig.attempt(job)) == ("succeeded", 1)
        assert rig.ended(rig.submit(SHORT)).state == "succeeded"
        rig.row.rounds = 3


def wait_without_redis(rig: Rig, seconds: float) -> None:
    """Leave Redis dead for a while: here, nothing else is to be started either."""
    assert rig.service.process("redis").poll() is not None
    time.sleep(seconds)


@pytest.mark.faults("Redis dead for longer than a lease")
def test_training_does_not_notice_that_redis_was_away_for_longer_than_a_lease(trial: Trial) -> None:
    with trial.service(workers=2) as rig:
        job = rig.submit()
        rig.in_mid_epoch(job)

        rig.kill("redis")
        wait_without_redis(rig, 2 * LEASE)
        rig.revive()

        assert rig.ended(job).state == "succeeded"
        assert rig.ended(rig.submit(SHORT)).state == "succeeded"


@pytest.mark.faults("Redis frozen for longer than a lease")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_goes_on_when_redis_was_frozen_for_longer_than_a_lease(trial: Trial, workers: int) -> None:
    with trial.service(workers=workers) as rig:
        job = rig.submit(job_of(80))
        rig.in_mid_epoch(job)

        rig.freeze("redis")
        time.sleep(2.5 * LEASE)
        rig.thaw("redis")

        assert rig.ended(job).state == "succeeded"
        assert rig.ended(rig.submit(SHORT)).state == "succeeded"


@pytest.mark.faults("submitted while Redis is frozen, then sent again")
def test_a_request_that_got_no_answer_can_be_sent_again(trial: Trial) -> None:
    with trial.service() as rig:
        rig.freeze("redis")
        assert rig.submit_as("again", SHORT) is None
        rig.thaw("redis")

        job = until(lambda: rig.submit_as("again", SHORT))
        assert rig.ended(job).state == "succeeded"
        assert len(rig.service.http.get("/v1/jobs").json()["jobs"]) == 1


@pytest.mark.faults("submitted while Redis is frozen, with no key")
@pytest.mark.parametrize("seconds", [1.0, 3.0, 6.0])  # in time, after one time-out, after the second one
def test_a_request_makes_no_more_than_one_job_however_long_it_takes(trial: Trial, seconds: float) -> None:
    with trial.service() as rig:
        known = rig.submit(SHORT)
        rig.ended(known)
        for _ in range(3):
            with ThreadPoolExecutor(1) as pool:
                rig.freeze("redis")
                asked = pool.submit(rig.service.http.post, "/v1/jobs", json=SHORT)
                time.sleep(seconds)
                rig.thaw("redis")
                assert asked.result().status_code in (202, 503)
            until(lambda: rig.ask(lambda: rig.client.ready()))
            rig.row.rounds += 1

        wait(rig, 1.0)
        rig.jobs = {job["id"]: SHORT for job in rig.service.http.get("/v1/jobs").json()["jobs"]}
        assert len(rig.jobs) <= 4
        assert {job.state for job in rig.all_ended()} == {State.SUCCEEDED}


@pytest.mark.faults("Redis frozen while jobs are claimed")
def test_a_claim_that_gets_no_answer_costs_no_job(trial: Trial) -> None:
    with trial.service(workers=2) as rig:
        first = [rig.submit(job_of(20, seed)) for seed in (0, 1)]
        for seed in range(4):
            rig.submit(job_of(5, seed))
        until(lambda: all(rig.epochs(job) >= 15 for job in first))
        for _ in range(3):
            rig.freeze("redis")  # as the workers come for the next ones
            time.sleep(3.0)
            rig.thaw("redis")
            time.sleep(0.5)
            rig.row.rounds += 1

        assert {job.state for job in rig.all_ended()} == {State.SUCCEEDED}


@pytest.mark.faults("Redis emptied in mid-job (FLUSHALL)")
def test_a_job_that_redis_has_forgotten_is_not_made_again(trial: Trial) -> None:
    with trial.service() as rig:
        job = rig.submit(job_of(400))
        rig.in_mid_epoch(job)

        rig.redis.flushall()

        forgotten(rig, job)


@pytest.mark.faults("Redis comes back empty")
def test_a_job_whose_redis_came_back_empty_is_not_made_again(trial: Trial) -> None:
    with trial.service() as rig:
        job = rig.submit(job_of(400))
        rig.in_mid_epoch(job)

        rig.kill("redis")
        for file in (rig.home / "redis").rglob("*"):
            if file.is_file():
                file.unlink()
        rig.revive()

        forgotten(rig, job)


def forgotten(rig: Rig, job: str) -> None:
    """The worker stops soon, nothing of the job comes back, and the next job runs."""
    del rig.jobs[job]
    until(lambda: "is missing" in rig.log(), 5)
    assert rig.ended(rig.submit(SHORT), 30).state == "succeeded"
    assert rig.service.http.get(f"/v1/jobs/{job}").status_code == 404
    assert [key for key in rig.redis.scan_iter("*") if job in key] == []


@pytest.mark.faults("Redis nearly full")
def test_a_redis_that_is_nearly_full_refuses_jobs_and_finishes_those_it_has(trial: Trial) -> None:
    with trial.service() as rig:
        job = rig.submit(job_of(120))
        rig.in_mid_epoch(job)

        used = int(rig.redis.info("memory")["used_memory"])
        rig.redis.config_set("maxmemory", int((used + 192 * 1024) / 0.9))  # the last tenth is for what runs
        accepted, answer = fill(rig)

        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code in (503, 507)
        assert int(answer.headers["retry-after"]) > 0
        assert rig.client.job(job).state == "running"
        assert (rig.ended(job).state, rig.attempt(job)) == ("succeeded", 1)  # while it is as full as that
        rig.redis.config_set("maxmemory", 0)
        assert {rig.ended(each, 180).state for each in accepted} <= {State.SUCCEEDED, State.CANCELLED}


def fill(rig: Rig) -> tuple[list[str], httpx.Response]:
    """Submit jobs until one is refused."""
    accepted: list[str] = []
    spec = job_spec(epochs=1)
    for _ in range(2000):
        answer = rig.service.http.post("/v1/jobs", json=spec)
        if answer.status_code != 202:
            break
        accepted.append(answer.json()["id"])
        rig.jobs[accepted[-1]] = spec
    for job in accepted[3:]:  # they need not all be trained
        rig.ask(lambda job=job: rig.client.cancel(job))
    rig.row.notes.append(f"{len(accepted)} jobs accepted before one was refused with {answer.status_code}")
    return accepted, answer


@pytest.mark.faults("Redis full to the last byte")
def test_when_redis_is_full_the_running_job_waits_to_be_heard(trial: Trial) -> None:
    with trial.service() as rig:
        job = rig.submit()
        rig.in_mid_epoch(job)

        rig.redis.config_set("maxmemory", 1)
        answer = rig.service.http.post("/v1/jobs", json=SHORT)
        assert rig.client.job(job).state == "running"  # reading goes on
        wait(rig, 2 * LEASE)
        rig.redis.config_set("maxmemory", 0)

        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.status_code in (503, 507)
        assert rig.ended(job).state == "succeeded"
        assert rig.ended(rig.submit(SHORT)).state == "succeeded"


@pytest.mark.faults("every message lost")
def test_jobs_run_though_every_message_is_lost(trial: Trial) -> None:
    with trial.service(workers=2) as rig:
        for seed in range(4):
            rig.submit(job_of(10, seed))
            rig.delete_messages()
        while not all(rig.client.job(job).state.ended for job in rig.jobs):
            rig.delete_messages()
            rig.row.rounds += 1
            time.sleep(0.5)

        assert {job.state for job in rig.all_ended()} == {State.SUCCEEDED}
        assert {job.attempt for job in rig.all_ended()} == {1}


@pytest.mark.faults("the same message 50 times")
def test_surplus_messages_do_no_harm(trial: Trial) -> None:
    with trial.service(workers=2) as rig:
        rig.notify(50)
        jobs = [rig.submit(job_of(10, seed)) for seed in range(4)]
        rig.notify(50)
        rig.in_mid_epoch(jobs[0])
        rig.notify(50)

        assert {(job.state, job.attempt) for job in rig.all_ended()} == {(State.SUCCEEDED, 1)}
        until(lambda: not rig.redis.llen(broker_list(QUEUE)))  # every message is taken in the end
        rig.row.rounds = 3


@pytest.mark.faults("20 equal submits in parallel, one key")
def test_equal_requests_with_one_key_make_one_job(trial: Trial) -> None:
    with trial.service() as rig:
        for round_ in range(3):
            together = threading.Barrier(20)

            def submit(_: int, key: str = f"key-{round_}", gate: threading.Barrier = together) -> str | None:
                gate.wait()
                return rig.submit_as(key, SHORT)

            with ThreadPoolExecutor(20) as pool:
                made = set(pool.map(submit, range(20)))
            assert len(made) == 1
            assert None not in made

        assert len(rig.service.http.get("/v1/jobs").json()["jobs"]) == 3
        assert {(job.state, job.attempt) for job in rig.all_ended()} == {(State.SUCCEEDED, 1)}
        rig.row.rounds = 3
