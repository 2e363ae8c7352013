"""Experiments in the store, and a model of them in plain Python, do the same things in any order, and agree."""

from __future__ import annotations

import math
import time
from collections import Counter

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

from lrcore.jobs.job import JobError, JobOptions
from lrcore.jobs.states import RunState, State
from lrcore.store.errors import Gap, IllegalMove, LeaseLost
from lrcore.store.queue import QUEUE
from lrcore.store.records import Claim, Judgement, RunEnd
from tests.factories import LEASE, experiment_of
from tests.machines import StoreModel, run_machine
from tests.store.experiments import BROKE, DIVERGED, STEPS, indices, run_epoch
from tests.store.recount import counted, recounted

MOST = 1  # losses
RUNS = 3  # that a worker takes at once
ATTEMPTS = 2
WORKERS = "ab"
ENDS = st.sampled_from([State.SUCCEEDED, State.FAILED, State.QUEUED])


class Run:
    """What the model knows of a run."""

    def __init__(self) -> None:
        self.state = RunState.QUEUED
        self.epochs = 0
        self.error: JobError | None = None

    def go(self, state: RunState, error: JobError | None = None) -> None:
        if not self.state.ended:
            self.state, self.error = state, error if state is RunState.FAILED else None


class Shard:
    """What it knows of a shard."""

    def __init__(self, runs: dict[int, Run]) -> None:
        self.runs = runs
        self.worker: str | None = None
        self.token: str | None = None
        self.losses = self.errors = self.step = 0


class Experiment:
    """What it knows of an experiment."""

    def __init__(self, count: int, priority: int) -> None:
        self.count, self.priority = count, priority
        self.state, self.want = State.QUEUED, ""
        self.attempt = self.losses = 0
        self.runs: dict[int, Run] = {}  # that have begun
        self.shards: dict[str, Shard] = {}
        self.returned: list[str] = []  # shards, the one that goes first is the first
        self.verdicts: dict[str, bool] = {}

    @property
    def held(self) -> list[Shard]:
        return [shard for shard in self.shards.values() if shard.token]

    @property
    def offers(self) -> bool:
        return bool(self.returned) or len(self.runs) < self.count

    @property
    def waits(self) -> bool:
        """Whether it is in its queue."""
        return self.state is State.QUEUED or (self.state is State.RUNNING and self.offers and not self.want)

    def take(self, worker: str, token: str) -> tuple[str, list[int]]:
        self.state, self.attempt = State.RUNNING, self.attempt + 1
        if self.returned:
            shard_id = self.returned.pop(0)
        else:
            first, left = len(self.runs), self.count - len(self.runs)
            new = {first + i: Run() for i in range(min(RUNS, math.ceil(left / len(WORKERS))))}
            shard_id = str(len(self.shards) + 1)
            self.runs |= new
            self.shards[shard_id] = Shard(new)
        shard = self.shards[shard_id]
        shard.worker, shard.token = worker, token
        for run in shard.runs.values():
            run.go(RunState.RUNNING)
        return shard_id, list(shard.runs)

    def end(self, shard_id: str, state: RunState, error: JobError | None = None) -> None:
        """A shard ends, or comes back."""
        shard = self.shards[shard_id]
        shard.worker = shard.token = None
        cut = state is RunState.CANCELLED and not all(run.state.ended for run in shard.runs.values())
        for run in shard.runs.values():
            run.go(state, error)
        if state is RunState.QUEUED:
            self.returned.append(shard_id)
        elif not cut:
            shard.step = STEPS * len(shard.runs)
        if self.held:
            return
        if not self.offers:
            states = {run.state for run in self.runs.values()}
            ends = [(RunState.CANCELLED, State.CANCELLED), (RunState.SUCCEEDED, State.SUCCEEDED)]
            self.move(next((end for run, end in ends if run in states), State.FAILED))
        elif self.want:
            self.move(State.CANCELLED if self.want == "cancel" else State.PAUSED)
        elif state is RunState.QUEUED:
            self.move(State.QUEUED)

    def move(self, state: State) -> None:
        self.state, self.want = state, ""

    def give_back(self, shard_id: str) -> None:
        self.end(shard_id, RunState.CANCELLED if self.want == "cancel" else RunState.QUEUED)

    def lose(self, shard_id: str) -> None:
        shard = self.shards[shard_id]
        shard.losses, self.losses = shard.losses + 1, self.losses + 1
        if shard.losses > MOST and not self.want:
            self.end(shard_id, RunState.FAILED, LOST)
        else:
            self.give_back(shard_id)


LOST = JobError(type="worker_lost", message=f"{MOST + 1} workers were lost while they ran this job")


class ExperimentMachine(StoreModel):
    """Every call either raises what its docstring says, or does what the model does."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.store._redis.flushall()
        for worker in WORKERS:
            self.store.present(worker, [QUEUE], 1000)
        self.experiments: dict[str, Experiment] = {}  # in the order of their creation

    def queue(self) -> list[str]:
        waiting = [job_id for job_id, job in self.experiments.items() if job.waits]
        return sorted(waiting, key=lambda job_id: -self.experiments[job_id].priority)

    def shard_of(self, claim: Claim) -> tuple[Experiment, str, Shard] | None:
        """What the model has of a claim, if its token is still the shard's."""
        job_id, _, shard_id = claim.id.partition("/")
        job = self.experiments.get(job_id)
        shard = job.shards.get(shard_id) if job else None
        return (job, shard_id, shard) if job and shard and shard.token == claim.token else None

    @property
    def alive(self) -> list[str]:
        return [job_id for job_id, job in self.experiments.items() if not job.state.ended]

    def one(self, data: st.DataObject) -> tuple[str, Experiment]:
        """An experiment; one that has ended only where there are no others, or by chance."""
        chosen = list(self.experiments) if data.draw(st.integers(0, 4)) == 4 else self.alive
        job_id = data.draw(st.sampled_from(chosen or list(self.experiments)))
        return job_id, self.experiments[job_id]

    @initialize(runs=st.integers(4, 9))
    def begin(self, runs: int) -> None:
        self.create(runs, 0)

    @precondition(lambda self: len(self.alive) < 2)
    @rule(runs=st.integers(1, 9), priority=st.integers(0, 1))
    def create(self, runs: int, priority: int) -> None:
        job = self.store.create(experiment_of(runs), JobOptions(priority=priority, max_attempts=ATTEMPTS))
        self.experiments[job.id] = Experiment(runs, priority)

    @precondition(lambda self: self.queue())
    @rule(target=claims, worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> Claim:
        job_id = self.queue()[0]
        claim = self.store.claim([QUEUE], worker, LEASE, RUNS)
        assert claim is not None
        job = self.experiments[job_id]
        shard_id, runs = job.take(worker, claim.token)
        assert (claim.id, indices(claim), claim.more) == (f"{job_id}/{shard_id}", runs, job.offers)
        return claim

    @precondition(lambda self: not self.queue())
    @rule(worker=st.sampled_from(WORKERS))
    def claim_nothing(self, worker: str) -> None:
        assert self.store.claim([QUEUE], worker, LEASE, RUNS) is None

    @rule(claim=claims, data=st.data(), skip=st.integers(-1, 1))
    def report_an_epoch(self, claim: Claim, data: st.DataObject, skip: int) -> None:
        run = data.draw(st.sampled_from(indices(claim)))
        found = self.shard_of(claim)
        if not found:
            with pytest.raises(LeaseLost):
                self.store.report(claim, LEASE, 1, [run_epoch(run, 0)])
            return
        job, _, shard = found
        index = max(0, shard.runs[run].epochs + skip)
        if index > shard.runs[run].epochs and not shard.runs[run].state.ended:
            with pytest.raises(Gap) as gap:
                self.store.report(claim, LEASE, shard.step, [run_epoch(run, index)])
            assert (gap.value.run, gap.value.epoch) == (run, shard.runs[run].epochs)
            return
        shard.step = data.draw(st.integers(0, STEPS * len(shard.runs)))
        assert self.store.report(claim, LEASE, shard.step, [run_epoch(run, index)]) == job.want
        if not shard.runs[run].state.ended:
            shard.runs[run].epochs = index + 1

    @rule(claim=claims, data=st.data(), good=st.booleans())
    def report_an_end(self, claim: Claim, data: st.DataObject, good: bool) -> None:
        run = data.draw(st.sampled_from(indices(claim)))
        end = RunEnd(run, RunState.SUCCEEDED) if good else RunEnd(run, RunState.FAILED, DIVERGED)
        found = self.shard_of(claim)
        if not found:
            with pytest.raises(LeaseLost):
                self.store.report(claim, LEASE, 1, [end])
            return
        job, _, shard = found
        for _ in range(2):  # as if Redis had heard it twice
            assert self.store.report(claim, LEASE, shard.step, [end]) == job.want
        shard.runs[run].go(end.state, end.error)

    @rule(claim=claims, data=st.data(), goes_on=st.booleans())
    def judge(self, claim: Claim, data: st.DataObject, goes_on: bool) -> None:
        found = self.shard_of(claim)
        if not found:
            with pytest.raises(LeaseLost):
                self.store.judge(claim, [Judgement("0:0", range(1), goes_on)])
            return
        job, _, _ = found
        run = data.draw(st.sampled_from(list(job.runs)))  # also another worker's
        verdict = job.verdicts.setdefault(f"0:{run}", goes_on)
        assert self.store.judge(claim, [Judgement(f"0:{run}", range(run, run + 1), goes_on)]) == [verdict]
        if not verdict:
            job.runs[run].go(RunState.PRUNED)

    @rule(claim=consumes(claims), state=ENDS, again=st.booleans())
    def finish(self, claim: Claim, state: State, again: bool) -> None:
        found, error = self.shard_of(claim), BROKE if state is State.FAILED else None
        if not found:
            with pytest.raises(LeaseLost):
                self.store.finish(claim, state, error, again=again)
            return
        job, shard_id, shard = found
        went = self.store.finish(claim, state, error, again=again)
        if state is State.FAILED and again:
            shard.errors += 1
        if state is State.QUEUED or (state is State.FAILED and again and shard.errors < ATTEMPTS):
            assert went == (State.CANCELLED if job.want == "cancel" else State.QUEUED)
            job.give_back(shard_id)
        else:
            assert went is state
            job.end(shard_id, RunState(state), error)

    @rule(claim=claims, size=st.integers(0, 9))
    def write_a_checkpoint(self, claim: Claim, size: int) -> None:
        if self.shard_of(claim):
            self.store.set_checkpoint_bytes(claim, size)
        else:
            with pytest.raises(LeaseLost):
                self.store.set_checkpoint_bytes(claim, size)

    @rule(claim=claims)
    def fall_silent(self, claim: Claim) -> None:
        found = self.shard_of(claim)
        if not found:
            return
        job, shard_id, shard = found
        self.store.report(claim, 0.001, shard.step, [])
        time.sleep(0.003)
        assert self.store.reap(MOST) == [claim.id]
        job.lose(shard_id)

    @precondition(lambda self: any(job.held for job in self.experiments.values()))
    @rule(worker=st.sampled_from(WORKERS))
    def start_again(self, worker: str) -> None:
        left = {
            f"{job_id}/{shard_id}": (job, shard_id)
            for job_id, job in self.experiments.items()
            for shard_id, shard in job.shards.items()
            if shard.worker == worker
        }
        abandoned = self.store.abandon(worker, MOST)
        assert set(abandoned) == set(left)
        for claim_id in abandoned:
            job, shard_id = left[claim_id]
            job.lose(shard_id)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id, job = self.one(data)
        if job.state in (State.SUCCEEDED, State.FAILED):
            with pytest.raises(IllegalMove):
                self.store.cancel(job_id)
            return
        self.store.cancel(job_id)
        if job.held:
            job.want = "cancel"
        else:
            job.move(State.CANCELLED)

    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        job_id, job = self.one(data)
        if job.state.ended or job.want == "cancel":
            with pytest.raises(IllegalMove):
                self.store.pause(job_id)
            return
        self.store.pause(job_id)
        if job.held:
            job.want = "pause"
        else:
            job.move(State.PAUSED)

    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        job_id, job = self.one(data)
        if job.state.ended:
            with pytest.raises(IllegalMove):
                self.store.resume(job_id)
            return
        self.store.resume(job_id)
        if job.state is State.PAUSED:
            job.move(State.QUEUED)
        elif job.want == "pause":
            job.want = ""

    @rule(data=st.data(), priority=st.integers(0, 2))
    def prioritize(self, data: st.DataObject, priority: int) -> None:
        job_id, job = self.one(data)
        if job.state.ended:
            with pytest.raises(IllegalMove):
                self.store.prioritize(job_id, priority)
            return
        assert self.store.prioritize(job_id, priority).priority == priority
        job.priority = priority

    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(list(self.experiments)))
        job = self.experiments[job_id]
        if not job.state.ended:
            with pytest.raises(IllegalMove):
                self.store.forget(job_id)
            return
        self.store.forget(job_id)
        del self.experiments[job_id]
        left = [key for key in self.store._redis.scan_iter(f"*{job_id}*") if f"job:{job_id}/" not in key]
        assert left == []
        if not self.experiments:
            self.create(4, 0)

    @invariant()
    def the_experiments_are_where_the_model_has_them(self) -> None:
        listed, _ = self.store.page(experiments=True, limit=100)
        seen = {job.id: (job.state, job.requested or "", job.attempt, job.losses) for job in listed}
        assert seen == {
            job_id: (job.state, job.want, job.attempt, job.losses) for job_id, job in self.experiments.items()
        }
        for job in listed:
            mine = self.experiments[job.id]
            assert job.progress.step == sum(shard.step for shard in mine.shards.values()) <= job.progress.steps
            if mine.state in (State.SUCCEEDED, State.FAILED):
                assert job.progress.step == job.progress.steps
            assert (job.error is not None) == (mine.state is State.FAILED)

    @invariant()
    def what_limits_count_is_there(self) -> None:
        redis = self.store._redis
        assert counted(redis) == recounted(redis)
        if not any(job.held or job.returned for job in self.experiments.values() if not job.state.ended):
            assert counted(redis)["stored"] == 0

    @invariant()
    def the_runs_are_where_the_model_has_them(self) -> None:
        for job_id, job in self.experiments.items():
            views = self.store.runs(job_id)
            assert {run: (view.state, view.error) for run, view in views.items()} == {
                run: (mine.state, mine.error) for run, mine in job.runs.items()
            }
            recorded = self.store.run_epochs(job_id, range(job.count))
            assert [len(epochs) for epochs in recorded] == [
                job.runs[run].epochs if run in job.runs else 0 for run in range(job.count)
            ]

    @invariant()
    def a_run_is_held_by_one_token_or_waits_or_has_ended(self) -> None:
        redis = self.store._redis
        for job_id, job in self.experiments.items():
            if job.state.ended:
                assert redis.smembers(f"lrserve:runs:{job_id}:held") == set()
                continue
            held: Counter[int] = Counter()
            for shard_id, shard in job.shards.items():
                key = f"lrserve:job:{job_id}/{shard_id}"
                assert redis.hmget(key, "worker", "token") == [shard.worker, shard.token]
                held.update(run for run in shard.runs if shard.token)
            waiting = [run for shard_id in job.returned for run in job.shards[shard_id].runs]
            for run in range(job.count):
                nobody_had_it = run not in job.runs
                places = held[run] + waiting.count(run) + nobody_had_it
                assert places == 1 or (places == 0 and job.runs[run].state.ended)
            returned = redis.lrange(f"lrserve:runs:{job_id}:returned", 0, -1)
            assert returned == [f"{job_id}/{shard_id}" for shard_id in job.returned]

    @invariant()
    def each_experiment_is_in_its_place(self) -> None:
        redis = self.store._redis
        assert redis.zrange(f"lrserve:queue:{QUEUE}", 0, -1) == self.queue()
        held = {
            f"{job_id}/{shard_id}"
            for job_id, job in self.experiments.items()
            for shard_id, shard in job.shards.items()
            if shard.token
        }
        assert set(redis.zrange("lrserve:leases", 0, -1)) == held
        for job_id, job in self.experiments.items():
            assert redis.smembers(f"lrserve:runs:{job_id}:held") == {f"{job_id}/{p}" for p in job.shards} & held
            kinds = [fields["type"] for _, fields in redis.xrange(f"lrserve:events:{job_id}")]
            assert kinds.count("end") == job.state.ended
            assert kinds.count("progress") <= 1
            assert kinds[-1] == "end" or not job.state.ended

    def teardown(self) -> None:
        """When all that is left is resumed and finished, every run has ended."""
        for job_id, job in self.experiments.items():
            if not job.state.ended:
                self.store.resume(job_id)
        for worker in WORKERS:
            self.store.abandon(worker, 1000)
        while claim := self.store.claim([QUEUE], "a", LEASE, RUNS):
            self.store.finish(claim, State.SUCCEEDED)
        for job_id, job in self.experiments.items():
            ended = self.store.get(job_id)
            assert ended.state.ended
            views = self.store.runs(job_id)
            if ended.state is not State.CANCELLED:
                assert len(views) == job.count
                assert all(view.state.ended for view in views.values())


@pytest.mark.drawn
def test_the_store_is_its_model() -> None:
    run_machine(ExperimentMachine, 100)
