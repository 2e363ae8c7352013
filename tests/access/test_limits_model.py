"""Jobs of two tenants, one with limits that change at any time: nothing gets past them, and nothing else is refused."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from lrcore.access.limits import LimitStore
from lrcore.jobs.ids import NOBODY
from lrcore.jobs.job import Job, JobOptions
from lrcore.jobs.job_spec import JobSpec
from lrcore.jobs.states import State
from lrcore.store import client as stores
from lrcore.store.errors import JobTooLarge, LeaseLost, LimitReached
from lrcore.store.queue import QUEUE
from lrcore.store.records import Claim, NewJob
from tests.factories import LEASE, experiment_of, training_spec
from tests.machines import StoreModel, run_machine
from tests.store.recount import counted, records, recounted, waiting

MINE = "mine"
TENANTS = st.sampled_from([MINE, NOBODY])
WORKS: list[JobSpec] = [
    *(training_spec(epochs=epochs) for epochs in (1, 3)),
    *map(experiment_of, (2, 3)),
]
ALIVE = {State.QUEUED, State.PAUSED, State.RUNNING}
ACTIONS = {"pause": ALIVE, "resume": {State.PAUSED}, "cancel": ALIVE, "forget": set(State) - ALIVE}
ENDS = st.sampled_from([State.SUCCEEDED, State.FAILED, State.CANCELLED, State.QUEUED])
WORKERS, SIZES = st.sampled_from("abc"), st.integers(0, 20)
VALUES = {
    "queued": st.integers(1, 4),
    "running": st.integers(1, 2),
    "stored_bytes": st.integers(1, 10),
    "record_bytes": st.integers(1, 6).map(lambda jobs: jobs * 2800),
    "steps": st.sampled_from([11, 12, 30]),
    "runs": st.sampled_from([1, 2]),
}
CHANGES = st.one_of(*(st.tuples(st.just(name), values) for name, values in VALUES.items()))


def size(work: JobSpec) -> int:
    return len(work.model_dump_json().encode()) + stores.RECORD_BYTES


class LimitsMachine(StoreModel):
    """What counts is counted anew from all records, before and after each call."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.redis = self.store._redis
        self.redis.flushall()
        self.limits: dict[str, int] = {}
        self.chosen = 0

    def most(self, tenant: str, name: str) -> float:
        return self.limits.get(name, float("inf")) if tenant == MINE else float("inf")

    def too_large(self, tenant: str, steps: int, runs: int) -> bool:
        return steps > self.most(tenant, "steps") or runs > self.most(tenant, "runs")

    def full(self, tenant: str) -> bool:
        return bool(recounted(self.redis, tenant)["stored"] >= self.most(tenant, "stored_bytes"))

    def jobs(self) -> list[Job]:
        return [job for tenant in (MINE, NOBODY) for job in self.store.of(tenant).page(limit=100, whole=True)[0]]

    @initialize(works=st.lists(st.sampled_from(WORKS), min_size=2, max_size=4), change=CHANGES)
    def some_jobs_from_before_a_limit(self, works: list[JobSpec], change: tuple[str, int]) -> None:
        for work in works:
            self.store.of(MINE).create(work)
        self.set_a_limit(change)

    @rule(change=CHANGES | st.sampled_from([(name, None) for name in VALUES]))
    def set_a_limit(self, change: tuple[str, int | None]) -> None:
        name, value = change
        LimitStore(self.redis).change(MINE, {name: value})
        self.limits.pop(name, None)
        if value is not None:
            self.limits[name] = value

    def expected(self, tenant: str, work: JobSpec) -> set[str]:
        """The limits that keep a job out."""
        if self.too_large(tenant, work.steps, getattr(work, "runs", 1)):
            return {"large"}
        there = {
            "queued": waiting(self.redis, tenant) >= self.most(tenant, "queued"),
            "stored_bytes": self.full(tenant),
            "record_bytes": recounted(self.redis, tenant)["records"] + size(work) > self.most(tenant, "record_bytes"),
        }
        return {name for name, reached in there.items() if reached}

    @precondition(lambda self: len(self.jobs()) < 8)
    @rule(tenant=TENANTS, work=st.sampled_from(WORKS), chosen=st.booleans(), priority=st.integers(0, 1))
    def submit(self, tenant: str, work: JobSpec, chosen: bool, priority: int) -> None:
        reasons, store, options = self.expected(tenant, work), self.store.of(tenant), JobOptions(priority=priority)
        self.chosen += 1
        try:
            if chosen:
                store.put(f"chosen-{self.chosen}", work, options)
            else:
                store.create(work, options)
        except (JobTooLarge, LimitReached) as refused:
            outcome = getattr(refused, "name", "large")
        else:
            outcome = ""
        assert outcome in (reasons or {""})

    @precondition(lambda self: len(self.jobs()) < 6)
    @rule(works=st.lists(st.sampled_from(WORKS), min_size=2, max_size=3))
    def submit_together(self, works: list[JobSpec]) -> None:
        self.store.create_many([NewJob(work, JobOptions(), tenant=MINE) for work in works])
        assert recounted(self.redis, MINE)["records"] <= max(self.most(MINE, "record_bytes"), self.records_before)
        assert waiting(self.redis, MINE) <= max(self.most(MINE, "queued"), self.waiting_before)

    @rule(target=claims, worker=WORKERS, runs=st.integers(1, 2), size=SIZES, end=st.none() | ENDS)
    def work(self, worker: str, runs: int, size: int, end: State | None) -> Claim | MultipleResults[Claim]:
        """A worker takes a job, writes files, and ends it or goes on."""
        claim = self.claim(worker, runs)
        if claim is None:
            return multiple()
        self.write_files(claim, size, end is State.SUCCEEDED)
        if end is not None:
            self.finish(claim, end)
        return claim

    def claim(self, worker: str, runs: int) -> Claim | None:
        before = {job.key: job for job in self.jobs()}
        busy = {tenant: len(recounted(self.redis, tenant)["busy"]) for tenant in (MINE, NOBODY)}
        full = {tenant: self.full(tenant) for tenant in (MINE, NOBODY)}
        may_run = {tenant for tenant in busy if busy[tenant] < self.most(tenant, "running")}
        claim = self.store.claim([QUEUE], worker, LEASE, runs)
        taken = claim.id.partition("/")[0] if claim else ""
        for job in self.jobs():
            old = before[job.key]
            outgrown = old.attempt == 0 and self.too_large(job.tenant, job.progress.steps, runs_of(job))
            if job.key == taken:
                assert job.tenant in may_run
                assert old.attempt > 0 or not (outgrown or full[job.tenant])
            elif job.state != old.state:
                assert (job.state, job.error and job.error.type) == ("failed", "limit_reached")
                assert outgrown
            elif not claim and self.waits(job):
                assert job.tenant not in may_run or (full[job.tenant] and old.attempt == 0)
        return claim

    def waits(self, job: Job) -> bool:
        key = f"queue:{QUEUE}" if job.tenant == NOBODY else f"of:{job.tenant}:queue:{QUEUE}"
        return self.redis.zscore(f"lrserve:{key}", job.key) is not None

    @rule(claim=claims, size=SIZES, left_behind=st.booleans())
    def write_files(self, claim: Claim, size: int, left_behind: bool) -> None:
        with suppress(LeaseLost):
            (self.store.set_stored_bytes if left_behind and "/" not in claim.id else self.store.set_checkpoint_bytes)(
                claim, size
            )

    @rule(claim=consumes(claims), state=ENDS)
    def finish(self, claim: Claim, state: State) -> None:
        with suppress(LeaseLost):
            self.store.finish(claim, state)

    @rule(claim=consumes(claims))
    def fall_silent(self, claim: Claim) -> None:
        try:
            self.store.beat(claim, 0.001, None)
        except LeaseLost:
            return
        time.sleep(0.003)
        self.store.reap(2)

    @rule(action=st.sampled_from(list(ACTIONS)), data=st.data())
    def act(self, action: str, data: st.DataObject) -> None:
        """What a client asks of a job that allows it."""
        found = [job for job in self.jobs() if job.state in ACTIONS[action] and job.requested != "cancel"]
        if found:
            getattr(self.store, action)(data.draw(st.sampled_from(found)).key)

    @rule(worker=WORKERS)
    def start_again(self, worker: str) -> None:
        self.store.abandon(worker, 2)

    @invariant()
    def what_is_counted_is_there(self) -> None:
        for tenant in (MINE, NOBODY):
            assert counted(self.redis, tenant) == recounted(self.redis, tenant)
            for record in records(self.redis, tenant).values():
                assert record["state"] in ALIVE or record.get("checkpoint", "0") == "0"
        self.records_before, self.waiting_before = recounted(self.redis, MINE)["records"], waiting(self.redis, MINE)

    def teardown(self) -> None:
        """When every job has ended and is deleted, nothing counts."""
        for job in self.jobs():
            if not job.state.ended:
                self.store.cancel(job.key)
        for worker in "abc":
            self.store.abandon(worker, 2)
        for job in self.jobs():
            assert job.state.ended
            self.store.forget(job.key)
        for tenant in (MINE, NOBODY):
            assert counted(self.redis, tenant) == {"stored": 0, "records": 0, "busy": set()}


def runs_of(job: Job) -> int:
    return len(job.spec["grid"]["seed"]) if "grid" in job.spec else 1


@pytest.mark.drawn
def test_no_call_gets_past_a_limit() -> None:
    run_machine(LimitsMachine, 50)
