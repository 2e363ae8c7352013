"""Experiments in the store, against real Redis servers: workers are lost, and messages of Redis repeated or lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from redis import Redis

from lrcore.jobs.states import RunState, State
from lrcore.store.errors import Gap, LeaseLost
from lrcore.store.records import Claim, Judgement, RunEnd
from tests.factories import ALL_RUNS, LEASE, MOST, SHORT, claimed_runs, epoch, lapsed
from tests.store.experiments import (
    BROKE,
    DIVERGED,
    STEPS,
    contents,
    create,
    events,
    held,
    indices,
    rewind,
    run_epoch,
    states,
    values,
)
from tests.store.repeating import Repeating
from tests.stores import JobStore

# workers that are lost


def lose_by_reaper(store: JobStore, claim: Claim, most: int) -> None:
    store.report(claim, SHORT, 0, [])
    assert lapsed(store, most) == [claim.id]


def lose_by_restart(store: JobStore, claim: Claim, most: int) -> None:
    assert store.abandon("a", most) == [claim.id]


def lose_by_itself(store: JobStore, claim: Claim, most: int) -> None:
    store.lose(claim, most)


LOST = pytest.mark.parametrize("lose", [lose_by_reaper, lose_by_restart, lose_by_itself])
Lose = Callable[[JobStore, Claim, int], None]


@LOST
def test_a_part_whose_worker_is_lost_comes_back(lose: Lose, store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.report(first, LEASE, STEPS, [RunEnd(0, RunState.SUCCEEDED)])

    lose(store, first, MOST)

    job = store.get(job_id)
    assert (job.state, job.losses) == ("running", 1)
    assert states(store, job_id) == ["succeeded", "queued", "running", "running"]
    again = claimed_runs(store, "c")
    assert (again.id, again.attempt) == (first.id, 2)
    for claim in (again, second):
        store.finish(claim, State.SUCCEEDED)
    assert store.get(job_id).state == "succeeded"


@LOST
def test_too_many_losses_fail_a_part_and_the_others_go_on(lose: Lose, store: JobStore, redis: Redis) -> None:
    job = create(store, 6)
    for attempt in range(MOST + 1):
        claim = claimed_runs(store, "a", 2)
        assert (indices(claim), claim.attempt) == ([0, 1], attempt + 1)
        if not attempt:
            store.report(claim, LEASE, STEPS, [RunEnd(0, RunState.SUCCEEDED)])
        lose(store, claim, MOST)

    assert store.get(job.id).state == "running"
    assert states(store, job.id) == ["succeeded", "failed"]
    error = store.runs(job.id)[1].error
    assert error is not None
    assert (error.type, error.message) == ("worker_lost", f"{MOST + 1} workers were lost while they ran this job")
    for _ in range(2):
        claim = claimed_runs(store, "b", 2)
        assert claim.attempt == 1
        store.finish(claim, State.SUCCEEDED)
    ended = store.get(job.id)
    assert (ended.state, ended.losses, ended.error) == ("succeeded", MOST + 1, None)
    assert ended.progress.step == 6 * STEPS
    assert events(redis, store, job.id).count("end") == 1


def test_a_part_that_kills_its_worker_fails_with_the_reason_and_the_others_go_on(store: JobStore) -> None:
    job_id, (first, second) = held(store)
    for claim in (first, None):
        claim = claim or claimed_runs(store, "a")
        store.report(claim, LEASE, STEPS, [RunEnd(0, RunState.SUCCEEDED)], "training, step 3 of 9")
        store.abandon("a", MOST, 2, "by signal 9 (SIGKILL)")

    assert store.get(job_id).state == "running"
    assert states(store, job_id) == ["succeeded", "failed", "running", "running"]
    error = store.runs(job_id)[1].error
    assert error is not None
    assert error.type == "worker_killed"
    assert error.message.endswith("the last time by signal 9 (SIGKILL); last sign of life: training, step 3 of 9")
    store.finish(second, State.SUCCEEDED)
    assert store.get(job_id).state == "succeeded"


def test_an_experiment_whose_only_part_loses_too_many_workers_fails(store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1)

    store.abandon("a", 0)

    job = store.get(job_id)
    assert (job.state, states(store, job_id)) == ("failed", ["failed"] * 4)
    assert job.error is not None
    assert job.error.type == "worker_lost"
    assert claim.id not in store.reap(0)


@pytest.mark.parametrize(("ask", "went"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_lost_part_goes_where_the_experiment_is_wanted(ask: str, went: str, store: JobStore) -> None:
    job_id, (first, second) = held(store)
    getattr(store, ask)(job_id)

    store.lose(first, 0)
    assert store.get(job_id).state == "running"
    store.lose(second, 0)

    assert store.get(job_id).state == went


def test_a_report_keeps_the_lease_of_a_shard(store: JobStore) -> None:
    create(store, 2)
    claim = claimed_runs(store, lease=SHORT)
    store.report(claim, LEASE, 1, [])

    time.sleep(2 * SHORT)

    assert store.reap(MOST) == []


def test_giving_a_part_back_is_no_loss(store: JobStore) -> None:
    job = create(store, 2)
    for _ in range(MOST + 2):
        store.finish(claimed_runs(store), State.QUEUED)

    assert (store.get(job.id).state, store.get(job.id).losses) == ("queued", 0)


@pytest.mark.parametrize("taken", ["given back", "claimed again", "ended", "the experiment ended", "forgotten", "lost"])
def test_a_worker_whose_part_is_no_longer_its_own_writes_nothing(taken: str, store: JobStore, redis: Redis) -> None:
    create(store, 4)
    claim = claimed_runs(store, most=2 if taken != "the experiment ended" else ALL_RUNS)
    if taken == "forgotten":
        redis.flushall()
    elif taken == "lost":
        lose_by_reaper(store, claim, MOST)
    else:
        store.finish(claim, State.SUCCEEDED if "ended" in taken else State.QUEUED)
    if taken == "claimed again":
        claimed_runs(store, "b", 2)
    before = values(redis)

    for write in (
        lambda: store.report(claim, LEASE, 5, [run_epoch(0, 0), RunEnd(0, RunState.FAILED, BROKE)]),
        lambda: store.judge(claim, [Judgement("0:0", range(2), False)]),
        lambda: store.finish(claim, State.SUCCEEDED),
        lambda: store.lose(claim, MOST),
    ):
        with pytest.raises(LeaseLost, match=claim.id):
            write()

    assert values(redis) == before


def test_a_claim_that_redis_receives_twice_takes_one_shard(store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    client = Repeating.of(redis)
    claimed_runs(JobStore(client), "a", 2)
    before = values(redis, without="lrserve:leases")

    assert client.again("claim") == client.answered("claim")
    assert values(redis, without="lrserve:leases") == before
    assert states(store, job.id) == ["running"] * 2


@pytest.mark.parametrize("script", ["report", "judge", "cancel", "pause", "resume"])
def test_what_redis_hears_twice_is_done_once(script: str, store: JobStore, redis: Redis) -> None:
    job_id, (claim, _) = held(store)
    if script == "RESUME":
        store.pause(job_id)
    client = Repeating.of(redis)
    sender = JobStore(client)
    if script == "report":
        news = [run_epoch(0, 0), run_epoch(0, 1, 0.9), RunEnd(0, RunState.SUCCEEDED), run_epoch(1, 0)]
        sender.report(claim, LEASE, 9, news)
    elif script == "judge":
        sender.judge(claim, [Judgement("0:0", range(1), False), Judgement("0:1", range(1, 2), True)])
    else:
        getattr(sender, script)(job_id)
    before = values(redis, without="lrserve:leases")

    assert client.again(script) == client.answered(script)
    assert values(redis, without="lrserve:leases") == before


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.QUEUED])
def test_a_finish_that_redis_hears_twice_ends_a_part_once(state: State, store: JobStore, redis: Redis) -> None:
    job_id, (claim,) = held(store, shards=1)
    error = BROKE if state is State.FAILED else None
    store.finish(claim, state, error)
    before = values(redis)

    with pytest.raises(LeaseLost, match="is fenced"):
        store.finish(claim, state, error)

    assert values(redis) == before
    assert store.get(job_id).state == state
    assert events(redis, store, job_id).count("end") == (state is not State.QUEUED)


# what redis loses


def test_epochs_that_redis_has_lost_are_asked_for(store: JobStore, redis: Redis) -> None:
    job = create(store, 2)
    claim = claimed_runs(store)
    reports = [run_epoch(run, index) for index in range(3) for run in (0, 1)]
    store.report(claim, LEASE, 8, reports[:2])
    before = contents(redis)
    store.report(claim, LEASE, 16, reports[2:4])
    rewind(redis, before)

    with pytest.raises(Gap) as gap:
        store.report(claim, LEASE, 24, reports[4:])
    assert (gap.value.run, gap.value.epoch) == (0, 1)
    store.report(claim, LEASE, 24, [reports[2]])
    with pytest.raises(Gap) as gap:
        store.report(claim, LEASE, 24, reports[4:])
    assert (gap.value.run, gap.value.epoch) == (1, 1)
    store.report(claim, LEASE, 24, [reports[3]])
    store.report(claim, LEASE, 24, reports[4:])

    assert store.run_epochs(job.id, [0, 1]) == [[epoch(index) for index in range(3)]] * 2
    assert len(events(redis, store, job.id, "epoch")) == 6
    assert store.get(job.id).progress.step == 24


def test_a_claim_that_redis_has_lost_is_made_again_by_somebody(store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    store.finish(claimed_runs(store, "a", 2), State.QUEUED)
    before = contents(redis)
    lost = [claimed_runs(store, "a", 2), claimed_runs(store, "a", 2)]
    rewind(redis, before)

    for claim in lost:
        with pytest.raises(LeaseLost):
            store.report(claim, LEASE, 1, [])
    again = [claimed_runs(store, "b", 2) for _ in range(2)]
    assert [indices(claim) for claim in again] == [[0, 1], [2, 3]]
    for claim in again:
        store.finish(claim, State.SUCCEEDED)
    assert store.get(job.id).state == "succeeded"


def test_a_finish_that_redis_has_lost_is_found_by_the_reaper(store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    claim = claimed_runs(store, lease=SHORT)
    store.report(claim, SHORT, 12, [RunEnd(0, RunState.FAILED, DIVERGED)])
    before = contents(redis)
    store.finish(claim, State.SUCCEEDED)
    rewind(redis, before)

    assert lapsed(store) == [claim.id]
    again = claimed_runs(store)
    assert indices(again) == [0, 1, 2, 3]
    store.finish(again, State.SUCCEEDED)
    assert states(store, job.id) == ["failed", *["succeeded"] * 3]
    assert store.get(job.id).progress.step == 4 * STEPS
