"""Experiments in the store, against real Redis servers: parts of them are claimed, lost, given back and ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from redis import Redis

from lrcore.jobs import scripts
from lrcore.jobs.experiment import MAX_RUNS, ExperimentSpec, ShardSpec
from lrcore.jobs.job import Best, GroupingView, Job, JobError, JobOptions
from lrcore.jobs.queue import QUEUE, broker_list
from lrcore.jobs.states import RunState, State
from lrcore.jobs.store import (
    Claim,
    Gap,
    IllegalMove,
    JobNotFound,
    JobStore,
    Judgement,
    LeaseLost,
    Queue,
    RunEnd,
    RunEpoch,
    RunView,
)
from tests.conftest import job_spec, until
from tests.jobs.test_store import LEASE, MOST, SHORT, SPEC, epoch, lapsed

ALL = 10_000  # runs that a worker would take
STEPS = 12  # of a run
BROKE = JobError(type="error", message="it broke")
DIVERGED = JobError(type="diverged", message="the loss is not finite")


def experiment(runs: int) -> ExperimentSpec:
    return ExperimentSpec.model_validate({"base": job_spec(), "grid": {"seed": list(range(runs))}})


def create(store: JobStore, runs: int, **terms: Any) -> Job:
    return store.create(experiment(runs), JobOptions(**terms))


def claimed(store: JobStore, worker: str = "a", most: int = ALL, lease: float = LEASE) -> Claim:
    claim = store.claim([QUEUE], worker, lease, most)
    assert claim is not None
    return claim


def held(store: JobStore, runs: int = 4, parts: int = 2, **terms: Any) -> tuple[str, list[Claim]]:
    """An experiment all of whose runs are held, in parts of the same size."""
    job = create(store, runs, **terms)
    return job.id, [claimed(store, "ab"[i], runs // parts) for i in range(parts)]


def indices(claim: Claim) -> list[int]:
    assert isinstance(claim.spec, ShardSpec)
    return list(claim.spec.indices)


def told_epoch(run: int, index: int, accuracy: float = 0.5) -> RunEpoch:
    return RunEpoch(run, epoch(index, accuracy), Best(epoch=index, test_accuracy=accuracy))


def states(store: JobStore, job_id: str) -> list[str]:
    """Of the runs that have begun, in order."""
    views = store.runs(job_id)
    assert sorted(views) == list(range(len(views)))
    return [views[run].state.value for run in range(len(views))]


def events(redis: Redis, store: JobStore, job_id: str, kind: str | None = None) -> list[Any]:
    told = [(fields["type"], json.loads(fields["data"])) for _, fields in redis.xrange(store.events_key(job_id))]
    return [data for name, data in told if name == kind] if kind else [name for name, _ in told]


def contents(redis: Redis) -> dict[str, tuple[bytes, int]]:
    """All that Redis holds: each key's value, and how many milliseconds it has left; 0 for those that stay."""
    return {key: (redis.dump(key), max(0, redis.pttl(key))) for key in redis.scan_iter()}


def rewind(redis: Redis, before: dict[str, tuple[bytes, int]]) -> None:
    """Make Redis lose all that came later."""
    redis.flushall()
    for key, (value, left) in before.items():
        redis.restore(key, left, value)


def values(redis: Redis, without: str = "") -> dict[str, bytes]:
    return {key: value for key, (value, _) in contents(redis).items() if key != without}


# what is handed out


def test_a_new_experiment_is_a_queued_job(store: JobStore) -> None:
    job = create(store, 6, labels=["team=a"], priority=3)

    assert (job.state, job.kind, job.attempt, job.position) == ("queued", "experiment", 0, 0)
    assert (job.progress.step, job.progress.steps, job.progress.epochs) == (0, 6 * STEPS, 18)
    assert ExperimentSpec.model_validate(job.spec) == experiment(6)
    assert (store.runs(job.id), store.run_epochs(job.id, [0])) == ({}, [[]])


def test_a_lone_worker_takes_all_runs(store: JobStore) -> None:
    job = create(store, 6)

    claim = claimed(store)

    assert claim.spec == ShardSpec(first=0, count=6, experiment=experiment(6))
    assert (claim.attempt, claim.queue, claim.more) == (1, QUEUE, False)
    assert store.get(job.id).state == "running"
    assert store.claim([QUEUE], "b", LEASE, ALL) is None


def test_no_more_runs_are_taken_than_the_worker_can(store: JobStore) -> None:
    create(store, 6)

    claims = [claimed(store, "a", 4), claimed(store, "a", 4)]

    assert [indices(claim) for claim in claims] == [[0, 1, 2, 3], [4, 5]]
    assert [claim.more for claim in claims] == [True, False]


def test_a_worker_leaves_the_others_their_share(store: JobStore) -> None:
    for worker in "abc":
        store.present(worker, [QUEUE], LEASE)
    store.present("elsewhere", ["gpu"], LEASE)
    create(store, 10)

    assert [len(indices(claimed(store, worker))) for worker in "abcab"] == [4, 2, 2, 1, 1]


def test_a_dead_worker_has_no_share(store: JobStore) -> None:
    store.present("a", [QUEUE], LEASE)
    store.present("b", [QUEUE], SHORT)
    create(store, 10)
    until(lambda: store.workers() == 1)

    assert len(indices(claimed(store))) == 10


def test_no_run_is_handed_out_twice(store: JobStore) -> None:
    for worker in range(5):
        store.present(f"worker {worker}", [QUEUE], LEASE)
    for _ in range(3):
        create(store, 20)

    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda i: store.claim([QUEUE], f"worker {i % 5}", LEASE, 3), range(80)))

    runs = [(claim.id.partition("/")[0], run) for claim in claims if claim for run in indices(claim)]
    assert len(runs) == len(set(runs)) == 60


def test_the_parts_of_an_experiment_come_before_later_jobs(store: JobStore) -> None:
    first, second, third = create(store, 4), store.create(SPEC), create(store, 2)

    taken = [claimed(store, most=2).id for _ in range(4)]

    assert taken == [f"{first.id}/1", f"{first.id}/2", second.id, f"{third.id}/1"]


def test_an_earlier_or_more_urgent_job_comes_between_two_parts(store: JobStore) -> None:
    job, later = create(store, 6), store.create(SPEC)
    claimed(store, most=2)
    urgent = store.create(SPEC, JobOptions(priority=5))

    assert [claimed(store, most=2).id for _ in range(4)] == [urgent.id, f"{job.id}/2", f"{job.id}/3", later.id]


def test_a_running_experiment_may_be_given_another_priority(store: JobStore) -> None:
    job, other = create(store, 6, priority=2), store.create(SPEC, JobOptions(priority=1))
    first = claimed(store, most=2)
    assert first.id == f"{job.id}/1"

    assert store.prioritize(job.id, 0).priority == 0
    assert claimed(store).id == other.id
    last = claimed(store)
    assert (last.id, last.more) == (f"{job.id}/2", False)

    urgent = store.create(SPEC, JobOptions(priority=5))
    store.prioritize(job.id, 9)  # it is in no queue now, until a part comes back
    assert store.queues()[0].waiting == 1
    store.finish(last, State.QUEUED)
    assert [claimed(store).id for _ in range(2)] == [last.id, urgent.id]


def test_the_priority_of_an_experiment_without_waiting_runs_puts_it_in_no_queue(store: JobStore) -> None:
    job_id, _ = held(store)

    store.prioritize(job_id, 9)

    assert store.claim([QUEUE], "a", LEASE, ALL) is None


def test_a_part_that_came_back_goes_first(store: JobStore) -> None:
    job = create(store, 6)
    first = claimed(store, most=2)
    store.finish(first, State.QUEUED)

    again = claimed(store, "b", most=2)

    assert (again.id, again.attempt, indices(again), again.more) == (first.id, 2, [0, 1], True)
    assert store.get(job.id).attempt == 2


def test_a_part_that_came_back_stays_whole(store: JobStore) -> None:
    create(store, 6)
    store.finish(claimed(store, most=4), State.QUEUED)

    assert indices(claimed(store, most=1)) == [0, 1, 2, 3]  # its checkpoint is one


def test_a_part_is_no_job(store: JobStore) -> None:
    job_id, (claim,) = held(store, parts=1)

    for look in (store.get, store.cancel, store.pause, store.resume, store.forget, store.epochs):
        with pytest.raises(JobNotFound):
            look(claim.id)
    assert [job.id for job in store.page()[0]] == [job_id]


# how an experiment goes


def test_the_life_of_an_experiment_with_one_worker(store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    seen = []
    for runs in ([0, 1], [2, 3]):
        claim = claimed(store, most=2)
        store.report(claim, LEASE, STEPS, [told_epoch(runs[0], 0), RunEnd(runs[0], RunState.SUCCEEDED)])
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
    job_id, (claim,) = held(store, parts=1)

    assert store.finish(claim, State.QUEUED) == "queued"

    job = store.get(job_id)
    assert (job.state, job.position) == ("queued", 0)
    assert states(store, job_id) == ["queued"] * 4
    assert indices(claimed(store, "b")) == [0, 1, 2, 3]
    assert store.get(job_id).state == "running"


def test_an_experiment_runs_on_when_one_of_two_parts_comes_back(store: JobStore) -> None:
    job_id, (first, second) = held(store)

    store.finish(first, State.QUEUED)

    assert store.get(job_id).state == "running"
    assert states(store, job_id) == ["queued", "queued", "running", "running"]
    assert claimed(store).id == first.id
    store.finish(second, State.SUCCEEDED)
    assert store.get(job_id).state == "running"


def test_an_experiment_s_story_is_told_in_its_events(store: JobStore, redis: Redis) -> None:
    job = create(store, 2)
    claim = claimed(store)
    store.report(claim, LEASE, 4, [told_epoch(0, 0)])
    store.report(claim, LEASE, 8, [told_epoch(1, 0)])
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
    claim = claimed(store)

    wanted = store.report(
        claim,
        LEASE,
        10,
        [
            *(told_epoch(0, 0, 0.8), told_epoch(2, 0)),
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
        claim = claimed(store, most=most)
        for step in range(0, most * STEPS + 1, 5):
            store.report(claim, LEASE, step, [])
            seen.append(store.get(job.id).progress.step)
        if share == 1:
            store.finish(claim, State.QUEUED)
            claim = claimed(store, most=most)
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
        claim = claimed(store, most=2)
        store.judge(claim, [Judgement(state, range(indices(claim)[0], indices(claim)[0] + 1), False)])
        store.finish(claim, state, BROKE if state is State.FAILED else None)

    assert store.get(job.id).progress.step == 4 * STEPS


def test_a_cancelled_experiment_has_not_done_what_it_had_not_done(store: JobStore) -> None:
    job_id, (claim,) = held(store, parts=1)
    store.report(claim, LEASE, 7, [])
    store.cancel(job_id)

    store.finish(claim, State.QUEUED)

    assert store.get(job_id).progress.step == 7


def test_a_part_that_is_cancelled_after_the_ends_of_its_runs_is_done(store: JobStore) -> None:
    job_id, (claim,) = held(store, runs=2, parts=1)
    store.report(claim, LEASE, 2 * STEPS - 1, [RunEnd(run, RunState.SUCCEEDED) for run in (0, 1)])
    store.cancel(job_id)

    store.finish(claim, State.QUEUED)

    job = store.get(job_id)
    assert (job.state, job.progress.step) == ("succeeded", 2 * STEPS)


# cancel, pause and resume


@pytest.mark.parametrize("came_back", [False, True])
def test_a_queued_experiment_is_cancelled_at_once(came_back: bool, store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    if came_back:
        store.finish(claimed(store, most=2), State.QUEUED)

    assert store.cancel(job.id).state == "cancelled"

    assert store.claim([QUEUE], "a", LEASE, ALL) is None
    assert store.cancel(job.id).state == "cancelled"
    assert events(redis, store, job.id)[-2:] == ["state", "end"]
    with pytest.raises(IllegalMove):
        store.resume(job.id)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("runs", [4, 9])  # in the latter, nobody has some
def test_the_workers_of_an_experiment_are_asked_to_stop(runs: int, parts: int, store: JobStore) -> None:
    job = create(store, runs)
    claims = [claimed(store, "ab"[i], 2) for i in range(parts)]
    assert {store.report(claim, LEASE, 1, []) for claim in claims} == {""}

    asked = store.cancel(job.id)

    assert (asked.state, asked.requested) == ("running", "cancel")
    assert store.claim([QUEUE], "c", LEASE, ALL) is None
    with pytest.raises(IllegalMove, match="about to be cancelled"):
        store.pause(job.id)
    for claim in claims:
        assert store.report(claim, LEASE, 2, []) == "cancel"
        assert store.get(job.id).state == "running"
        assert store.finish(claim, State.QUEUED) == "cancelled"
    ended = store.get(job.id)
    assert (ended.state, ended.requested, ended.error) == ("cancelled", None, None)
    assert states(store, job.id) == ["cancelled"] * 2 * parts
    assert store.claim([QUEUE], "c", LEASE, ALL) is None


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
    claim = claimed(store, most=2)
    store.cancel(job.id)

    assert store.finish(claim, State.SUCCEEDED) == "succeeded"

    assert store.get(job.id).state == "cancelled"
    assert states(store, job.id) == ["succeeded"] * 2


@pytest.mark.parametrize("came_back", [False, True])
def test_a_queued_experiment_is_paused_at_once(came_back: bool, store: JobStore) -> None:
    job = create(store, 4)
    if came_back:
        store.finish(claimed(store, most=2), State.QUEUED)

    assert store.pause(job.id).state == "paused"
    assert store.claim([QUEUE], "a", LEASE, ALL) is None
    assert store.resume(job.id).state == "queued"

    runs = [run for most in (2, 2) for run in indices(claimed(store, most=most))]
    assert runs == [0, 1, 2, 3]


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("runs", [4, 9])
def test_an_experiment_is_paused_once_all_its_workers_have_noticed(runs: int, parts: int, store: JobStore) -> None:
    job = create(store, runs)
    claims = [claimed(store, "ab"[i], 2) for i in range(parts)]

    assert store.pause(job.id).requested == "pause"
    for claim in claims:
        assert store.report(claim, LEASE, 2, []) == "pause"
        assert store.get(job.id).state == "running"
        assert store.claim([QUEUE], "c", LEASE, ALL) is None
        store.finish(claim, State.QUEUED)

    paused = store.get(job.id)
    assert (paused.state, paused.requested, paused.losses) == ("paused", None, 0)
    assert states(store, job.id) == ["queued"] * 2 * parts
    assert store.claim([QUEUE], "c", LEASE, ALL) is None

    assert store.resume(job.id).state == "queued"
    again = [claimed(store, "c", 2) for _ in range(parts)]
    assert [(claim.id, claim.attempt) for claim in again] == [(claim.id, 2) for claim in claims]
    assert store.report(again[0], LEASE, 2, []) == ""


def test_a_part_that_ends_during_a_pause_leaves_the_rest_paused(store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.pause(job_id)

    store.finish(first, State.QUEUED)
    store.finish(second, State.SUCCEEDED)

    assert store.get(job_id).state == "paused"
    store.resume(job_id)
    again = claimed(store)
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
    store.finish(claimed(store, most=2), State.SUCCEEDED)
    assert store.get(job.id).state == "running"

    stopped = getattr(store, ask)(job.id)

    assert (stopped.state, stopped.requested) == ("cancelled" if ask == "cancel" else "paused", None)
    assert store.claim([QUEUE], "a", LEASE, ALL) is None
    if ask == "pause":
        assert store.resume(job.id).state == "queued"
        claim = claimed(store)
        assert indices(claim) == [2, 3]
        store.finish(claim, State.SUCCEEDED)
        assert store.get(job.id).state == "succeeded"
    assert events(redis, store, job.id).count("end") == 1


def test_a_resume_between_two_parts_changes_nothing(store: JobStore) -> None:
    job = create(store, 4)
    store.finish(claimed(store, most=2), State.SUCCEEDED)

    assert store.resume(job.id).state == "running"
    assert indices(claimed(store)) == [2, 3]


@pytest.mark.parametrize("ask", ["cancel", "pause"])
def test_an_experiment_may_be_stopped_while_a_part_of_it_waits(ask: str, store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.finish(first, State.QUEUED)

    assert getattr(store, ask)(job_id).state == "running"
    assert store.claim([QUEUE], "c", LEASE, ALL) is None
    store.finish(second, State.QUEUED)

    assert store.get(job_id).state == ("cancelled" if ask == "cancel" else "paused")
    if ask == "pause":
        store.resume(job_id)
        assert [claimed(store).id for _ in range(2)] == [first.id, second.id]


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
    first, second = claimed(store, "a", 2), claimed(store, "b", 2)
    store.pause(job.id)

    resumed = store.resume(job.id)

    assert (resumed.state, resumed.requested) == ("running", None)
    assert {store.report(claim, LEASE, 1, []) for claim in (first, second)} == {""}
    assert indices(claimed(store, "c")) == [4, 5]


def test_a_pause_is_taken_back_when_one_of_two_workers_has_noticed(store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.pause(job_id)
    assert store.report(second, LEASE, 1, []) == "pause"
    store.finish(first, State.QUEUED)

    assert store.resume(job_id).state == "running"
    assert claimed(store, "c").id == first.id
    store.finish(second, State.QUEUED)  # it had heard of the pause only

    assert store.get(job_id).state == "running"
    assert claimed(store, "d").id == second.id


def test_a_resume_does_not_take_a_cancel_back(store: JobStore) -> None:
    job_id, (first, _) = held(store)
    store.cancel(job_id)

    store.resume(job_id)

    assert store.report(first, LEASE, 1, []) == "cancel"


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
    again = claimed(store, "c")
    assert (again.id, again.attempt) == (first.id, 2)
    for claim in (again, second):
        store.finish(claim, State.SUCCEEDED)
    assert store.get(job_id).state == "succeeded"


@LOST
def test_too_many_losses_fail_a_part_and_the_others_go_on(lose: Lose, store: JobStore, redis: Redis) -> None:
    job = create(store, 6)
    for attempt in range(MOST + 1):
        claim = claimed(store, "a", 2)
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
        claim = claimed(store, "b", 2)
        assert claim.attempt == 1
        store.finish(claim, State.SUCCEEDED)
    ended = store.get(job.id)
    assert (ended.state, ended.losses, ended.error) == ("succeeded", MOST + 1, None)
    assert ended.progress.step == 6 * STEPS
    assert events(redis, store, job.id).count("end") == 1


def test_a_part_that_kills_its_worker_fails_with_the_reason_and_the_others_go_on(store: JobStore) -> None:
    job_id, (first, second) = held(store)
    for claim in (first, None):
        claim = claim or claimed(store, "a")
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
    job_id, (claim,) = held(store, parts=1)

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


def test_a_report_keeps_the_lease_of_a_part(store: JobStore) -> None:
    create(store, 2)
    claim = claimed(store, lease=SHORT)
    store.report(claim, LEASE, 1, [])

    time.sleep(2 * SHORT)

    assert store.reap(MOST) == []


def test_giving_a_part_back_is_no_loss(store: JobStore) -> None:
    job = create(store, 2)
    for _ in range(MOST + 2):
        store.finish(claimed(store), State.QUEUED)

    assert (store.get(job.id).state, store.get(job.id).losses) == ("queued", 0)


@pytest.mark.parametrize("taken", ["given back", "claimed again", "ended", "the experiment ended", "forgotten", "lost"])
def test_a_worker_whose_part_is_no_longer_its_own_writes_nothing(taken: str, store: JobStore, redis: Redis) -> None:
    create(store, 4)
    claim = claimed(store, most=2 if taken != "the experiment ended" else ALL)
    if taken == "forgotten":
        redis.flushall()
    elif taken == "lost":
        lose_by_reaper(store, claim, MOST)
    else:
        store.finish(claim, State.SUCCEEDED if "ended" in taken else State.QUEUED)
    if taken == "claimed again":
        claimed(store, "b", 2)
    before = values(redis)

    for write in (
        lambda: store.report(claim, LEASE, 5, [told_epoch(0, 0), RunEnd(0, RunState.FAILED, BROKE)]),
        lambda: store.judge(claim, [Judgement("0:0", range(2), False)]),
        lambda: store.finish(claim, State.SUCCEEDED),
        lambda: store.lose(claim, MOST),
    ):
        with pytest.raises(LeaseLost, match=claim.id):
            write()

    assert values(redis) == before


# errors


def test_an_error_is_tried_again_as_often_as_asked_for(store: JobStore, redis: Redis) -> None:
    job = create(store, 4, max_attempts=3)

    went = [store.finish(claimed(store, most=2), State.FAILED, BROKE, again=True) for _ in range(3)]

    assert went == ["queued", "queued", "failed"]
    assert store.get(job.id).state == "running"
    assert store.runs(job.id) == {run: RunView(RunState.FAILED, error=BROKE) for run in (0, 1)}
    other = claimed(store, most=2)
    assert indices(other) == [2, 3]
    assert store.finish(other, State.FAILED, BROKE, again=True) == "queued"  # it has attempts of its own
    told = [event for event in events(redis, store, job.id, "run") if event["run"] == 0]
    assert told == [
        {"run": 0, "state": "running"},
        {"run": 0, "state": "queued", "error": BROKE.model_dump()},
        {"run": 0, "state": "running"},
        {"run": 0, "state": "queued", "error": BROKE.model_dump()},
        {"run": 0, "state": "running"},
        {"run": 0, "state": "failed", "error": BROKE.model_dump()},
    ]


def test_a_run_that_succeeds_at_the_second_attempt_has_no_error(store: JobStore) -> None:
    job = create(store, 2, max_attempts=2)
    store.finish(claimed(store), State.FAILED, BROKE, again=True)
    assert store.runs(job.id)[0] == RunView(RunState.QUEUED)

    store.finish(claimed(store), State.SUCCEEDED)

    assert store.runs(job.id) == {run: RunView(RunState.SUCCEEDED) for run in (0, 1)}


def test_an_error_that_would_come_again_is_not_tried_again(store: JobStore) -> None:
    create(store, 2, max_attempts=3)

    assert store.finish(claimed(store), State.FAILED, DIVERGED) == "failed"


def test_lost_workers_do_not_count_as_errors(store: JobStore) -> None:
    create(store, 2, max_attempts=2)
    for _ in range(MOST):
        store.lose(claimed(store), MOST)

    assert store.finish(claimed(store), State.FAILED, BROKE, again=True) == "queued"
    assert store.finish(claimed(store), State.FAILED, BROKE, again=True) == "failed"


def test_a_pause_that_comes_before_an_error_is_kept(store: JobStore) -> None:
    job_id, (claim,) = held(store, parts=1, max_attempts=2)
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
    job_id, (claim,) = held(store, parts=1)
    ends = [RunEnd(run, RunState.FAILED, DIVERGED) for run in (0, 1, 2)]
    store.report(claim, LEASE, 36, ends)

    store.finish(claim, State.SUCCEEDED)

    assert store.get(job_id).state == "succeeded"


def test_an_experiment_of_which_all_runs_failed_or_were_pruned_has_failed(store: JobStore) -> None:
    job_id, (claim,) = held(store, parts=1)
    store.judge(claim, [Judgement("0:0", range(3), False)])
    store.report(claim, LEASE, 36, [RunEnd(3, RunState.FAILED, DIVERGED)])

    store.finish(claim, State.SUCCEEDED)

    job = store.get(job_id)
    assert job.error is not None
    assert (job.state, job.error.type) == ("failed", "diverged")
    assert "of run 3: the loss is not finite" in job.error.message


def test_an_experiment_of_which_all_runs_were_pruned_has_failed(store: JobStore) -> None:
    job_id, (claim,) = held(store, parts=1)
    store.judge(claim, [Judgement("0:0", range(4), False)])

    assert store.finish(claim, State.SUCCEEDED) == "succeeded"

    job = store.get(job_id)
    assert job.state == "failed"
    assert job.error == JobError(type="pruned", message="no run succeeded: all were pruned")


def test_a_part_may_fail_without_saying_why(store: JobStore) -> None:
    job_id, (claim,) = held(store, parts=1)

    store.finish(claim, State.FAILED)

    assert store.get(job_id).state == "failed"


def test_a_part_that_this_version_cannot_read_fails_and_the_next_job_is_taken(store: JobStore, redis: Redis) -> None:
    broken, sound = create(store, 4), store.create(SPEC)
    redis.hset(f"lrserve:job:{broken.id}", "spec", experiment(4).model_dump_json().replace("lenet", "another"))

    assert claimed(store, most=2).id == sound.id
    assert states(store, broken.id) == ["failed"] * 4
    job = store.get(broken.id)
    assert job.error is not None
    assert (job.state, job.error.type) == ("failed", "invalid_spec")


# what is final, and what is heard twice


@pytest.mark.parametrize("end", [RunState.SUCCEEDED, RunState.FAILED, RunState.PRUNED])
def test_the_end_of_a_run_is_final(end: RunState, store: JobStore, redis: Redis) -> None:
    job = create(store, 2)
    first = claimed(store)
    store.report(first, LEASE, 4, [told_epoch(0, 0, 0.7)])
    if end is RunState.PRUNED:
        store.judge(first, [Judgement("0:0", range(1), False)])
    else:
        error = DIVERGED if end is RunState.FAILED else None
        store.report(first, LEASE, STEPS, [RunEnd(0, end, error)])
    before = store.runs(job.id)[0]
    store.finish(first, State.QUEUED)

    second = claimed(store, "b")
    late = [told_epoch(0, 0, 0.1), told_epoch(0, 1, 0.9), RunEnd(0, RunState.FAILED, BROKE)]
    store.report(second, LEASE, 2, [*late, RunEnd(0, RunState.SUCCEEDED), told_epoch(1, 0)])
    store.finish(second, State.SUCCEEDED)

    assert store.runs(job.id)[0] == before
    assert store.run_epochs(job.id, [0, 1]) == [[epoch(0, 0.7)], [epoch(0)]]
    assert [event["state"] for event in events(redis, store, job.id, "run") if event["run"] == 0] == ["running", end]
    assert [event["run"] for event in events(redis, store, job.id, "epoch")] == [0, 1]


def test_a_second_training_takes_the_place_of_the_epochs_it_repeats(store: JobStore, redis: Redis) -> None:
    job = create(store, 2)
    first = claimed(store)
    store.report(first, LEASE, 12, [told_epoch(run, index) for index in range(3) for run in (0, 1)])
    store.finish(first, State.QUEUED)

    second = claimed(store)
    store.report(second, LEASE, 8, [told_epoch(0, 0), told_epoch(0, 1, 0.9), told_epoch(1, 2)])

    assert store.run_epochs(job.id, [0, 1]) == [[epoch(0), epoch(1, 0.9)], [epoch(index) for index in range(3)]]
    assert len(events(redis, store, job.id, "epoch")) == 7


def test_a_claim_that_redis_hears_twice_takes_one_part(store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    arguments = (scripts.CLAIM, "a", "a-token", 30_000, 2, "", QUEUE)
    first = store._run(*arguments)
    before = values(redis)

    assert store._run(*arguments) == first
    assert values(redis) == before
    assert states(store, job.id) == ["running"] * 2


@pytest.mark.parametrize("script", ["REPORT", "JUDGE", "CANCEL", "PAUSE", "RESUME"])
def test_what_redis_hears_twice_is_done_once(
    script: str, store: JobStore, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id, (claim, _) = held(store)
    if script == "RESUME":
        store.pause(job_id)
    run, heard = store._run, []

    def twice(called: str, *arguments: Any) -> Any:
        answer = run(called, *arguments)
        if called == getattr(scripts, script):
            before = values(redis, without="lrserve:leases")
            heard.append(run(called, *arguments) == answer and values(redis, without="lrserve:leases") == before)
        return answer

    monkeypatch.setattr(store, "_run", twice)
    if script == "REPORT":
        news = [told_epoch(0, 0), told_epoch(0, 1, 0.9), RunEnd(0, RunState.SUCCEEDED), told_epoch(1, 0)]
        store.report(claim, LEASE, 9, news)
    elif script == "JUDGE":
        store.judge(claim, [Judgement("0:0", range(1), False), Judgement("0:1", range(1, 2), True)])
    else:
        getattr(store, script.lower())(job_id)

    assert heard == [True]


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.QUEUED])
def test_a_finish_that_redis_hears_twice_ends_a_part_once(state: State, store: JobStore, redis: Redis) -> None:
    job_id, (claim,) = held(store, parts=1)
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
    claim = claimed(store)
    told = [told_epoch(run, index) for index in range(3) for run in (0, 1)]
    store.report(claim, LEASE, 8, told[:2])
    before = contents(redis)
    store.report(claim, LEASE, 16, told[2:4])
    rewind(redis, before)

    with pytest.raises(Gap) as gap:
        store.report(claim, LEASE, 24, told[4:])
    assert (gap.value.run, gap.value.epoch) == (0, 1)
    store.report(claim, LEASE, 24, [told[2]])
    with pytest.raises(Gap) as gap:
        store.report(claim, LEASE, 24, told[4:])
    assert (gap.value.run, gap.value.epoch) == (1, 1)
    store.report(claim, LEASE, 24, [told[3]])
    store.report(claim, LEASE, 24, told[4:])

    assert store.run_epochs(job.id, [0, 1]) == [[epoch(index) for index in range(3)]] * 2
    assert len(events(redis, store, job.id, "epoch")) == 6
    assert store.get(job.id).progress.step == 24


def test_a_claim_that_redis_has_lost_is_made_again_by_somebody(store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    store.finish(claimed(store, "a", 2), State.QUEUED)
    before = contents(redis)
    lost = [claimed(store, "a", 2), claimed(store, "a", 2)]
    rewind(redis, before)

    for claim in lost:
        with pytest.raises(LeaseLost):
            store.report(claim, LEASE, 1, [])
    again = [claimed(store, "b", 2) for _ in range(2)]
    assert [indices(claim) for claim in again] == [[0, 1], [2, 3]]
    for claim in again:
        store.finish(claim, State.SUCCEEDED)
    assert store.get(job.id).state == "succeeded"


def test_a_finish_that_redis_has_lost_is_found_by_the_reaper(store: JobStore, redis: Redis) -> None:
    job = create(store, 4)
    claim = claimed(store, lease=SHORT)
    store.report(claim, SHORT, 12, [RunEnd(0, RunState.FAILED, DIVERGED)])
    before = contents(redis)
    store.finish(claim, State.SUCCEEDED)
    rewind(redis, before)

    assert lapsed(store) == [claim.id]
    again = claimed(store)
    assert indices(again) == [0, 1, 2, 3]
    store.finish(again, State.SUCCEEDED)
    assert states(store, job.id) == ["failed", *["succeeded"] * 3]
    assert store.get(job.id).progress.step == 4 * STEPS


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
    told = [event["run"] for event in events(redis, store, job_id, "run") if event["state"] == "pruned"]
    assert told == [1, 2]


def test_runs_of_another_worker_s_part_are_pruned_too(store: JobStore) -> None:
    job_id, (first, second) = held(store)
    store.report(second, LEASE, STEPS, [RunEnd(2, RunState.FAILED, DIVERGED)])

    store.judge(first, [Judgement("0:0", range(1, 4), False)])  # a configuration whose seeds lie in both

    assert states(store, job_id) == ["running", "pruned", "failed", "pruned"]
    store.report(second, LEASE, STEPS, [told_epoch(3, 0), RunEnd(3, RunState.SUCCEEDED)])
    assert store.runs(job_id)[3] == RunView(RunState.PRUNED)


@pytest.mark.parametrize("then", ["ended", "given back", "failed", "cancelled", "lost too often"])
def test_a_pruned_run_stays_so(then: str, store: JobStore) -> None:
    job_id, (claim,) = held(store, parts=1)
    store.judge(claim, [Judgement("0:0", range(2), False)])
    if then == "ended":
        store.report(claim, LEASE, 24, [RunEnd(0, RunState.SUCCEEDED), RunEnd(1, RunState.FAILED, BROKE)])
        store.finish(claim, State.SUCCEEDED)
    elif then == "given back":
        store.finish(claim, State.QUEUED)
        claimed(store, "b")
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
    claim = claimed(store, most=2)
    store.report(claim, LEASE, 4, [told_epoch(1, 0)])

    assert store.reached(job.id, 0) == {0: (RunState.RUNNING, None), 1: (RunState.RUNNING, epoch(0))}
    assert store.reached("nobody", 0) == {}


# what is left, and what is seen


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled", "cancelled while paused", "pruned"])
def test_a_deleted_experiment_leaves_records_of_its_parts_for_an_hour(end: str, store: JobStore, redis: Redis) -> None:
    job = create(store, 6, labels=["team=a"], max_attempts=2)
    store.finish(claimed(store, most=2), State.SUCCEEDED)
    first, second = claimed(store, "a", 2), claimed(store, "b", 2)
    with pytest.raises(IllegalMove, match="running"):
        store.forget(job.id)
    store.report(first, LEASE, 5, [told_epoch(2, 0), RunEnd(3, RunState.FAILED, DIVERGED)])
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
    assert set(left) <= {f"lrserve:job:{job.id}/{part}" for part in (1, 2, 3)}
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


def test_an_experiment_made_anew_under_its_id_has_new_parts(store: JobStore, redis: Redis) -> None:
    for _ in range(2):
        store.put("mine", experiment(2))
        store.lose(claimed(store), MOST)
        claim = claimed(store)
        assert claim.attempt == 2
        store.report(claim, LEASE, STEPS, [told_epoch(0, 0)])
        assert redis.ttl(f"lrserve:job:{claim.id}") == -1
        assert store.get("mine").progress.step == STEPS
        assert (store.finish(claim, State.SUCCEEDED), store.get("mine").state) == ("succeeded", "succeeded")
        assert store.get("mine").progress.step == 2 * STEPS
        store.forget("mine")


def test_an_experiment_that_ended_long_ago_is_stale(store: JobStore) -> None:
    job_id, (claim,) = held(store, parts=1)
    assert store.take_stale(0, LEASE) is None
    store.finish(claim, State.SUCCEEDED)
    time.sleep(0.01)

    taken = store.take_stale(0, LEASE)

    assert taken is not None
    assert taken[0] == job_id
    assert store.take_stale(0, LEASE) is None
    store.forget(*taken)
    with pytest.raises(JobNotFound):
        store.get(job_id)


def test_an_experiment_waits_once_however_many_runs_it_has(store: JobStore, redis: Redis) -> None:
    create(store, 9)
    store.present("a", [QUEUE], LEASE)
    assert store.queues() == [Queue(QUEUE, 1, 1, 0)]
    claims = [claimed(store, most=3)]

    assert store.queues()[0].missing_notifications == 1  # it has more to give
    redis.rpush(broker_list(QUEUE), "a message")
    assert store.queues()[0].missing_notifications == 0
    claims += [claimed(store, most=3) for _ in range(2)]
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


def test_ten_thousand_runs(store: JobStore, redis: Redis) -> None:
    job = create(store, MAX_RUNS)
    claim = claimed(store)
    assert len(indices(claim)) == MAX_RUNS
    for first in range(0, MAX_RUNS, 2000):
        runs = range(first, first + 2000)
        store.report(claim, LEASE, 4 * runs.stop, [told_epoch(run, 0) for run in runs])
    store.judge(claim, [Judgement(f"0:{run}", range(run, run + 1), run % 2 == 0) for run in range(MAX_RUNS)])
    assert len(store.reached(job.id, 0)) == MAX_RUNS
    store.finish(claim, State.QUEUED)
    store.finish(claimed(store), State.SUCCEEDED)

    assert states(store, job.id) == ["succeeded", "pruned"] * (MAX_RUNS // 2)
    assert store.get(job.id).progress.step == MAX_RUNS * STEPS
    assert sum(map(len, store.run_epochs(job.id, range(MAX_RUNS)))) == MAX_RUNS
    store.forget(job.id)
    assert len(list(redis.scan_iter("*runs:*"))) == len(list(redis.scan_iter("*epochs:*"))) == 0
    redis.script_flush()  # and the memory that Lua took: another test would see it come back
