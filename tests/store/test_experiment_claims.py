"""Experiments in the store, against real Redis servers: which runs a worker gets, and when."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lrcore.jobs.experiment import ExperimentSpec, ShardSpec
from lrcore.jobs.job import JobOptions
from lrcore.jobs.states import State
from lrcore.store.errors import JobNotFound
from lrcore.store.queue import QUEUE
from tests.conftest import until
from tests.factories import ALL_RUNS, LEASE, SHORT, SPEC, claimed_runs, experiment_of
from tests.store.experiments import STEPS, create, held, indices
from tests.stores import JobStore

# what is handed out


def test_a_new_experiment_is_a_queued_job(store: JobStore) -> None:
    job = create(store, 6, labels=["team=a"], priority=3)

    assert (job.state, job.kind, job.attempt, job.position) == ("queued", "experiment", 0, 0)
    assert (job.progress.step, job.progress.steps, job.progress.epochs) == (0, 6 * STEPS, 18)
    assert ExperimentSpec.model_validate(job.spec) == experiment_of(6)
    assert (store.runs(job.id), store.run_epochs(job.id, [0])) == ({}, [[]])


def test_a_lone_worker_takes_all_runs(store: JobStore) -> None:
    job = create(store, 6)

    claim = claimed_runs(store)

    assert claim.spec == ShardSpec(first=0, count=6, experiment=experiment_of(6))
    assert (claim.attempt, claim.queue, claim.more) == (1, QUEUE, False)
    assert store.get(job.id).state == "running"
    assert store.claim([QUEUE], "b", LEASE, ALL_RUNS) is None


def test_no_more_runs_are_taken_than_the_worker_can(store: JobStore) -> None:
    create(store, 6)

    claims = [claimed_runs(store, "a", 4), claimed_runs(store, "a", 4)]

    assert [indices(claim) for claim in claims] == [[0, 1, 2, 3], [4, 5]]
    assert [claim.more for claim in claims] == [True, False]


def test_a_worker_leaves_the_others_their_share(store: JobStore) -> None:
    for worker in "abc":
        store.present(worker, [QUEUE], LEASE)
    store.present("elsewhere", ["gpu"], LEASE)
    create(store, 10)

    assert [len(indices(claimed_runs(store, worker))) for worker in "abcab"] == [4, 2, 2, 1, 1]


def test_a_dead_worker_has_no_share(store: JobStore) -> None:
    store.present("a", [QUEUE], LEASE)
    store.present("b", [QUEUE], SHORT)
    create(store, 10)
    until(lambda: store.workers() == 1)

    assert len(indices(claimed_runs(store))) == 10


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

    taken = [claimed_runs(store, most=2).id for _ in range(4)]

    assert taken == [f"{first.id}/1", f"{first.id}/2", second.id, f"{third.id}/1"]


def test_an_earlier_or_more_urgent_job_comes_between_two_shards(store: JobStore) -> None:
    job, later = create(store, 6), store.create(SPEC)
    claimed_runs(store, most=2)
    urgent = store.create(SPEC, JobOptions(priority=5))

    assert [claimed_runs(store, most=2).id for _ in range(4)] == [urgent.id, f"{job.id}/2", f"{job.id}/3", later.id]


def test_a_running_experiment_may_be_given_another_priority(store: JobStore) -> None:
    job, other = create(store, 6, priority=2), store.create(SPEC, JobOptions(priority=1))
    first = claimed_runs(store, most=2)
    assert first.id == f"{job.id}/1"

    assert store.prioritize(job.id, 0).priority == 0
    assert claimed_runs(store).id == other.id
    last = claimed_runs(store)
    assert (last.id, last.more) == (f"{job.id}/2", False)

    urgent = store.create(SPEC, JobOptions(priority=5))
    store.prioritize(job.id, 9)  # it is in no queue now, until a shard comes back
    assert store.queues()[0].waiting == 1
    store.finish(last, State.QUEUED)
    assert [claimed_runs(store).id for _ in range(2)] == [last.id, urgent.id]


def test_the_priority_of_an_experiment_without_waiting_runs_puts_it_in_no_queue(store: JobStore) -> None:
    job_id, _ = held(store)

    store.prioritize(job_id, 9)

    assert store.claim([QUEUE], "a", LEASE, ALL_RUNS) is None


def test_a_part_that_came_back_goes_first(store: JobStore) -> None:
    job = create(store, 6)
    first = claimed_runs(store, most=2)
    store.finish(first, State.QUEUED)

    again = claimed_runs(store, "b", most=2)

    assert (again.id, again.attempt, indices(again), again.more) == (first.id, 2, [0, 1], True)
    assert store.get(job.id).attempt == 2


def test_a_part_that_came_back_stays_whole(store: JobStore) -> None:
    create(store, 6)
    store.finish(claimed_runs(store, most=4), State.QUEUED)

    assert indices(claimed_runs(store, most=1)) == [0, 1, 2, 3]  # its checkpoint is one


def test_a_part_is_no_job(store: JobStore) -> None:
    job_id, (claim,) = held(store, shards=1)

    for call in (store.get, store.cancel, store.pause, store.resume, store.forget, store.epochs):
        with pytest.raises(JobNotFound):
            call(claim.id)
    assert [job.id for job in store.page()[0]] == [job_id]
