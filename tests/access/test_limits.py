"""Limits of tenants in the store: what counts, and that every way into the queue and out of it keeps them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from redis import Redis

from lrcore.access.limits import ALL, LimitStore
from lrcore.jobs.job import JobOptions
from lrcore.jobs.states import State
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.store import client as stores
from lrcore.store.errors import JobTooLarge, LimitReached
from lrcore.store.queue import QUEUE
from lrcore.store.records import NewJob
from tests.conftest import until
from tests.factories import LEASE, MOST, SHORT, SPEC, claimed, experiment_of, range_test_spec, training_spec
from tests.store.recount import counted, recounted
from tests.stores import JobStore

DAY = 86_400_000  # ms
RECORD = len(SPEC.model_dump_json().encode()) + stores.RECORD_BYTES


def limit(redis: Redis, **limits: int | None) -> None:
    LimitStore(redis).change("mine", limits)


@pytest.fixture
def mine(store: JobStore) -> JobStore:
    return store.of("mine")


def by_hand(rates: int) -> TrainingSpec:
    values = {str(step): 0.1 + step * 1e-9 for step in range(rates)}
    return training_spec(schedule={"type": "manual", "values": values}, interval="step", epochs=rates // 4)


def test_a_paused_job_keeps_its_place_in_the_limit_of_queued_jobs(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    limit(redis, queued=2)
    jobs = [mine.create(SPEC).id for _ in range(2)]
    for job_id in jobs:
        mine.pause(job_id)

    with pytest.raises(LimitReached, match="queued"):
        mine.create(SPEC)
    with pytest.raises(LimitReached, match="queued"):
        mine.put("x", SPEC)
    mine.resume(jobs[0])
    with pytest.raises(LimitReached):
        mine.create(SPEC)
    mine.cancel(jobs[1])
    assert mine.create(SPEC).state == "queued"


def test_what_comes_back_from_a_worker_is_never_refused_but_keeps_new_jobs_out(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    limit(redis, queued=1)
    mine.create(SPEC)
    lost, paused = claimed(store, "a", SHORT), mine.create(SPEC)
    until(lambda: store.reap(MOST))
    mine.pause(paused.id)

    assert [job.state for job in mine.page()[0]] == ["paused", "queued"]
    assert mine.resume(paused.id).state == "queued"
    with pytest.raises(LimitReached):
        mine.create(SPEC)
    assert claimed(store).id == lost.id
    with pytest.raises(LimitReached):
        mine.create(SPEC)


def test_an_experiment_that_no_worker_has_counts_as_queued_although_it_has_begun(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    limit(redis, queued=1)
    mine.create(experiment_of(4))
    shard = store.claim([QUEUE], "a", LEASE, most_runs=1)
    assert shard is not None
    other = mine.create(experiment_of(4))  # the first one has a worker
    mine.cancel(other.id)
    store.finish(shard, State.SUCCEEDED)

    with pytest.raises(LimitReached, match="queued"):
        mine.create(SPEC)
    assert claimed(store, "b").id.endswith("/2")
    assert mine.create(SPEC).state == "queued"


def test_jobs_that_are_sent_together_are_held_to_the_limit_one_by_one(store: JobStore, redis: Redis) -> None:
    limit(redis, queued=3)
    made = store.create_many([NewJob(SPEC, JobOptions(), tenant="mine") for _ in range(5)])

    assert [isinstance(each, LimitReached) for each in made] == [False] * 3 + [True] * 2


def test_a_job_is_held_to_the_limits_on_its_size_where_it_is_stored(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    limit(redis, steps=12, runs=2)
    test = range_test_spec(num_iter=8, end_lr=0.1, use_for="valley", epochs=4)
    cases = [
        (training_spec(epochs=4), "epochs"),
        (experiment_of(3), "grid"),
        (test, "epochs"),
        (range_test_spec(num_iter=13), "num_iter"),
    ]

    for work, field in cases:
        for submit in (mine.create, lambda work: mine.put("x", work), mine.check_size):
            with pytest.raises(JobTooLarge, match="limit") as refused:
                submit(work)
            assert refused.value.field == field
    assert mine.page()[0] == []
    assert mine.put("x", SPEC)[0].progress.steps == 12
    limit(redis, steps=11)
    assert mine.put("x", SPEC)[1] is False  # as it was made before
    assert store.create(training_spec(epochs=4)).tenant == "default"


def test_a_job_that_was_queued_before_a_lower_limit_on_steps_fails_when_its_turn_comes(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    jobs = [
        mine.create(work).id
        for work in (
            training_spec(epochs=4),
            range_test_spec(num_iter=8, end_lr=0.1, use_for="valley", epochs=4),
            experiment_of(4),
            SPEC,
        )
    ]
    limit(redis, steps=12, runs=3)

    assert claimed(store).id == jobs[-1]
    for job_id in jobs[:-1]:
        job = mine.get(job_id)
        assert (job.state, job.error and job.error.type) == ("failed", "limit_reached")
        assert job.error is not None
        assert "limit" in job.error.message
    assert "16 optimizer steps" in mine.get(jobs[0]).error.message  # type: ignore[union-attr]
    assert counted(redis, "mine") == recounted(redis, "mine")
    assert store.claim([QUEUE], "b", LEASE) is None


def test_a_job_that_has_begun_is_brought_to_its_end_whatever_the_limits_say_now(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    job, experiment = mine.create(SPEC).id, mine.create(experiment_of(4)).id
    store.finish(claimed(store), State.QUEUED)
    mine.pause(job)
    first = store.claim([QUEUE], "a", LEASE, most_runs=1)
    limit(redis, steps=1, runs=1)
    mine.resume(job)

    assert first is not None
    assert (first.id, claimed(store, "b").id, claimed(store, "c").id) == (f"{experiment}/1", job, f"{experiment}/2")


def test_more_than_a_hundred_jobs_over_a_lower_limit_do_not_keep_others_from_running(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    for _ in range(250):
        mine.create(training_spec(epochs=4))
    last = mine.create(SPEC).id
    limit(redis, steps=12)

    assert until(lambda: store.claim([QUEUE], "a", LEASE)).id == last


def test_checkpoints_count_among_stored_bytes_until_their_jobs_end(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    limit(redis, stored_bytes=1000)
    job = mine.create(SPEC).id
    claim = claimed(store)
    store.set_checkpoint_bytes(claim, 600)
    store.set_checkpoint_bytes(claim, 1000)
    mine.pause(job)
    store.finish(claim, State.QUEUED)

    assert mine.get(job).state == "paused"
    with pytest.raises(LimitReached, match="stored_bytes"):
        mine.create(SPEC)
    mine.cancel(job)
    assert counted(redis, "mine")["stored"] == 0
    assert mine.create(SPEC).state == "queued"


def test_checkpoints_of_parts_count_until_the_parts_or_their_experiment_end(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    job = mine.create(experiment_of(4)).id
    for worker in "abc":
        store.present(worker, [QUEUE], 60)
    claims = [store.claim([QUEUE], worker, LEASE, 1) for worker in "abc"]
    for claim in claims:
        assert claim is not None
        store.set_checkpoint_bytes(claim, 100)
    first, second, third = (claim for claim in claims if claim)
    assert counted(redis, "mine")["stored"] == 300
    store.finish(first, State.SUCCEEDED)
    assert counted(redis, "mine")["stored"] == 200
    store.finish(second, State.QUEUED)
    assert counted(redis, "mine")["stored"] == 200
    mine.cancel(job)
    store.finish(third, State.QUEUED)

    assert mine.get(job).state == "cancelled"
    assert counted(redis, "mine") == recounted(redis, "mine")
    assert counted(redis, "mine")["stored"] == 0


def test_jobs_that_wait_begin_only_while_the_tenant_may_store_more(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    done, waiting, begun = (mine.create(SPEC).id for _ in range(3))
    mine.prioritize(begun, 1)
    store.finish(claimed(store, "a"), State.QUEUED)
    mine.prioritize(begun, 0)
    first = claimed(store, "a")
    store.set_stored_bytes(first, 1000)
    store.finish(first, State.SUCCEEDED)
    store.present("a", [QUEUE], 60)
    limit(redis, stored_bytes=1000)

    assert mine.get(waiting).starts_in_seconds is None
    assert claimed(store, "b").id == begun  # although it stands behind the other
    assert store.claim([QUEUE], "c", LEASE) is None
    assert mine.get(waiting).state == "queued"
    mine.forget(done)
    assert claimed(store, "c").id == waiting


def test_a_tenant_that_may_store_no_more_leaves_the_workers_to_others(
    store: JobStore, mine: JobStore, redis: Redis
) -> None:
    first = mine.create(SPEC).id
    claim = claimed(store)
    store.set_stored_bytes(claim, 10)
    store.finish(claim, State.SUCCEEDED)
    waiting = mine.create(SPEC, JobOptions(priority=9)).id
    limit(redis, stored_bytes=10)

    other = store.create(SPEC).id
    assert claimed(store).id == other
    assert store.claim([QUEUE], "b", LEASE) is None
    mine.forget(first)
    assert claimed(store, "b").id == waiting


def test_records_of_jobs_count_until_they_are_deleted(store: JobStore, mine: JobStore, redis: Redis) -> None:
    limit(redis, record_bytes=2 * RECORD)
    jobs = [mine.create(SPEC, key=f"{i}").id for i in range(2)]
    assert mine.create(SPEC, key="1").id == jobs[1]
    for job_id in jobs:
        mine.cancel(job_id)

    assert counted(redis, "mine")["records"] == 2 * RECORD
    with pytest.raises(LimitReached, match=r"record_bytes.*delete"):
        mine.create(SPEC)
    mine.forget(jobs[0])
    assert counted(redis, "mine")["records"] == RECORD
    assert mine.create(SPEC).state == "queued"


def test_a_tenant_without_a_limit_has_a_share_of_redis_memory(store: JobStore, mine: JobStore, redis: Redis) -> None:
    before: Any = redis.config_get("maxmemory")
    used = redis.info("memory")["used_memory"]
    large = by_hand(4000)
    redis.config_set("maxmemory", used + 12 * 2**20)
    try:
        made = store.create_many([NewJob(large, JobOptions(), tenant="mine") for _ in range(60)])
        refused = [each for each in made if isinstance(each, LimitReached)]
        assert 0 < len(refused) < 60
        assert "record_bytes" in str(refused[0])
        assert store.of("other").create(large).state == "queued"
        limit(redis, record_bytes=2**40)
        assert mine.create(SPEC).state == "queued"
    finally:
        redis.config_set("maxmemory", before["maxmemory"])


def test_a_spec_is_kept_up_to_a_size_and_refused_above_it(
    store: JobStore, mine: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(SPEC.model_dump_json().encode())
    monkeypatch.setattr(stores, "SPEC_BYTES", size)
    assert mine.put("x", SPEC)[1]
    larger = by_hand(400)

    for submit in (mine.create, lambda work: mine.put("y", work), mine.check_size):
        with pytest.raises(JobTooLarge, match=f"more than {size}.*fewer") as refused:
            submit(larger)
        assert refused.value.field == "schedule"
    monkeypatch.setattr(stores, "SPEC_BYTES", size - 1)
    assert mine.put("x", SPEC)[1] is False  # as it was made before


def test_seconds_of_yesterday_do_not_count_today(store: JobStore, mine: JobStore, redis: Redis) -> None:
    until(lambda: time.time() * 1000 % DAY > 20_000)
    limit(redis, gpu_seconds_per_day=2 * DAY // 1000)
    mine.create(SPEC)
    mine.create(SPEC)
    claim = claimed(store)
    redis.hincrby(f"lrserve:job:{claim.id}", "claimed_at", -2 * DAY)

    second = claimed(store, "b")  # though the first has run for two days
    store.finish(claim, State.SUCCEEDED)
    [key] = redis.keys("lrserve:of:mine:spent:*")
    assert int(redis.get(key)) <= time.time() * 1000 % DAY + 1000  # type: ignore[arg-type]
    assert json.loads(redis.hget(f"lrserve:job:{claim.id}", "ran")) >= 2 * DAY  # type: ignore[arg-type]
    store.finish(second, State.SUCCEEDED)


def test_a_limit_for_all_holds_at_claim_too(store: JobStore, redis: Redis) -> None:
    job_id = store.create(training_spec(epochs=4)).id
    LimitStore(redis).change(ALL, {"steps": 12})

    assert store.claim([QUEUE], "a", LEASE) is None
    error = store.get(job_id).error
    assert error is not None
    assert error.type == "limit_reached"
