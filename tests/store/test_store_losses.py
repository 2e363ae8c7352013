"""The job store against real Redis servers: leases, lost workers, errors and time limits."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from lrcore.jobs.job import JobError, JobOptions
from lrcore.jobs.states import State
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.store.lease import DRAINING
from lrcore.store.queue import QUEUE
from tests.conftest import until
from tests.factories import LEASE, MOST, SHORT, SPEC, claimed, job_spec, lapsed, progress, running
from tests.store.repeating import Losing, Repeating
from tests.stores import JobStore


def test_a_lease_that_ran_out_puts_the_job_back(store: JobStore) -> None:
    claim = running(store, lease=SHORT)

    assert lapsed(store) == [claim.id]
    assert store.get(claim.id).state == "queued"
    assert claimed(store, "b").attempt == 2


def test_a_heartbeat_keeps_the_lease(store: JobStore) -> None:
    claim = running(store, lease=SHORT)
    store.beat(claim, LEASE, None)

    time.sleep(2 * SHORT)

    assert store.reap(MOST) == []


def test_a_worker_that_is_late_keeps_a_job_that_nobody_missed(store: JobStore) -> None:
    claim = running(store, lease=SHORT)
    time.sleep(2 * SHORT)

    store.beat(claim, LEASE, progress(4))

    assert store.reap(MOST) == []
    assert store.get(claim.id).progress == progress(4)


def test_many_reapers_find_a_lost_job_once(store: JobStore) -> None:
    ids = [running(store, lease=SHORT).id for _ in range(8)]
    time.sleep(2 * SHORT)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: store.reap(MOST), range(16)))

    assert sorted(job_id for ids in found for job_id in ids) == sorted(ids)
    assert [claimed(store).attempt for _ in ids] == [2] * 8


def test_a_job_may_lose_so_many_workers_and_no_more(store: JobStore) -> None:
    job = store.create(SPEC)
    for _ in range(MOST + 1):
        claimed(store, lease=SHORT)
        lapsed(store)

    ended = store.get(job.id)
    assert (ended.state, ended.attempt) == ("failed", MOST + 1)
    assert ended.error is not None
    assert ended.error.type == "worker_lost"


def test_a_lost_job_with_a_cancel_pending_is_cancelled(store: JobStore) -> None:
    claim = running(store, lease=SHORT)
    store.cancel(claim.id)

    lapsed(store)

    assert store.get(claim.id).state == "cancelled"


def test_a_worker_that_starts_again_frees_what_it_held_and_nothing_else(store: JobStore) -> None:
    mine, other = running(store, "a"), running(store, "b")

    assert store.abandon("a", MOST) == [mine.id]
    assert (store.get(mine.id).state, store.get(other.id).state) == ("queued", "running")


def test_a_job_that_was_left_behind_counts_as_a_loss(store: JobStore) -> None:
    claim = running(store)

    store.abandon("a", 0)

    assert store.get(claim.id).state == "failed"


def test_a_job_that_kills_its_worker_fails_with_all_that_is_known(store: JobStore) -> None:
    claim = running(store, "a")
    store.beat(claim, LEASE, None, "loading the data and the model, step 0 of 9, with 3.0 GiB resident")
    store.abandon("a", MOST, 2, "with exit status 1")
    assert (store.get(claim.id).state, store.get(claim.id).losses) == ("queued", 1)

    again = claimed(store, "a")
    store.beat(again, LEASE, None, "training, step 7 of 9, with 9.0 GiB resident")
    store.abandon("a", MOST, 2, "by signal 9 (SIGKILL)")

    job = store.get(claim.id)
    assert (job.state, job.losses) == ("failed", 2)
    assert job.error == JobError(
        type="worker_killed",
        message="its worker died 2 times while it ran this job, the last time by signal 9 (SIGKILL); "
        "last sign of life: training, step 7 of 9, with 9.0 GiB resident",
    )


def test_a_sign_of_life_is_that_of_the_attempt_that_died(store: JobStore) -> None:
    claim = running(store, "a")
    store.beat(claim, LEASE, None, "training, step 7 of 9")
    store.abandon("a", MOST, 2, "by signal 9 (SIGKILL)")
    claimed(store, "a")
    store.abandon("a", MOST, 2, "by signal 9 (SIGKILL)")

    error = store.get(claim.id).error
    assert error is not None
    assert error.message.endswith("last sign of life: the worker had taken the job")


def test_losses_to_infrastructure_are_no_deaths_by_a_job(store: JobStore) -> None:
    claim = running(store, "a", lease=SHORT)
    lapsed(store)
    claim = claimed(store, "a")
    store.beat(claim, LEASE, None, DRAINING)
    store.abandon("a", 10, 1, "by signal 9 (SIGKILL)")  # it took too long to end
    claimed(store, "a")
    store.abandon("a", 10)  # it ended by itself

    assert (store.get(claim.id).state, store.get(claim.id).losses) == ("queued", 3)
    claimed(store, "a")
    store.abandon("a", 10, 1, "by signal 9 (SIGKILL)")
    assert store.get(claim.id).state == "failed"


def test_a_job_that_killed_its_worker_with_a_cancel_pending_is_cancelled(store: JobStore) -> None:
    claim = running(store, "a")
    store.cancel(claim.id)

    store.abandon("a", MOST, 1, "by signal 9 (SIGKILL)")

    assert store.get(claim.id).state == "cancelled"


def test_the_lease_of_a_job_lasts_while_its_spec_is_read(store: JobStore) -> None:
    waves = " + ".join(f"{wave}(step / {n})" for n in (1, 2) for wave in ("sin", "cos"))
    data = {"type": "fake", "samples": 500, "image_size": 12}
    long = {"epochs": 10_000, "batch_size": 1, "interval": "step", "dataset": data}
    schedule = {"type": "LambdaLR", "lr_lambda": f"20 + {waves}"}
    # to read it takes many times the lease
    store.create(TrainingSpec.model_validate(job_spec() | long | {"schedule": schedule}))
    over, lost = threading.Event(), list[str]()

    def reap() -> None:
        while not over.wait(0.05):
            lost.extend(store.reap(MOST))

    reaper = threading.Thread(target=reap)
    reaper.start()
    try:
        claim = claimed(store, "a", lease=0.01)
        assert store.beat(claim, LEASE, None) == ""
    finally:
        over.set()
        reaper.join()
    assert lost == []


def test_an_error_is_tried_again_as_often_as_asked_for(store: JobStore, redis: Redis) -> None:
    job = store.create(SPEC, JobOptions(max_attempts=3))
    error = JobError(type="error", message="it broke")

    went = [store.finish(claimed(store), State.FAILED, error, again=True) for _ in range(3)]

    assert went == ["queued", "queued", "failed"]
    assert (store.get(job.id).attempt, store.get(job.id).error) == (3, error)
    published = [json.loads(fields["data"]) for _, fields in redis.xrange(store.events_key(job.id))]
    assert [event for event in published if "error" in event] == [
        {"state": state, "attempt": attempt, "error": error.model_dump()}
        for state, attempt in (("queued", 1), ("queued", 2), ("failed", 3))
    ]


def test_an_error_that_would_come_again_is_not_tried_again(store: JobStore) -> None:
    store.create(SPEC, JobOptions(max_attempts=3))

    assert store.finish(claimed(store), State.FAILED, JobError(type="diverged", message="")) == "failed"


def test_lost_workers_do_not_count_as_errors(store: JobStore) -> None:
    job = store.create(SPEC, JobOptions(max_attempts=2))
    error = JobError(type="error", message="it broke")
    for _ in range(MOST):
        store.lose(claimed(store), MOST)

    assert store.get(job.id).losses == MOST
    assert store.finish(claimed(store), State.FAILED, error, again=True) == "queued"
    assert store.finish(claimed(store), State.FAILED, error, again=True) == "failed"


def test_a_job_runs_for_so_long_and_no_longer(store: JobStore) -> None:
    job = store.create(SPEC, JobOptions(max_seconds=0.2))
    claim = claimed(store)
    assert store.beat(claim, LEASE, None) == ""
    store.finish(claim, State.QUEUED)
    time.sleep(0.3)  # waiting does not count
    claim = claimed(store)
    assert store.beat(claim, LEASE, None) == ""

    assert until(lambda: store.beat(claim, LEASE, None)) == "expire"
    store.finish(claim, State.QUEUED)

    ended = store.get(job.id)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.type == "timeout"


def test_a_pause_that_comes_before_an_error_is_kept(store: JobStore) -> None:
    store.create(SPEC, JobOptions(max_attempts=2))
    claim = claimed(store)
    store.pause(claim.id)

    assert store.finish(claim, State.FAILED, JobError(type="error", message=""), again=True) == "paused"


def test_a_claim_that_was_not_answered_is_found_by_the_next_one(store: JobStore, redis: Redis) -> None:
    first, second = store.create(SPEC).id, store.create(SPEC).id
    worker = JobStore(Losing.of(redis, "claim"))
    with pytest.raises(RedisConnectionError):
        worker.claim([QUEUE], "w", LEASE)

    found = worker.claim([QUEUE], "w", LEASE)
    other = worker.claim([QUEUE], "w", LEASE)

    assert found is not None
    assert other is not None
    assert ((found.id, found.attempt), other.id) == ((first, 1), second)
    worker.beat(found, LEASE, None)


def test_a_claim_that_redis_hears_twice_takes_one_job(store: JobStore, redis: Redis) -> None:
    first, second = store.create(SPEC), store.create(SPEC)
    client = Repeating.of(redis)
    claimed(JobStore(client))

    assert client.again("claim") == client.answered("claim")
    assert [store.get(job.id).state for job in (first, second)] == ["running", "queued"]
