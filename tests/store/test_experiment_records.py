"""Experiments in the store, against real Redis servers: what is deleted, listed and kept."""

from __future__ import annotations

import time

import pytest
from redis import Redis

from lrcore.jobs.experiment import MAX_RUNS
from lrcore.jobs.states import RunState, State
from lrcore.store.errors import IllegalMove, JobNotFound
from lrcore.store.queue import QUEUE, broker_list
from lrcore.store.records import Judgement, Queue, RunEnd
from tests.factories import LEASE, MOST, SPEC, claimed_runs, experiment_of
from tests.store.experiments import BROKE, DIVERGED, STEPS, create, held, indices, run_epoch, states
from tests.stores import JobStore

# what is left, and what is seen


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled", "cancelled while paused", "pruned"])
def test_a_deleted_experiment_leaves_records_of_its_parts_for_an_hour(end: str, store: JobStore, redis: Redis) -> None:
    job = create(store, 6, labels=["team=a"], max_attempts=2)
    store.finish(claimed_runs(store, most=2), State.SUCCEEDED)
    first, second = claimed_runs(store, "a", 2), claimed_runs(store, "b", 2)
    with pytest.raises(IllegalMove, match="running"):
        store.forget(job.id)
    store.report(first, LEASE, 5, [run_epoch(2, 0), RunEnd(3, RunState.FAILED, DIVERGED)])
    store.judge(first, [Judgement("0:0", range(4, 5), end != "pruned")])
    if "cancelled" in end:
        store.finish(first, State.QUEUED)
        (store.pause if "paused" in end else store.cancel)(job.id)
        store.finish(second, State.QUEUED)
        store.cancel(job.id)
    else:
        for claim in (first, second):
            state = State.FAILED if end == "failed" else State.SUCCEEDED
            store.finish(claim, state, BROKE if end == "failed" else None)

    store.forget(job.id)

    left = {key: redis.ttl(key) for key in redis.scan_iter() if job.id in key}
    assert set(left) <= {f"lrserve:job:{job.id}/{shard}" for shard in (1, 2, 3)}
    assert all(0 < seconds <= 3600 for seconds in left.values())
    everywhere = {key for key in redis.scan_iter() if job.id not in key and job.id.encode() in (redis.dump(key) or b"")}
    assert everywhere <= {"lrserve:claims"}
    with pytest.raises(JobNotFound):
        store.get(job.id)


def test_a_queued_experiment_that_is_cancelled_and_deleted_leaves_nothing(store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    store.cancel(job.id)
    store.forget(job.id)

    assert not [key for key in redis.scan_iter() if job.id in key]


def test_an_experiment_made_anew_under_its_id_has_new_shards(store: JobStore, redis: Redis) -> None:
    for _ in range(2):
        store.put("mine", experiment_of(2))
        store.lose(claimed_runs(store), MOST)
        claim = claimed_runs(store)
        assert claim.attempt == 2
        store.report(claim, LEASE, STEPS, [run_epoch(0, 0)])
        assert redis.ttl(f"lrserve:job:{claim.id}") == -1
        assert store.get("mine").progress.step == STEPS
        assert (store.finish(claim, State.SUCCEEDED), store.get("mine").state) == ("succeeded", "succeeded")
        assert store.get("mine").progress.step == 2 * STEPS
        store.forget("mine")


def test_an_experiment_that_ended_long_ago_is_stale(store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1)
    assert store.take_stale(0, LEASE) is None
    store.finish(claim, State.SUCCEEDED)
    time.sleep(0.01)

    taken = store.take_stale(0, LEASE)

    assert taken is not None
    assert taken[0] == job_id
    assert store.take_stale(0, LEASE) is None
    assert store.forget_stale(*taken)
    with pytest.raises(JobNotFound):
        store.get(job_id)


def test_an_experiment_waits_once_however_many_runs_it_has(store: JobStore, redis: Redis) -> None:
    create(store, 9)
    store.present("a", [QUEUE], LEASE)
    assert store.queues() == [Queue(QUEUE, 1, 1, 0)]
    claims = [claimed_runs(store, most=3)]

    assert store.queues()[0].missing_notifications == 1  # it has more to give
    redis.rpush(broker_list(QUEUE), "a message")
    assert store.queues()[0].missing_notifications == 0
    claims += [claimed_runs(store, most=3) for _ in range(2)]
    assert store.queues()[0].waiting == 0
    store.finish(claims[0], State.QUEUED)
    assert store.queues()[0].waiting == 1


def test_experiments_are_listed_among_all_jobs_and_by_themselves(store: JobStore) -> None:
    running, _ = held(store, labels=["team=a"])
    store.create(SPEC)
    queued = create(store, 2)
    cancelled = store.cancel(create(store, 2).id).id

    assert [job.id for job in store.page(experiments=True)[0]] == [cancelled, queued.id, running]
    listed = {state: [job.id for job in store.page(experiments=True, state=state)[0]] for state in State}
    assert listed == {state: [] for state in State} | {
        State.RUNNING: [running],
        State.QUEUED: [queued.id],
        State.CANCELLED: [cancelled],
    }
    assert [job.id for job in store.page(label="team=a", state=State.RUNNING)[0]] == [running]
    assert len(store.page()[0]) == 4
    first, cursor = store.page(experiments=True, limit=2)
    second, end = store.page(experiments=True, limit=2, cursor=cursor)
    assert ([job.id for job in (*first, *second)], end) == ([cancelled, queued.id, running], None)

    store.forget(cancelled)
    assert [job.id for job in store.page(experiments=True)[0]] == [queued.id, running]


@pytest.mark.sampled(2)
def test_ten_thousand_runs(store: JobStore, redis: Redis) -> None:
    job = create(store, MAX_RUNS)
    claim = claimed_runs(store)
    assert len(indices(claim)) == MAX_RUNS
    for first in range(0, MAX_RUNS, 2000):
        runs = range(first, first + 2000)
        store.report(claim, LEASE, 4 * runs.stop, [run_epoch(run, 0) for run in runs])
    store.judge(claim, [Judgement(f"0:{run}", range(run, run + 1), run % 2 == 0) for run in range(MAX_RUNS)])
    assert len(store.reached(job.id, 0)) == MAX_RUNS
    store.finish(claim, State.QUEUED)
    store.finish(claimed_runs(store), State.SUCCEEDED)

    assert states(store, job.id) == ["succeeded", "pruned"] * (MAX_RUNS // 2)
    assert store.get(job.id).progress.step == MAX_RUNS * STEPS
    assert sum(map(len, store.run_epochs(job.id, range(MAX_RUNS)))) == MAX_RUNS
    store.forget(job.id)
    assert len(list(redis.scan_iter("*runs:*"))) == len(list(redis.scan_iter("*epochs:*"))) == 0
    redis.script_flush()  # and the memory that Lua took: another test would see it come back
