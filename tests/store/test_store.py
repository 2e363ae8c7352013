"""The job store against real Redis servers: made, claimed, reported on, ended and cancelled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from redis import Redis

from lrcore.jobs.job import Best, JobError, JobOptions
from lrcore.jobs.states import State
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.store.errors import Gap, IllegalMove, JobExists, JobNotFound, KeyReused, LeaseLost, StoreFull
from lrcore.store.queue import QUEUE
from lrcore.store.records import NewJob
from lrcore.store.scripts import ScriptRunner
from tests.conftest import until
from tests.factories import LEASE, MOST, SHORT, SPEC, claimed, epoch, lapsed, progress, running
from tests.stores import JobStore


def test_a_new_job_is_queued_with_what_was_asked_for(store: JobStore) -> None:
    job = store.create(SPEC)

    assert (job.state, job.attempt, job.kind) == ("queued", 0, "training")
    assert TrainingSpec.model_validate(job.spec) == SPEC
    assert (job.progress.step, job.progress.steps, job.progress.epochs) == (0, 12, 3)
    assert (job.metrics, job.best, job.error, job.started_at, job.finished_at) == (None,) * 5
    assert job == store.get(job.id)


def test_a_job_that_nobody_made_is_not_found(store: JobStore) -> None:
    for call in (store.get, store.epochs, store.cancel):
        with pytest.raises(JobNotFound, match="nobody"):
            call("nobody")


@pytest.mark.parametrize("part", ["events", "epochs"])
def test_a_job_s_events_and_epochs_are_no_jobs(part: str, store: JobStore) -> None:
    claim = running(store)
    store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))

    for call in (store.get, store.epochs, store.cancel):
        with pytest.raises(JobNotFound):
            call(f"{claim.id}:{part}")


def test_an_empty_queue_has_nothing_to_claim(store: JobStore) -> None:
    assert store.claim([QUEUE], "a", LEASE) is None


def test_jobs_are_claimed_in_the_order_they_came(store: JobStore) -> None:
    ids = [store.create(SPEC).id for _ in range(12)]

    assert [claimed(store).id for _ in ids] == ids


def test_a_claim_hands_over_the_job_and_a_token_of_its_own(store: JobStore) -> None:
    claim = running(store)
    job = store.get(claim.id)

    assert (claim.spec, claim.attempt) == (SPEC, 1)
    assert (job.state, job.attempt) == ("running", 1)
    assert job.started_at is not None
    assert running(store).token != claim.token


def test_no_two_workers_get_one_job(store: JobStore) -> None:
    ids = [store.create(SPEC).id for _ in range(40)]

    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda i: store.claim([QUEUE], f"worker {i}", LEASE), range(60)))

    assert sorted(claim.id for claim in claims if claim) == sorted(ids)


def test_a_queue_has_its_own_jobs(store: JobStore) -> None:
    store.create(SPEC, JobOptions(hardware="gpu"))

    assert store.claim([QUEUE], "a", LEASE) is None
    assert store.claim(["gpu"], "a", LEASE) is not None


def test_of_several_queues_the_best_job_is_taken_wherever_it_waits(store: JobStore) -> None:
    first, second, third = (
        store.create(SPEC, JobOptions(hardware=hardware, priority=priority)).id
        for hardware, priority in (("gpu", 1), (None, 9), ("gpu", 9))
    )

    claims = [store.claim(["gpu", QUEUE], "a", LEASE) for _ in range(3)]

    assert [(claim.id, claim.queue) for claim in claims if claim] == [(second, QUEUE), (third, "gpu"), (first, "gpu")]


def test_a_report_shows_in_the_job(store: JobStore) -> None:
    claim = running(store)

    store.beat(claim, LEASE, progress(4))
    store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))

    job = store.get(claim.id)
    assert job.progress == progress(4)
    assert job.metrics == epoch(0)
    assert job.best == Best(epoch=0, test_accuracy=0.5)
    assert store.epochs(claim.id) == [epoch(0)]


def test_a_second_attempt_takes_the_place_of_the_epochs_it_repeats(store: JobStore) -> None:
    first = running(store)
    for index in range(3):
        store.add_epoch(first, LEASE, epoch(index), Best(epoch=0, test_accuracy=0.5))
    store.finish(first, State.QUEUED)

    second = claimed(store)
    store.add_epoch(second, LEASE, epoch(1, 0.9), Best(epoch=1, test_accuracy=0.9))

    assert store.epochs(second.id) == [epoch(0), epoch(1, 0.9)]


def test_an_epoch_that_is_missing_is_asked_for(store: JobStore) -> None:
    claim = running(store)

    store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))
    with pytest.raises(Gap) as gap:
        store.add_epoch(claim, LEASE, epoch(2), Best(epoch=2, test_accuracy=0.5))
    assert gap.value.epoch == 1
    assert store.epochs(claim.id) == [epoch(0)]


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_a_job_ends_as_its_worker_says(state: State, store: JobStore) -> None:
    claim = running(store)
    error = JobError(type="error", message="it broke") if state is State.FAILED else None

    store.finish(claim, state, error)

    job = store.get(claim.id)
    assert (job.state, job.error) == (state, error)
    assert job.finished_at is not None


def test_a_job_given_back_is_first_in_the_queue_again(store: JobStore) -> None:
    claim = running(store)
    store.create(SPEC)

    store.finish(claim, State.QUEUED)

    assert store.get(claim.id).state == "queued"
    again = claimed(store)
    assert (again.id, again.attempt) == (claim.id, 2)


def test_giving_a_job_back_is_no_loss(store: JobStore) -> None:
    store.create(SPEC)
    for _ in range(MOST + 2):
        claim = claimed(store)
        store.finish(claim, State.QUEUED)

    assert (store.get(claim.id).state, store.get(claim.id).attempt) == ("queued", MOST + 2)


def test_a_job_started_when_it_was_first_claimed(store: JobStore, redis: Redis) -> None:
    first = running(store)
    started = store.get(first.id).started_at
    store.finish(first, State.QUEUED)
    until(lambda: redis.time()[1] // 1000 != int(str(started)[-4:-1]))

    claimed(store)

    assert store.get(first.id).started_at == started


@pytest.mark.parametrize("taken", ["given back", "claimed again", "ended", "forgotten", "lost"])
def test_a_writer_whose_token_is_no_longer_the_job_s_writes_nothing(taken: str, store: JobStore, redis: Redis) -> None:
    claim = running(store)
    if taken == "forgotten":
        redis.flushall()
    elif taken == "lost":
        store.beat(claim, SHORT, None)
        lapsed(store)
    else:
        store.finish(claim, State.SUCCEEDED if taken == "ended" else State.QUEUED)
    if taken == "claimed again":
        claimed(store, "b")
    before = {key: redis.dump(key) for key in redis.scan_iter()}

    for write in (
        lambda: store.beat(claim, LEASE, progress(5)),
        lambda: store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5)),
        lambda: store.finish(claim, State.SUCCEEDED),
    ):
        with pytest.raises(LeaseLost, match=claim.id):
            write()

    assert {key: redis.dump(key) for key in redis.scan_iter()} == before


def test_a_queued_job_is_cancelled_at_once(store: JobStore) -> None:
    job = store.create(SPEC)

    assert store.cancel(job.id).state == "cancelled"
    assert store.claim([QUEUE], "a", LEASE) is None
    assert store.cancel(job.id).state == "cancelled"  # again is no error


def test_the_worker_of_a_running_job_is_asked_to_stop(store: JobStore) -> None:
    claim = running(store)
    assert store.beat(claim, LEASE, None) == ""

    assert store.cancel(claim.id).state == "running"

    assert store.beat(claim, LEASE, None) == "cancel"
    assert store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5)) == "cancel"


def test_a_job_that_is_given_back_with_a_cancel_pending_is_cancelled(store: JobStore) -> None:
    claim = running(store)
    store.cancel(claim.id)

    store.finish(claim, State.QUEUED)

    assert store.get(claim.id).state == "cancelled"


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_a_cancel_that_comes_too_late_changes_no_end(state: State, store: JobStore) -> None:
    claim = running(store)
    store.cancel(claim.id)

    store.finish(claim, state)

    assert store.get(claim.id).state == state


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_an_ended_job_cannot_be_cancelled(state: State, store: JobStore) -> None:
    claim = running(store)
    store.finish(claim, state)

    with pytest.raises(IllegalMove, match=f"is {state} and cannot be cancelled"):
        store.cancel(claim.id)


def test_an_id_of_one_s_own_makes_one_job(store: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.put("mine", SPEC), range(20)))

    assert [job.id for job, _ in made] == ["mine"] * 20
    assert sum(new for _, new in made) == 1
    assert [job.id for job in store.page()[0]] == ["mine"]


def test_an_id_of_one_s_own_stays_with_its_job(store: JobStore) -> None:
    store.put("mine", SPEC)
    other = store.create(SPEC)

    with pytest.raises(JobExists, match="mine"):
        store.put("mine", SPEC, JobOptions(priority=1))
    with pytest.raises(JobExists):
        store.put(other.id, SPEC)

    store.cancel("mine")
    store.forget("mine")
    assert store.put("mine", SPEC, JobOptions(priority=1))[1]


def test_a_key_names_one_request(store: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: store.create(SPEC, key="once").id, range(20)))

    assert len(ids) == 1
    with pytest.raises(KeyReused, match="once"):
        store.create(SPEC, JobOptions(priority=1), key="once")


def test_a_submit_that_redis_hears_twice_makes_one_job(store: JobStore, redis: Redis) -> None:
    arguments = store._arguments(NewJob(SPEC, JobOptions(), "once"))
    scripts = ScriptRunner(redis)
    made = scripts.run("create", *arguments)
    claimed(store)

    assert scripts.run("create", *arguments)[0] == made[0] == "made"
    assert [job.state for job in store.page()[0]] == ["running"]


def test_a_job_that_this_version_cannot_read_fails_and_the_next_one_is_taken(store: JobStore, redis: Redis) -> None:
    broken, sound = store.create(SPEC), store.create(SPEC)
    redis.hset(f"lrserve:job:{broken.id}", "spec", SPEC.model_dump_json().replace("lenet", "another"))

    assert claimed(store).id == sound.id
    error = store.get(broken.id).error
    assert error is not None
    assert error.type == "invalid_spec"


def test_no_job_is_accepted_before_redis_is_full(store: JobStore, redis: Redis) -> None:
    claim = running(store)
    redis.set("ballast", "x" * 8_000_000)  # beside it, the buffers of connections come and go unnoticed
    used = redis.info("memory")["used_memory"]
    redis.config_set("maxmemory", int(used / 0.95))
    try:
        with pytest.raises(StoreFull, match="of its"):
            JobStore(redis).create(SPEC)  # another one: a check of the memory holds for a second
        store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))
        assert store.finish(claim, State.SUCCEEDED) == "succeeded"
    finally:
        redis.config_set("maxmemory", 0)


def test_no_job_is_accepted_when_redis_is_full(redis: Redis) -> None:
    store = JobStore(redis)
    store.check_writable()  # and will not check again for a second
    redis.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull, match="nothing was stored"):
            store.create(SPEC)
    finally:
        redis.config_set("maxmemory", 0)
    assert store.page()[0] == []
