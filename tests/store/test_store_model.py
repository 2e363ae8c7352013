"""The store and a model of it in plain Python do the same things in any order, and must agree after each."""

from __future__ import annotations

import time

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from lrcore.jobs.job import Best, JobOptions
from lrcore.jobs.states import State
from lrcore.store.errors import IllegalMove, LeaseLost
from lrcore.store.queue import QUEUE
from lrcore.store.records import Claim
from tests.factories import LEASE, MOST, SPEC, epoch
from tests.machines import StoreModel, run_machine
from tests.store.recount import counted, recounted

LABELS = ["one", "team=two"]
GIVEN_BACK = {"": State.QUEUED, "pause": State.PAUSED, "cancel": State.CANCELLED}
WORKERS = st.sampled_from("ab")
ENDS = st.sampled_from([State.SUCCEEDED, State.FAILED, State.CANCELLED, State.QUEUED])


class Record:
    """What the model knows of a job."""

    def __init__(self) -> None:
        self.state = State.QUEUED
        self.attempt = self.losses = self.epochs = 0
        self.worker: str | None = None
        self.token: str | None = None
        self.want = ""
        self.priority = 0

    def end(self, state: State) -> None:
        self.state, self.worker, self.token = state, None, None
        self.want = ""

    def lose(self) -> None:
        self.losses += 1
        self.end(State.FAILED if self.losses > MOST and not self.want else GIVEN_BACK[self.want])


class StoreMachine(StoreModel):
    """Every call either raises what its docstring says, or does what the model does."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.store._redis.flushall()
        self.jobs: dict[str, Record] = {}  # in the order of their creation

    def in_state(self, state: State) -> list[str]:
        return [job_id for job_id, job in self.jobs.items() if job.state is state]

    @initialize()
    def some_jobs(self) -> None:
        for _ in range(3):
            self.create(0)

    def queue(self) -> list[str]:
        """The queued jobs: higher priorities first, then in the order of their creation."""
        return sorted(self.in_state(State.QUEUED), key=lambda job_id: -self.jobs[job_id].priority)

    @precondition(lambda self: len(self.jobs) < 6)
    @rule(priority=st.integers(0, 2))
    def create(self, priority: int = 0) -> None:
        job = self.store.create(SPEC, JobOptions(labels=LABELS, priority=priority))
        self.jobs[job.id] = Record()
        self.jobs[job.id].priority = priority
        assert job.position == self.queue().index(job.id)

    @precondition(lambda self: self.in_state(State.QUEUED))
    @rule(target=claims, worker=WORKERS)
    def claim(self, worker: str) -> Claim:
        claim = self.store.claim([QUEUE], worker, LEASE)
        assert claim is not None
        assert claim.id == self.queue()[0]
        job = self.jobs[claim.id]
        job.state, job.worker, job.token, job.attempt = State.RUNNING, worker, claim.token, job.attempt + 1
        return claim

    @rule(claim=claims)
    def beat(self, claim: Claim) -> None:
        job = self.jobs.get(claim.id, Record())  # of a forgotten job nobody holds the token
        if job.token == claim.token:
            assert self.store.beat(claim, LEASE, None) == job.want
        else:
            with pytest.raises(LeaseLost):
                self.store.beat(claim, LEASE, None)

    @rule(claim=claims)
    def fall_silent(self, claim: Claim) -> None:
        job = self.jobs.get(claim.id, Record())
        if job.token != claim.token:
            return
        self.store.beat(claim, 0.001, None)
        time.sleep(0.003)
        assert self.store.reap(MOST) == [claim.id]
        job.lose()

    @precondition(lambda self: self.in_state(State.RUNNING))
    @rule(worker=WORKERS)
    def start_again(self, worker: str) -> None:
        left = {job_id for job_id, job in self.jobs.items() if job.worker == worker}
        assert set(self.store.abandon(worker, MOST)) == left
        for job_id in left:
            self.jobs[job_id].lose()

    @rule(claim=claims, repeat=st.booleans())
    def add_epoch(self, claim: Claim, repeat: bool) -> None:
        job = self.jobs.get(claim.id, Record())
        index = max(0, job.epochs - repeat)
        best = Best(epoch=0, test_accuracy=0.5)
        if job.token == claim.token:
            assert self.store.add_epoch(claim, LEASE, epoch(index), best) == job.want
            job.epochs = index + 1
        else:
            with pytest.raises(LeaseLost):
                self.store.add_epoch(claim, LEASE, epoch(index), best)

    @rule(claim=claims, size=st.integers(0, 9), left_behind=st.booleans())
    def write_files(self, claim: Claim, size: int, left_behind: bool) -> None:
        record = self.store.set_stored_bytes if left_behind else self.store.set_checkpoint_bytes
        if self.jobs.get(claim.id, Record()).token == claim.token:
            record(claim, size)
        else:
            with pytest.raises(LeaseLost):
                record(claim, size)

    @rule(claim=consumes(claims), state=ENDS)
    def finish(self, claim: Claim, state: State) -> None:
        job = self.jobs.get(claim.id, Record())
        if job.token == claim.token:
            went = self.store.finish(claim, state)
            job.end(GIVEN_BACK[job.want] if state is State.QUEUED else state)
            assert went is job.state
        else:
            with pytest.raises(LeaseLost):
                self.store.finish(claim, state)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(list(self.jobs)))
        job = self.jobs[job_id]
        if job.state in (State.SUCCEEDED, State.FAILED):
            with pytest.raises(IllegalMove):
                self.store.cancel(job_id)
            return
        self.store.cancel(job_id)
        if job.state is State.RUNNING:
            job.want = "cancel"
        else:
            job.end(State.CANCELLED)

    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(list(self.jobs)))
        job = self.jobs[job_id]
        if job.state.ended or job.want == "cancel":
            with pytest.raises(IllegalMove):
                self.store.pause(job_id)
        elif job.state is State.PAUSED:
            assert self.store.pause(job_id).state is State.PAUSED
        else:
            self.store.pause(job_id)
            if job.state is State.RUNNING:
                job.want = "pause"
            else:
                job.end(State.PAUSED)

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(list(self.jobs)))
        job = self.jobs[job_id]
        if job.state.ended:
            with pytest.raises(IllegalMove):
                self.store.resume(job_id)
            return
        self.store.resume(job_id)
        if job.state is State.PAUSED:
            job.end(State.QUEUED)
        elif job.want == "pause":
            job.want = ""

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(list(self.jobs)))
        if self.jobs[job_id].state.ended:
            self.store.forget(job_id)
            del self.jobs[job_id]
            if not self.jobs:
                self.create(0)
        else:
            with pytest.raises(IllegalMove):
                self.store.forget(job_id)

    @rule(data=st.data(), priority=st.integers(0, 2))
    def prioritize(self, data: st.DataObject, priority: int) -> None:
        job_id = data.draw(st.sampled_from(list(self.jobs)))
        if self.jobs[job_id].state.ended:
            with pytest.raises(IllegalMove):
                self.store.prioritize(job_id, priority)
            return
        self.jobs[job_id].priority = priority
        assert self.store.prioritize(job_id, priority).priority == priority

    @invariant()
    def the_store_says_what_the_model_says(self) -> None:
        listed, _ = self.store.page(limit=100)
        seen = {job.id: (job.state, job.attempt, [row.epoch for row in self.store.epochs(job.id)]) for job in listed}
        assert seen == {job_id: (job.state, job.attempt, list(range(job.epochs))) for job_id, job in self.jobs.items()}

    @invariant()
    def what_limits_count_is_there(self) -> None:
        assert counted(self.store._redis) == recounted(self.store._redis)

    @invariant()
    def a_job_has_the_token_of_its_last_claim_while_it_runs_and_none_else(self) -> None:
        for job_id, job in self.jobs.items():
            held = self.store._redis.hmget(f"lrserve:job:{job_id}", "worker", "token")
            assert held == [job.worker, job.token]

    @invariant()
    def each_job_is_in_the_places_of_its_state_and_in_no_other(self) -> None:
        def members(key: str) -> set[str]:
            return set(self.store._redis.zrange(f"lrserve:{key}", 0, -1))  # type: ignore[arg-type]

        for state in State:
            assert members(f"jobs:{state}") == set(self.in_state(state))
            for label in LABELS:
                assert members(f"label:{label}:{state}") == set(self.in_state(state))
        assert self.store._redis.zrange(f"lrserve:queue:{QUEUE}", 0, -1) == self.queue()
        assert members("leases") == set(self.in_state(State.RUNNING))


@pytest.mark.drawn
def test_the_store_is_its_model() -> None:
    run_machine(StoreMachine, 150)
