"""Experiments in the store, against real Redis servers: states, events and figures while workers train."""

from __future__ import annotations

from redis import Redis

from lrcore.jobs.job import Best, GroupingView
from lrcore.jobs.states import RunState, State
from lrcore.store.records import Judgement, RunEnd, RunEpoch, RunView
from tests.factories import LEASE, claimed_runs, epoch
from tests.store.experiments import BROKE, DIVERGED, STEPS, create, events, held, indices, run_epoch, states
from tests.stores import JobStore

# how an experiment goes


def test_the_life_of_an_experiment_with_one_worker(store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    seen = []
    for runs in ([0, 1], [2, 3]):
        claim = claimed_runs(store, most=2)
        store.report(claim, LEASE, STEPS, [run_epoch(runs[0], 0), RunEnd(runs[0], RunState.SUCCEEDED)])
        seen += [store.get(job.id).state, store.finish(claim, State.SUCCEEDED), store.get(job.id).state]

    assert seen == ["running", "succeeded", "running", "running", "succeeded", "succeeded"]
    assert states(store, job.id) == ["succeeded"] * 4
    assert [event["state"] for event in events(redis, store, job.id, "state")] == ["queued", "running", "succeeded"]
    ended = store.get(job.id)
    assert (ended.attempt, ended.losses, ended.error) == (2, 0, None)
    assert None not in (ended.started_at, ended.finished_at)


def test_the_life_of_an_experiment_with_two_workers(store: JobStore, redis: Redis) -> None:
    job_id, (first, second) = held(store)

    store.finish(first, State.SUCCEEDED)
    assert store.get(job_id).state == "running"
    assert states(store, job_id) == ["succeeded", "succeeded", "running", "running"]
    store.finish(second, State.SUCCEEDED)

    assert store.get(job_id).state == "succeeded"
    assert [event["state"] for event in events(redis, store, job_id, "state")] == ["queued", "running", "succeeded"]
    assert events(redis, store, job_id)[-2:] == ["state", "end"]
    assert events(redis, store, job_id).count("end") == 1


def test_an_experiment_whose_only_part_comes_back_is_queued(store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1)

    assert store.finish(claim, State.QUEUED) == "queued"

    job = store.get(job_id)
    assert (job.state, job.position) == ("queued", 0)
    assert states(store, job_id) == ["queued"] * 4
    assert indices(claimed_runs(store, "b")) == [0, 1, 2, 3]
    assert store.get(job_id).state == "running"


def test_an_experiment_runs_on_when_one_of_two_parts_comes_back(store: JobStore) -> None:
    job_id, (first, second) = held(store)

    store.finish(first, State.QUEUED)

    assert store.get(job_id).state == "running"
    assert states(store, job_id) == ["queued", "queued", "running", "running"]
    assert claimed_runs(store).id == first.id
    store.finish(second, State.SUCCEEDED)
    assert store.get(job_id).state == "running"


def test_an_experiment_s_story_is_told_in_its_events(store: JobStore, redis: Redis) -> None:
    job = create(store, 2)
    claim = claimed_runs(store)
    store.report(claim, LEASE, 4, [run_epoch(0, 0)])
    store.report(claim, LEASE, 8, [run_epoch(1, 0)])
    store.report(claim, LEASE, 16, [RunEnd(0, RunState.FAILED, DIVERGED)])
    store.finish(claim, State.SUCCEEDED)

    assert events(redis, store, job.id) == [
        *("state", "state", "run", "run", "epoch", "epoch", "run", "run", "progress", "state", "end")
    ]
    assert events(redis, store, job.id, "run") == [
        {"run": 0, "state": "running"},
        {"run": 1, "state": "running"},
        {"run": 0, "state": "failed", "error": DIVERGED.model_dump()},
        {"run": 1, "state": "succeeded"},
    ]
    rows = [{"run": run} | epoch(0).model_dump(exclude_none=True) for run in (0, 1)]
    assert events(redis, store, job.id, "epoch") == rows
    assert events(redis, store, job.id, "end") == [{"state": "succeeded"}]


def test_of_an_experiment_s_progress_the_last_news_is_kept(store: JobStore, redis: Redis) -> None:
    job_id, (first, second) = held(store)
    for step in (3, 6):
        store.report(first, LEASE, step, [])
    store.report(second, LEASE, 12, [])
    store.report(second, LEASE, 12, [])  # nothing new

    [news] = events(redis, store, job_id, "progress")

    assert news == store.get(job_id).progress.model_dump()
    assert (news["step"], news["steps"], news["fraction"], news["epoch"]) == (18, 48, 0.375, 4)
    assert news["eta_seconds"] >= 0


def test_a_report_shows_in_the_runs(store: JobStore) -> None:
    job = create(store, 3)
    claim = claimed_runs(store)

    wanted = store.report(
        claim,
        LEASE,
        10,
        [
            *(run_epoch(0, 0, 0.8), run_epoch(2, 0)),
            RunEpoch(0, epoch(1, 0.6), Best(epoch=0, test_accuracy=0.8)),
            *(
                RunEnd(0, RunState.SUCCEEDED, training=GroupingView(together=2, alone=None)),
                RunEnd(2, RunState.FAILED, DIVERGED),
            ),
        ],
    )

    assert wanted == ""
    assert store.runs(job.id) == {
        0: RunView(
            RunState.SUCCEEDED,
            epoch(1, 0.6),
            Best(epoch=0, test_accuracy=0.8),
            training=GroupingView(together=2, alone=None),
        ),
        1: RunView(RunState.RUNNING),
        2: RunView(RunState.FAILED, epoch(0), Best(epoch=0, test_accuracy=0.5), DIVERGED),
    }
    assert store.run_epochs(job.id, [0, 1, 2]) == [[epoch(0, 0.8), epoch(1, 0.6)], [], [epoch(0)]]
    assert store.reached(job.id, 1) == {
        0: (RunState.SUCCEEDED, epoch(1, 0.6)),
        1: (RunState.RUNNING, None),
        2: (RunState.FAILED, None),
    }


def test_progress_is_never_more_than_there_is_and_all_of_it_at_the_end(store: JobStore) -> None:
    job = create(store, 5)
    seen = []
    for share, most in enumerate((2, 2, 1)):
        claim = claimed_runs(store, most=most)
        for step in range(0, most * STEPS + 1, 5):
            store.report(claim, LEASE, step, [])
            seen.append(store.get(job.id).progress.step)
        if share == 1:
            store.finish(claim, State.QUEUED)
            claim = claimed_runs(store, most=most)
            store.report(claim, LEASE, 3, [])  # there was no checkpoint
            assert store.get(job.id).progress.step == 2 * STEPS + 3
        store.finish(claim, State.SUCCEEDED)
        seen.append(store.get(job.id).progress.step)

    assert seen == sorted(seen)
    done = store.get(job.id).progress
    assert (done.step, done.steps, done.epoch, done.epochs) == (60, 60, 15, 15)
    assert (done.fraction, done.eta_seconds) == (1, 0)


def test_runs_that_end_early_count_as_done(store: JobStore) -> None:
    job = create(store, 4)
    for state in (State.FAILED, State.SUCCEEDED):
        claim = claimed_runs(store, most=2)
        store.judge(claim, [Judgement(state, range(indices(claim)[0], indices(claim)[0] + 1), False)])
        store.finish(claim, state, BROKE if state is State.FAILED else None)

    assert store.get(job.id).progress.step == 4 * STEPS


def test_a_cancelled_experiment_has_not_done_what_it_had_not_done(store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1)
    store.report(claim, LEASE, 7, [])
    store.cancel(job_id)

    store.finish(claim, State.QUEUED)

    assert store.get(job_id).progress.step == 7


def test_a_part_that_is_cancelled_after_the_ends_of_its_runs_is_done(store: JobStore) -> None:
    job_id, (claim,) = held(store, runs=2, shards=1)
    store.report(claim, LEASE, 2 * STEPS - 1, [RunEnd(run, RunState.SUCCEEDED) for run in (0, 1)])
    store.cancel(job_id)

    store.finish(claim, State.QUEUED)

    job = store.get(job_id)
    assert (job.state, job.progress.step) == ("succeeded", 2 * STEPS)
