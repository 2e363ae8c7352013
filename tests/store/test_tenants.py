"""Tenants in the store: each sees its own, and gets its share."""

from __future__ import annotations

import pytest
from redis import Redis

from lrcore.jobs.job import JobOptions
from lrcore.jobs.states import State
from lrcore.store.errors import JobExists, JobNotFound, KeyReused, LimitReached
from lrcore.store.queue import QUEUE
from lrcore.webhooks.endpoints import WebhookNotFound, WebhookStore
from tests.factories import LEASE, SPEC, claimed, experiment_of
from tests.stores import JobStore


def test_a_tenant_finds_its_own_jobs_alone(store: JobStore) -> None:
    mine, theirs = store.of("mine"), store.of("theirs")
    job = mine.create(SPEC, JobOptions(labels=("a",)))
    other = theirs.create(SPEC, JobOptions(labels=("a",)))

    assert mine.get(job.id).id == job.id
    assert [each.id for each in mine.page()[0]] == [job.id]
    assert [each.id for each in theirs.page(label="a")[0]] == [other.id]
    assert store.of("default").page()[0] == []
    for ask in (theirs.get, theirs.cancel, theirs.pause, theirs.resume, theirs.forget):
        with pytest.raises(JobNotFound):
            ask(job.id)
    with pytest.raises(JobNotFound):
        theirs.prioritize(job.id, 3)
    assert mine.get(job.id).state == "queued"


def test_tenants_may_choose_the_same_id(store: JobStore) -> None:
    mine, theirs, nobody = store.of("mine"), store.of("theirs"), store.of("default")
    jobs = [each.put("sweep", SPEC)[0] for each in (mine, theirs, nobody)]

    assert [job.id for job in jobs] == ["sweep"] * 3
    assert len({job.key for job in jobs}) == 3
    assert mine.put("sweep", SPEC)[1] is False
    with pytest.raises(JobExists):
        mine.put("sweep", SPEC, JobOptions(priority=1))
    mine.cancel("sweep")
    assert [each.get("sweep").state for each in (mine, theirs, nobody)] == ["cancelled", "queued", "queued"]
    mine.forget("sweep")
    with pytest.raises(JobNotFound):
        mine.get("sweep")
    assert theirs.get("sweep").state == "queued"
    for name in ("theirs:sweep", "mine:sweep", ":sweep"):
        with pytest.raises(JobNotFound):
            mine.get(name)


def test_a_request_s_key_is_the_tenant_s(store: JobStore) -> None:
    mine, theirs = store.of("mine"), store.of("theirs")
    first = mine.create(SPEC, key="once")

    assert theirs.create(SPEC, JobOptions(priority=1), key="once").id != first.id
    assert mine.create(SPEC, key="once").id == first.id
    with pytest.raises(KeyReused):
        mine.create(SPEC, JobOptions(priority=1), key="once")


def test_workers_serve_tenants_in_turn(store: JobStore) -> None:
    many = [store.of("many").create(SPEC).key for _ in range(4)]
    few = [store.of("few").create(SPEC).key for _ in range(2)]
    urgent = store.of("many").create(SPEC, JobOptions(priority=9)).key

    taken = [claimed(store, worker).id for worker in "abcdefg"]

    assert set(taken[:2]) == {urgent, few[0]}
    assert set(taken[2:4]) == {many[0], few[1]}
    assert taken[4:] == many[1:]
    assert store.claim([QUEUE], "h", LEASE) is None


def test_a_tenant_s_share_counts_parts_of_experiments(store: JobStore) -> None:
    for _ in range(8):
        store.of("one").create(SPEC)
    store.of("two").create(experiment_of(8))

    taken = [claimed(store, worker).id for worker in "abcdef"]

    assert sum("/" in job_id for job_id in taken) == 3


def test_queues_count_all_tenants(store: JobStore) -> None:
    store.present("a", [QUEUE], 5)
    for tenant in ("default", "one", "two"):
        store.of(tenant).create(SPEC)

    assert [(queue.name, queue.waiting) for queue in store.queues()] == [(QUEUE, 3)]
    for worker in "abc":
        claimed(store, worker)
    assert [(queue.name, queue.waiting) for queue in store.queues()] == [(QUEUE, 0)]


def test_a_queue_with_a_tenant_s_jobs_alone_stays(store: JobStore) -> None:
    job = store.of("one").create(SPEC)
    store.reap(3)

    assert claimed(store).id == job.key


def test_no_more_jobs_are_queued_than_the_limit_says(store: JobStore, redis: Redis) -> None:
    redis.hset("lrserve:limits:*", "queued", 2)
    redis.hset("lrserve:limits:large", "queued", 3)
    for _ in range(2):
        store.of("small").create(SPEC)
    for _ in range(3):
        store.of("large").create(SPEC, key="")

    with pytest.raises(LimitReached, match="queued is reached: 2"):
        store.of("small").create(SPEC)
    with pytest.raises(LimitReached, match="queued is reached: 3"):
        store.of("large").put("x", SPEC)
    claimed(store)
    claimed(store)
    store.of("small").create(SPEC)


def test_a_request_that_was_refused_by_a_limit_can_be_sent_again(store: JobStore, redis: Redis) -> None:
    redis.hset("lrserve:limits:*", "queued", 1)
    first = store.of("one").create(SPEC)
    with pytest.raises(LimitReached):
        store.of("one").create(SPEC, JobOptions(priority=2), key="mine")
    store.of("one").cancel(first.id)

    assert store.of("one").create(SPEC, JobOptions(priority=2), key="mine").state == "queued"


def test_no_more_jobs_run_than_the_limit_says(store: JobStore, redis: Redis) -> None:
    redis.hset("lrserve:limits:one", "running", 1)
    store.of("one").create(SPEC)
    store.of("one").create(SPEC)
    first = claimed(store, "a")

    assert store.claim([QUEUE], "b", LEASE) is None
    store.finish(first, State.SUCCEEDED)
    assert store.claim([QUEUE], "b", LEASE) is not None


def test_seconds_of_a_day_run_out(store: JobStore, redis: Redis) -> None:
    redis.hset("lrserve:limits:one", "gpu_seconds_per_day", 10)
    store.of("one").create(SPEC)
    store.of("one").create(SPEC)
    first = claimed(store, "a")
    redis.hincrby(f"lrserve:job:{first.id}", "claimed_at", -9_000)
    second = claimed(store, "b")
    redis.hincrby(f"lrserve:job:{second.id}", "claimed_at", -9_000)
    store.of("one").create(SPEC)
    store.of("two").create(SPEC)

    assert claimed(store, "c").id == store.of("two").page()[0][0].key
    assert store.claim([QUEUE], "d", LEASE) is None
    store.finish(first, State.SUCCEEDED)
    store.finish(second, State.SUCCEEDED)
    assert store.claim([QUEUE], "d", LEASE) is None
    [spent] = redis.keys("lrserve:of:one:spent:*")
    assert 18_000 <= int(redis.get(spent)) < 20_000  # type: ignore[arg-type]


def test_webhooks_are_the_tenant_s(redis: Redis, store: JobStore) -> None:
    mine, theirs = WebhookStore(redis).of("mine"), WebhookStore(redis).of("theirs")
    hook, _ = mine.register("https://example.org", ["job.succeeded"], None, "")

    assert [each.id for each in mine.all()] == [hook.id]
    assert theirs.all() == []
    for ask in (theirs.get, theirs.rotate, theirs.remove, theirs.test, lambda name: theirs.page(name, 1, None)):
        with pytest.raises(WebhookNotFound):
            ask(hook.id)
    with pytest.raises(WebhookNotFound):
        theirs.change(hook.id, {"enabled": False})
    with pytest.raises(WebhookNotFound):
        theirs.redeliver(hook.id, "x")
    assert mine.get(hook.id).enabled


def test_one_worker_serves_tenants_in_turn(store: JobStore) -> None:
    urgent, modest = store.of("urgent"), store.of("modest")
    for _ in range(4):
        urgent.create(SPEC, JobOptions(priority=9))
    for _ in range(2):
        modest.create(SPEC)
    served = []
    for _ in range(6):
        claim = claimed(store)
        served.append(store.get(claim.id).tenant)
        store.finish(claim, State.SUCCEEDED)

    assert served == ["urgent", "modest", "urgent", "modest", "urgent", "urgent"]
