"""The store and a model of it in plain Python do the same things in any order, and must agree after each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from lrcore.jobs.connection import connect
from lrcore.jobs.job import Best
from lrcore.jobs.queue import QUEUE
from lrcore.jobs.states import State
from lrcore.jobs.store import Claim, IllegalMove, JobStore, LeaseLost
from tests.conftest import redis_process
from tests.jobs.test_store import LEASE, MOST, SPEC, epoch

ENDS = st.sampled_from([State.SUCCEEDED, State.FAILED, State.CANCELLED, State.QUEUED])


class Record:
    """What the model knows of a job."""

    def __init__(self) -> None:
        self.state = State.QUEUED
        self.attempt = self.losses = self.epochs = 0
        self.token: str | None = None
        self.cancel = False

    def end(self, state: State) -> None:
        self.state, self.token = state, None

    def lose(self) -> None:
        if self.cancel:
            return self.end(State.CANCELLED)
        self.losses += 1
        self.end(State.FAILED if self.losses > MOST else State.QUEUED)


class StoreMachine(RuleBasedStateMachine):
    """Every call either raises what its docstring says, or does what the model does."""

    store: ClassVar[JobStore]
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.store._redis.flushall()
        self.jobs: dict[str, Record] = {}  # in the order of their creation

    @rule()
    def create(self) -> None:
        self.jobs[self.store.create(SPEC).id] = Record()

    @rule(target=claims, worker=st.sampled_from("ab"), short=st.booleans())
    def claim(self, worker: str, short: bool) -> object:
        claim = self.store.claim(QUEUE, worker, 0.001 if short else LEASE)
        waiting = [job_id for job_id, job in self.jobs.items() if job.state is State.QUEUED]
        if claim is None:
            assert not waiting
            return multiple()
        assert claim.id == waiting[0]
        job = self.jobs[claim.id]
        job.state, job.token, job.attempt = State.RUNNING, claim.token, job.attempt + 1
        if short:
            time.sleep(0.003)
            assert self.store.reap(MOST) == [claim.id]
            job.lose()
        return claim

    @rule(claim=claims)
    def beat(self, claim: Claim) -> None:
        job = self.jobs[claim.id]
        if job.token == claim.token:
            assert self.store.beat(claim, LEASE, None) == job.cancel
        else:
            with pytest.raises(LeaseLost):
                self.store.beat(claim, LEASE, None)

    @rule(claim=claims, repeat=st.booleans())
    def add_epoch(self, claim: Claim, repeat: bool) -> None:
        job = self.jobs[claim.id]
        index = max(0, job.epochs - repeat)
        best = Best(epoch=0, test_accuracy=0.5)
        if job.token == claim.token:
            assert self.store.add_epoch(claim, LEASE, epoch(index), best) == job.cancel
            job.epochs = index + 1
        else:
            with pytest.raises(LeaseLost):
                self.store.add_epoch(claim, LEASE, epoch(index), best)

    @rule(claim=consumes(claims), state=ENDS)
    def finish(self, claim: Claim, state: State) -> None:
        job = self.jobs[claim.id]
        if job.token == claim.token:
            self.store.finish(claim, state)
            job.end(State.CANCELLED if state is State.QUEUED and job.cancel else state)
        else:
            with pytest.raises(LeaseLost):
                self.store.finish(claim, state)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if not self.jobs:
            return
        job_id = data.draw(st.sampled_from(list(self.jobs)))
        job = self.jobs[job_id]
        if job.state in (State.SUCCEEDED, State.FAILED):
            with pytest.raises(IllegalMove):
                self.store.cancel(job_id)
            return
        self.store.cancel(job_id)
        if job.state is State.RUNNING:
            job.cancel = True
        else:
            job.end(State.CANCELLED)

    @rule()
    def reap(self) -> None:
        assert self.store.reap(MOST) == []  # the leases that are left are long

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        listed, _ = self.store.page(limit=100)
        seen = {job.id: (job.state, job.attempt, len(self.store.epochs(job.id))) for job in listed}
        assert seen == {job_id: (job.state, job.attempt, job.epochs) for job_id, job in self.jobs.items()}

    @invariant()
    def each_job_is_in_the_places_of_its_state_and_in_no_other(self) -> None:
        def members(key: str) -> set[str]:
            return set(self.store._redis.zrange(f"lrserve:{key}", 0, -1))  # type: ignore[arg-type]

        def in_state(state: State) -> set[str]:
            return {job_id for job_id, job in self.jobs.items() if job.state is state}

        assert {state: members(f"jobs:{state}") for state in State} == {state: in_state(state) for state in State}
        assert members(f"queue:{QUEUE}") == in_state(State.QUEUED)
        assert members("leases") == in_state(State.RUNNING)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ExitStack() as ending:
        folder = ending.enter_context(TemporaryDirectory())
        yield ending.enter_context(redis_process(Path(folder)))


def test_the_store_is_its_model(url: str) -> None:
    StoreMachine.store = JobStore(connect(url))

    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
