"""Experiments in the store, against real Redis servers: cancelled, paused and resumed."""

from __future__ import annotations

import pytest
from redis import Redis

from lrcore.jobs.states import State
from lrcore.store.errors import IllegalMove
from lrcore.store.queue import QUEUE
from tests.factories import ALL_RUNS, LEASE, claimed_runs
from tests.store.experiments import BROKE, create, events, held, indices, states
from tests.stores import JobStore

# cancel, pause and resume


@pytest.mark.parametrize("came_back", [False, True])
def test_a_queued_experiment_is_cancelled_at_once(came_back: bool, store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    if came_back:
        store.finish(claimed_runs(store, most=2), State.QUEUED)

    assert store.cancel(job.id).state == "cancelled"

    assert store.claim([QUEUE], "a", LEASE, ALL_RUNS) is None
    assert store.cancel(job.id).state == "cancelled"
    assert events(redis, store, job.id)[-2:] == ["state", "end"]
    with pytest.raises(IllegalMove):
        store.resume(job.id)


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("runs", [4, 9])  # in the latter, nobody has some
def test_the_workers_of_an_experiment_are_asked_to_stop(runs: int, shards: int, store: JobStore) -> None:
    job = create(store, runs)
    claims = [claimed_runs(store, "ab"[i], 2) for i in range(shards)]
    assert {store.report(claim, LEASE, 1, []) for claim in claims} == {""}

    asked = store.cancel(job.id)

    assert (asked.state, asked.requested) == ("running", "cancel")
    assert store.claim([QUEUE], "c", LEASE, ALL_RUNS) is None
    with pytest.raises(IllegalMove, match="about to be cancelled"):
        store.pause(job.id)
    for claim in claims:
        assert store.report(claim, LEASE, 2, []) == "cancel"
        assert store.get(job.id).state == "running"
        assert store.finish(claim, State.QUEUED) == "cancelled"
    ended = store.get(job.id)
    assert (ended.state, ended.requested, ended.error) == ("cancelled", None, None)
    assert states(store, job.id) == ["cancelled"] * 2 * shards
    assert store.claim([QUEUE], "c", LEASE, ALL_RUNS) is None


def test_a_cancel_that_comes_too_late_changes_no_end(store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.cancel(job_id)

    store.finish(first, State.SUCCEEDED)
    store.finish(second, State.FAILED, BROKE)

    assert store.get(job_id).state == "succeeded"
    with pytest.raises(IllegalMove, match="is succeeded and cannot be cancelled"):
        store.cancel(job_id)


def test_an_experiment_is_cancelled_if_one_of_its_parts_is(store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.cancel(job_id)

    store.finish(first, State.QUEUED)
    store.finish(second, State.SUCCEEDED)

    assert store.get(job_id).state == "cancelled"
    assert states(store, job_id) == ["cancelled", "cancelled", "succeeded", "succeeded"]


def test_an_experiment_with_runs_that_never_began_is_cancelled_whatever_the_others_came_to(store: JobStore) -> None:
    job = create(store, 4)
    claim = claimed_runs(store, most=2)
    store.cancel(job.id)

    assert store.finish(claim, State.SUCCEEDED) == "succeeded"

    assert store.get(job.id).state == "cancelled"
    assert states(store, job.id) == ["succeeded"] * 2


@pytest.mark.parametrize("came_back", [False, True])
def test_a_queued_experiment_is_paused_at_once(came_back: bool, store: JobStore) -> None:
    job = create(store, 4)
    if came_back:
        store.finish(claimed_runs(store, most=2), State.QUEUED)

    assert store.pause(job.id).state == "paused"
    assert store.claim([QUEUE], "a", LEASE, ALL_RUNS) is None
    assert store.resume(job.id).state == "queued"

    runs = [run for most in (2, 2) for run in indices(claimed_runs(store, most=most))]
    assert runs == [0, 1, 2, 3]


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("runs", [4, 9])
def test_an_experiment_is_paused_once_all_its_workers_have_noticed(runs: int, shards: int, store: JobStore) -> None:
    job = create(store, runs)
    claims = [claimed_runs(store, "ab"[i], 2) for i in range(shards)]

    assert store.pause(job.id).requested == "pause"
    for claim in claims:
        assert store.report(claim, LEASE, 2, []) == "pause"
        assert store.get(job.id).state == "running"
        assert store.claim([QUEUE], "c", LEASE, ALL_RUNS) is None
        store.finish(claim, State.QUEUED)

    paused = store.get(job.id)
    assert (paused.state, paused.requested, paused.losses) == ("paused", None, 0)
    assert states(store, job.id) == ["queued"] * 2 * shards
    assert store.claim([QUEUE], "c", LEASE, ALL_RUNS) is None

    assert store.resume(job.id).state == "queued"
    again = [claimed_runs(store, "c", 2) for _ in range(shards)]
    assert [(claim.id, claim.attempt) for claim in again] == [(claim.id, 2) for claim in claims]
    assert store.report(again[0], LEASE, 2, []) == ""


def test_a_part_that_ends_during_a_pause_leaves_the_rest_paused(store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.pause(job_id)

    store.finish(first, State.QUEUED)
    store.finish(second, State.SUCCEEDED)

    assert store.get(job_id).state == "paused"
    store.resume(job_id)
    again = claimed_runs(store)
    assert again.id == first.id
    store.finish(again, State.SUCCEEDED)
    assert store.get(job_id).state == "succeeded"


def test_an_experiment_whose_parts_all_end_during_a_pause_has_ended(store: JobStore) -> None:
    job_id, claims = held(store)
    store.pause(job_id)

    for claim in claims:
        store.finish(claim, State.SUCCEEDED)

    assert (store.get(job_id).state, store.get(job_id).requested) == ("succeeded", None)


@pytest.mark.parametrize("ask", ["cancel", "pause"])
def test_between_two_parts_an_experiment_stops_at_once(ask: str, store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    store.finish(claimed_runs(store, most=2), State.SUCCEEDED)
    assert store.get(job.id).state == "running"

    stopped = getattr(store, ask)(job.id)

    assert (stopped.state, stopped.requested) == ("cancelled" if ask == "cancel" else "paused", None)
    assert store.claim([QUEUE], "a", LEASE, ALL_RUNS) is None
    if ask == "pause":
        assert store.resume(job.id).state == "queued"
        claim = claimed_runs(store)
        assert indices(claim) == [2, 3]
        store.finish(claim, State.SUCCEEDED)
        assert store.get(job.id).state == "succeeded"
    assert events(redis, store, job.id).count("end") == 1


def test_a_resume_between_two_parts_changes_nothing(store: JobStore) -> None:
    job = create(store, 4)
    store.finish(claimed_runs(store, most=2), State.SUCCEEDED)

    assert store.resume(job.id).state == "running"
    assert indices(claimed_runs(store)) == [2, 3]


@pytest.mark.parametrize("ask", ["cancel", "pause"])
def test_an_experiment_may_be_stopped_while_a_part_of_it_waits(ask: str, store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.finish(first, State.QUEUED)

    assert getattr(store, ask)(job_id).state == "running"
    assert store.claim([QUEUE], "c", LEASE, ALL_RUNS) is None
    store.finish(second, State.QUEUED)

    assert store.get(job_id).state == ("cancelled" if ask == "cancel" else "paused")
    if ask == "pause":
        store.resume(job_id)
        assert [claimed_runs(store).id for _ in range(2)] == [first.id, second.id]


@pytest.mark.parametrize("noticed", [False, True])
def test_a_cancel_outdoes_a_pause(noticed: bool, store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.pause(job_id)
    if noticed:
        store.finish(first, State.QUEUED)

    assert store.cancel(job_id).requested == "cancel"
    assert store.report(second, LEASE, 1, []) == "cancel"
    if not noticed:
        store.finish(first, State.QUEUED)
    store.finish(second, State.QUEUED)

    assert store.get(job_id).state == "cancelled"


def test_a_paused_experiment_can_be_cancelled(store: JobStore) -> None:
    job_id, claims = held(store)
    store.pause(job_id)
    for claim in claims:
        store.finish(claim, State.QUEUED)

    assert store.cancel(job_id).state == "cancelled"


def test_a_pause_is_taken_back_before_anybody_has_noticed(store: JobStore) -> None:
    job = create(store, 6)
    first, second = claimed_runs(store, "a", 2), claimed_runs(store, "b", 2)
    store.pause(job.id)

    resumed = store.resume(job.id)

    assert (resumed.state, resumed.requested) == ("running", None)
    assert {store.report(claim, LEASE, 1, []) for claim in (first, second)} == {""}
    assert indices(claimed_runs(store, "c")) == [4, 5]


def test_a_pause_is_taken_back_when_one_of_two_workers_has_noticed(store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.pause(job_id)
    assert store.report(second, LEASE, 1, []) == "pause"
    store.finish(first, State.QUEUED)

    assert store.resume(job_id).state == "running"
    assert claimed_runs(store, "c").id == first.id
    store.finish(second, State.QUEUED)  # it had heard of the pause only

    assert store.get(job_id).state == "running"
    assert claimed_runs(store, "d").id == second.id


def test_a_resume_does_not_take_a_cancel_back(store: JobStore) -> None:
    job_id, (first, _) = held(store)
    store.cancel(job_id)

    store.resume(job_id)

    assert store.report(first, LEASE, 1, []) == "cancel"
