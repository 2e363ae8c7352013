"""Experiments in the store, against real Redis servers: errors, the ends of runs, and pruning."""

from __future__ import annotations

import pytest
from redis import Redis

from lrcore.jobs.job import JobError
from lrcore.jobs.states import RunState, State
from lrcore.store.records import Judgement, RunEnd, RunView
from tests.factories import LEASE, MOST, SPEC, claimed_runs, epoch, experiment_of
from tests.store.experiments import BROKE, DIVERGED, STEPS, create, events, held, indices, run_epoch, states
from tests.stores import JobStore

# errors


def test_an_error_is_tried_again_as_often_as_asked_for(store: JobStore, redis: Redis) -> None:
    job = create(store, 4, max_attempts=3)

    went = [store.finish(claimed_runs(store, most=2), State.FAILED, BROKE, again=True) for _ in range(3)]

    assert went == ["queued", "queued", "failed"]
    assert store.get(job.id).state == "running"
    assert store.runs(job.id) == {run: RunView(RunState.FAILED, error=BROKE) for run in (0, 1)}
    other = claimed_runs(store, most=2)
    assert indices(other) == [2, 3]
    assert store.finish(other, State.FAILED, BROKE, again=True) == "queued"  # it has attempts of its own
    published = [event for event in events(redis, store, job.id, "run") if event["run"] == 0]
    assert published == [
        {"run": 0, "state": "running"},
        {"run": 0, "state": "queued", "error": BROKE.model_dump()},
        {"run": 0, "state": "running"},
        {"run": 0, "state": "queued", "error": BROKE.model_dump()},
        {"run": 0, "state": "running"},
        {"run": 0, "state": "failed", "error": BROKE.model_dump()},
    ]


def test_a_run_that_succeeds_at_the_second_attempt_has_no_error(store: JobStore) -> None:
    job = create(store, 2, max_attempts=2)
    store.finish(claimed_runs(store), State.FAILED, BROKE, again=True)
    assert store.runs(job.id)[0] == RunView(RunState.QUEUED)

    store.finish(claimed_runs(store), State.SUCCEEDED)

    assert store.runs(job.id) == {run: RunView(RunState.SUCCEEDED) for run in (0, 1)}


def test_an_error_that_would_come_again_is_not_tried_again(store: JobStore) -> None:
    create(store, 2, max_attempts=3)

    assert store.finish(claimed_runs(store), State.FAILED, DIVERGED) == "failed"


def test_lost_workers_do_not_count_as_errors(store: JobStore) -> None:
    create(store, 2, max_attempts=2)
    for _ in range(MOST):
        store.lose(claimed_runs(store), MOST)

    assert store.finish(claimed_runs(store), State.FAILED, BROKE, again=True) == "queued"
    assert store.finish(claimed_runs(store), State.FAILED, BROKE, again=True) == "failed"


def test_a_pause_that_comes_before_an_error_is_kept(store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1, max_attempts=2)
    store.pause(job_id)

    store.finish(claim, State.FAILED, BROKE, again=True)

    assert store.get(job_id).state == "paused"


def test_an_experiment_of_which_all_runs_failed_has_failed(store: JobStore, redis: Redis) -> None:
    job_id, (first, second) = held(store)
    store.report(first, LEASE, 24, [RunEnd(run, RunState.FAILED, DIVERGED) for run in (0, 1)])

    store.finish(first, State.SUCCEEDED)
    store.finish(second, State.FAILED, BROKE)

    job = store.get(job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.type in ("diverged", "error")
    assert job.error.message.startswith("no run succeeded; of run ")
    assert events(redis, store, job_id, "state")[-1]["error"] == job.error.model_dump()
    assert events(redis, store, job_id, "end") == [{"state": "failed"}]


def test_one_run_that_succeeds_is_enough(store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1)
    ends = [RunEnd(run, RunState.FAILED, DIVERGED) for run in (0, 1, 2)]
    store.report(claim, LEASE, 36, ends)

    store.finish(claim, State.SUCCEEDED)

    assert store.get(job_id).state == "succeeded"


def test_an_experiment_of_which_all_runs_failed_or_were_pruned_has_failed(store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1)
    store.judge(claim, [Judgement("0:0", range(3), False)])
    store.report(claim, LEASE, 36, [RunEnd(3, RunState.FAILED, DIVERGED)])

    store.finish(claim, State.SUCCEEDED)

    job = store.get(job_id)
    assert job.error is not None
    assert (job.state, job.error.type) == ("failed", "diverged")
    assert "of run 3: the loss is not finite" in job.error.message


def test_an_experiment_of_which_all_runs_were_pruned_has_failed(store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1)
    store.judge(claim, [Judgement("0:0", range(4), False)])

    assert store.finish(claim, State.SUCCEEDED) == "succeeded"

    job = store.get(job_id)
    assert job.state == "failed"
    assert job.error == JobError(type="pruned", message="no run succeeded: all were pruned")


def test_a_part_may_fail_without_saying_why(store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1)

    store.finish(claim, State.FAILED)

    assert store.get(job_id).state == "failed"


def test_a_part_that_this_version_cannot_read_fails_and_the_next_job_is_taken(store: JobStore, redis: Redis) -> None:
    broken, sound = create(store, 4), store.create(SPEC)
    redis.hset(f"lrserve:job:{broken.id}", "spec", experiment_of(4).model_dump_json().replace("lenet", "another"))

    assert claimed_runs(store, most=2).id == sound.id
    assert states(store, broken.id) == ["failed"] * 4
    job = store.get(broken.id)
    assert job.error is not None
    assert (job.state, job.error.type) == ("failed", "invalid_spec")


# what is final, and what is heard twice


@pytest.mark.parametrize("end", [RunState.SUCCEEDED, RunState.FAILED, RunState.PRUNED])
def test_the_end_of_a_run_is_final(end: RunState, store: JobStore, redis: Redis) -> None:
    job = create(store, 2)
    first = claimed_runs(store)
    store.report(first, LEASE, 4, [run_epoch(0, 0, 0.7)])
    if end is RunState.PRUNED:
        store.judge(first, [Judgement("0:0", range(1), False)])
    else:
        error = DIVERGED if end is RunState.FAILED else None
        store.report(first, LEASE, STEPS, [RunEnd(0, end, error)])
    before = store.runs(job.id)[0]
    store.finish(first, State.QUEUED)

    second = claimed_runs(store, "b")
    late = [run_epoch(0, 0, 0.1), run_epoch(0, 1, 0.9), RunEnd(0, RunState.FAILED, BROKE)]
    store.report(second, LEASE, 2, [*late, RunEnd(0, RunState.SUCCEEDED), run_epoch(1, 0)])
    store.finish(second, State.SUCCEEDED)

    assert store.runs(job.id)[0] == before
    assert store.run_epochs(job.id, [0, 1]) == [[epoch(0, 0.7)], [epoch(0)]]
    assert [event["state"] for event in events(redis, store, job.id, "run") if event["run"] == 0] == ["running", end]
    assert [event["run"] for event in events(redis, store, job.id, "epoch")] == [0, 1]


def test_a_second_training_takes_the_place_of_the_epochs_it_repeats(store: JobStore, redis: Redis) -> None:
    job = create(store, 2)
    first = claimed_runs(store)
    store.report(first, LEASE, 12, [run_epoch(run, index) for index in range(3) for run in (0, 1)])
    store.finish(first, State.QUEUED)

    second = claimed_runs(store)
    store.report(second, LEASE, 8, [run_epoch(0, 0), run_epoch(0, 1, 0.9), run_epoch(1, 2)])

    assert store.run_epochs(job.id, [0, 1]) == [[epoch(0), epoch(1, 0.9)], [epoch(index) for index in range(3)]]
    assert len(events(redis, store, job.id, "epoch")) == 7


# pruning


def test_the_first_verdict_counts(store: JobStore, redis: Redis) -> None:
    job_id, (first, second) = held(store, 8)

    assert store.judge(first, [Judgement("0:0", range(0, 1), True), Judgement("0:1", range(1, 2), False)]) == [
        True,
        False,
    ]
    assert store.judge(second, [Judgement(f"0:{c}", range(c, c + 1), c == 1) for c in range(3)]) == [True, False, False]
    assert store.judge(second, []) == []

    assert states(store, job_id) == ["running", "pruned", "pruned", *["running"] * 5]
    published = [event["run"] for event in events(redis, store, job_id, "run") if event["state"] == "pruned"]
    assert published == [1, 2]


def test_runs_of_another_worker_s_part_are_pruned_too(store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.report(second, LEASE, STEPS, [RunEnd(2, RunState.FAILED, DIVERGED)])

    store.judge(first, [Judgement("0:0", range(1, 4), False)])  # a configuration whose seeds lie in both

    assert states(store, job_id) == ["running", "pruned", "failed", "pruned"]
    store.report(second, LEASE, STEPS, [run_epoch(3, 0), RunEnd(3, RunState.SUCCEEDED)])
    assert store.runs(job_id)[3] == RunView(RunState.PRUNED)


@pytest.mark.parametrize("then", ["ended", "given back", "failed", "cancelled", "lost too often"])
def test_a_pruned_run_stays_so(then: str, store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1)
    store.judge(claim, [Judgement("0:0", range(2), False)])
    if then == "ended":
        store.report(claim, LEASE, 24, [RunEnd(0, RunState.SUCCEEDED), RunEnd(1, RunState.FAILED, BROKE)])
        store.finish(claim, State.SUCCEEDED)
    elif then == "given back":
        store.finish(claim, State.QUEUED)
        claimed_runs(store, "b")
    elif then == "failed":
        store.finish(claim, State.FAILED, BROKE)
    elif then == "cancelled":
        store.cancel(job_id)
        store.finish(claim, State.QUEUED)
    else:
        store.lose(claim, 0)

    others = {"ended": "succeeded", "given back": "running", "cancelled": "cancelled"}.get(then, "failed")
    assert states(store, job_id) == ["pruned", "pruned", others, others]
    assert store.runs(job_id)[0] == RunView(RunState.PRUNED)


def test_what_runs_have_reached_is_known_of_those_that_began(store: JobStore) -> None:
    job = create(store, 4)
    assert store.reached(job.id, 0) == {}
    claim = claimed_runs(store, most=2)
    store.report(claim, LEASE, 4, [run_epoch(1, 0)])

    assert store.reached(job.id, 0) == {0: (RunState.RUNNING, None), 1: (RunState.RUNNING, epoch(0))}
    assert store.reached("nobody", 0) == {}
