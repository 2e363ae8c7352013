"""Workers and the API are killed, frozen and told to end."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from safetensors import safe_open

from lrcore.jobs.states import State
from tests.conftest import until
from tests.faults.harness import SHORT, Rig, Trial, job_of


def with_a_checkpoint(rig: Rig, job_id: str) -> int:
    """Pause the job inside an epoch and let it go on, so that there is a checkpoint to go back to; its next attempt."""
    while True:
        rig.in_mid_epoch(job_id)
        rig.client.pause(job_id)
        until(lambda: rig.state(job_id) == "paused")
        inside = rig.step(job_id) % 32  # it may have come to the epoch's end by then
        attempt = rig.attempt(job_id) + 1
        rig.client.resume(job_id)
        if inside:
            return attempt


@pytest.mark.faults("worker killed in mid-epoch")
def test_a_job_survives_the_death_of_its_worker(trial: Trial) -> None:
    with trial.service() as rig:
        job = rig.submit()

        rig.in_mid_epoch(job)
        rig.kill("worker 0")  # nothing is saved yet: from the beginning
        rig.revive()
        attempt = with_a_checkpoint(rig, job)
        rig.in_mid_epoch(job)
        rig.kill("worker 0")  # from the checkpoint
        rig.revive()

        assert (rig.ended(job).state, rig.attempt(job)) == ("succeeded", attempt + 1)
        rig.row.rounds = 2


@pytest.mark.faults("worker killed, another takes over")
def test_another_worker_takes_over_when_the_lease_has_run_out(trial: Trial) -> None:
    with trial.service(workers=2) as rig:
        job = rig.submit()
        attempt = with_a_checkpoint(rig, job)
        rig.in_mid_epoch(job)

        first, died = rig.holder(job), rig.now()
        rig.kill(first)
        until(lambda: rig.attempt(job) == attempt + 1)  # nobody starts the dead one again
        again = [event.at for event in rig.events(job) if event.data.get("state") == "running"][-1]
        second = rig.holder(job)

        assert second != first
        assert again - died < 2000 + 1000  # the lease, a round of the reaper, a message
        assert rig.ended(job).state == "succeeded"


@pytest.mark.faults("worker and API killed together")
def test_a_job_survives_the_death_of_its_worker_and_of_the_api(trial: Trial) -> None:
    with trial.service(workers=2) as rig:
        job = rig.submit()
        rig.in_mid_epoch(job)

        rig.kill(rig.holder(job), "api")
        until(lambda: rig.attempt(job) == 2)  # the other worker's reaper has found it
        rig.revive()

        assert rig.ended(job).state == "succeeded"


@pytest.mark.faults("everything killed at once")
def test_after_the_death_of_everything_jobs_go_on_where_they_were(trial: Trial) -> None:
    with trial.service(workers=2) as rig:
        done = rig.submit(SHORT)
        rig.ended(done)
        before = rig.client.job(done)
        running, waiting = [rig.submit(job_of(100)) for _ in range(2)], [rig.submit(SHORT) for _ in range(2)]
        with_a_checkpoint(rig, running[0])
        for job in running:
            rig.in_mid_epoch(job)

        rig.kill("redis", "api", *rig.workers)
        rig.revive()

        assert rig.client.job(done) == before
        assert {rig.ended(job).state for job in running + waiting} == {State.SUCCEEDED}


@pytest.mark.faults("worker frozen past its lease, then thawed")
def test_a_worker_that_was_only_frozen_does_not_write_over_its_successor(trial: Trial) -> None:
    with trial.service(workers=2) as rig:
        job = rig.submit(job_of(60))
        attempt = with_a_checkpoint(rig, job)
        rig.in_mid_epoch(job)

        frozen = rig.holder(job)
        rig.freeze(frozen)
        until(lambda: rig.attempt(job) == attempt + 1)
        assert rig.holder(job) != frozen
        rig.in_mid_epoch(job)
        checkpoint = rig.home / "jobs" / job / "checkpoint.safetensors"
        before = checkpoint.stat()
        rig.thaw(frozen)  # a zombie beside its living successor
        until(lambda: "is fenced" in rig.log())
        assert checkpoint.stat() == before  # which is its successor's by now
        assert rig.ended(job).state == "succeeded"

        rig.kill(next(name for name in rig.workers if name != frozen))
        after = rig.submit(SHORT)
        assert rig.ended(after).state == "succeeded"  # by either: the zombie is a worker again


@pytest.mark.faults("worker frozen until a checkpoint is due")
def test_a_worker_that_was_frozen_for_long_does_not_write_its_checkpoint_first(trial: Trial) -> None:
    with trial.service(workers=2) as rig:
        job = rig.submit(job_of(150))
        attempt = with_a_checkpoint(rig, job)
        rig.in_mid_epoch(job)

        frozen = rig.holder(job)
        rig.freeze(frozen)
        until(lambda: rig.attempt(job) == attempt + 1)
        checkpoint = rig.home / "jobs" / job / "checkpoint.safetensors"
        before = checkpoint.stat()
        until(lambda: checkpoint.stat() != before)  # its successor's first one, after ten seconds
        before = checkpoint.stat()
        rig.thaw(frozen)  # its own next one is overdue, and it has not heard yet
        until(lambda: "is fenced" in rig.log())
        assert checkpoint.stat() == before

        assert rig.ended(job).state == "succeeded"


@pytest.mark.faults("worker told to end (SIGTERM)")
def test_a_worker_that_is_told_to_end_gives_its_job_back_at_once(trial: Trial) -> None:
    with trial.service() as rig:
        job = rig.submit()
        for attempt in (1, 2, 3):
            rig.in_mid_epoch(job)
            step = rig.step(job)

            worker, asked_at = rig.service.process("worker 0"), time.monotonic()
            worker.terminate()
            assert worker.wait(5) == 0
            rig.row.notes.append(f"gone after {time.monotonic() - asked_at:.2f} s")
            assert (rig.state(job), rig.attempt(job)) == ("queued", attempt)
            assert rig.step(job) >= step
            rig.revive()

        assert rig.ended(job).state == "succeeded"
        assert int(rig.redis.hget(f"lrserve:job:{job}", "losses")) == 0  # nobody was lost
        rig.row.rounds = 3


@pytest.mark.faults("poison: its worker dies at each attempt")
def test_a_job_that_ends_every_worker_fails_and_those_behind_it_run(trial: Trial) -> None:
    with trial.service(max_losses=2) as rig:
        poison = rig.submit()
        behind = [rig.submit(SHORT) for _ in range(3)]

        for attempt in (1, 2, 3):
            until(lambda attempt=attempt: rig.state(poison) == "running" and rig.attempt(poison) == attempt)
            rig.kill("worker 0")
            rig.revive()
        job = rig.ended(poison)

        assert (job.state, job.attempt) == ("failed", 3)
        assert job.error is not None
        assert job.error.type == "worker_lost"
        assert {rig.ended(each).state for each in behind} == {State.SUCCEEDED}
        rig.row.rounds = 3


@pytest.mark.faults("API told to end, with open streams")
def test_the_api_ends_at_once_though_streams_are_open(trial: Trial) -> None:
    with trial.service() as rig:
        job = rig.submit()
        rig.in_mid_epoch(job)

        api = rig.service.process("api")
        streams = [rig.service.http.stream("GET", f"/v1/jobs/{job}/events") for _ in range(5)]
        lines = [stream.__enter__().iter_lines() for stream in streams]
        assert all("event: state" in each for each in lines)  # each is read up to there
        asked_at = time.monotonic()
        api.terminate()
        assert api.wait(5) in (0, -15)
        rig.row.notes.append(f"gone after {time.monotonic() - asked_at:.2f} s")
        for stream, each in zip(streams, lines, strict=True):
            with suppress(httpx.TransportError):  # cut off or ended, but over
                assert not [line for line in each if line == "event: end"]
            stream.__exit__(None, None, None)
        rig.revive()

        assert rig.ended(job).attempt == 1
        assert [event.type for event in rig.client.follow(job)][-1] == "end"


@pytest.mark.faults("checkpoint cut short")
def test_a_damaged_checkpoint_gives_way_to_the_one_before(trial: Trial) -> None:
    with trial.service() as rig:
        job = rig.submit()
        for attempt in (1, 2):
            rig.in_mid_epoch(job, epochs=8)
            worker = rig.service.process("worker 0")
            worker.terminate()
            assert worker.wait(5) == 0
            if attempt == 1:
                rig.revive()

        last = rig.home / "jobs" / job / "checkpoint.safetensors"
        there, stopped = epoch_under_way(last.with_suffix(".before")), rig.step(job)
        assert 0 < there < epoch_under_way(last)
        cut(last)
        rig.revive()
        until(lambda: rig.step(job) != stopped)

        assert 32 * there <= rig.step(job) < stopped  # back by one checkpoint, and not to the beginning
        assert rig.ended(job).state == "succeeded"


def epoch_under_way(checkpoint: Path) -> int:
    """Where a run goes on from a checkpoint."""
    with safe_open(checkpoint, framework="numpy") as file:
        return int(json.loads(file.metadata()["position"])["epoch"])


@pytest.mark.faults("all checkpoints cut short")
def test_a_job_without_a_usable_checkpoint_begins_again(trial: Trial) -> None:
    with trial.service() as rig:
        job = rig.submit(job_of(30))
        rig.in_mid_epoch(job)
        worker = rig.service.process("worker 0")
        worker.terminate()
        assert worker.wait(5) == 0

        for file in (rig.home / "jobs" / job).iterdir():
            cut(file)
        rig.revive()

        assert (rig.ended(job).state, rig.attempt(job)) == ("succeeded", 2)


def cut(file: Path) -> None:
    """Leave the first half of a file."""
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)
