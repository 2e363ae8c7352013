"""Anything, at any time, in any order; then nothing more, and everything must come to its end."""

from __future__ import annotations

import os
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable

import pytest

from lrcore.jobs.states import State
from tests.conftest import until
from tests.faults.harness import Rig, Trial, job_of, wait

ROUNDS = int(os.environ.get("FAULTS_ROUNDS", "200"))
JOBS = 50
SEEDS = 8  # different jobs among them
WAITING = 5  # jobs that are there at least, as long as there are any left to submit
EPOCHS = 16
WORKERS = 3


class Chance:
    """The faults that chance picks from, and what they hit."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self.rig, self.chance = rig, chance
        self.done: Counter[str] = Counter()
        self.hit: Counter[str] = Counter()
        self.sent = 0
        self.frozen: dict[str, float] = {}
        self.faults: dict[Callable[[], None], int] = {
            self.kill_worker: 5,
            self.freeze_worker: 4,
            self.end_worker: 4,
            self.kill_redis: 2,
            self.freeze_redis: 3,
            self.kill_api: 2,
            self.lose_messages: 2,
            self.notify: 2,
            self.cancel: 1,
            self.pause: 3,
            self.resume: 3,
            self.reprioritize: 2,
            self.submit: 2,
        }

    def round(self) -> None:
        """One fault, and a second in all."""
        ends = time.monotonic() + 1.0
        self.top_up()
        fault = self.chance.choices(list(self.faults), list(self.faults.values()))[0]
        busy = self.rig.ask(self.rig.busy)
        name = fault.__name__.replace("_", " ")
        self.done[name] += 1
        self.hit[name] += bool(busy)
        fault()
        while True:
            self.thaw(time.monotonic())
            self.rig.supervise()
            if time.monotonic() >= ends:
                return
            time.sleep(0.02)

    def settle(self) -> None:
        """Leave everything alone, but for what waits for a client."""
        self.thaw(float("inf"))
        self.rig.revive()
        while self.sent < JOBS or self.unanswered:
            self.submit()
            self.rig.supervise()
        until(lambda: all(self.rig.ask(lambda job=job: self.resumed(job)) for job in self.rig.jobs))
        self.rig.all_ended(240)

    def resumed(self, job: str) -> bool:
        if self.rig.client.job(job).state == State.PAUSED:
            self.rig.client.resume(job)
        return True

    def thaw(self, now: float) -> None:
        for name in [name for name, until_ in self.frozen.items() if until_ <= now]:
            del self.frozen[name]
            self.rig.thaw(name)

    def worker(self) -> str:
        """Mostly one that holds a job."""
        busy = sorted(self.rig.ask(self.rig.busy) or ())
        return self.chance.choice(busy if busy and self.chance.random() < 0.8 else self.rig.workers)

    def job(self, *states: State) -> str | None:
        """A job in one of the states, if there is one."""
        known = self.rig.ask(lambda: [job for job in self.rig.jobs if self.rig.state(job) in states])
        return self.chance.choice(known) if known else None

    # the faults

    def kill_worker(self) -> None:
        self.rig.kill(self.worker())

    def freeze_worker(self) -> None:
        name = self.worker()
        if self.rig.service.process(name).poll() is None:
            self.rig.freeze(name)
            self.frozen[name] = time.monotonic() + self.chance.uniform(0.2, 5.0)

    def end_worker(self) -> None:
        self.rig.service.process(self.worker()).terminate()

    def kill_redis(self) -> None:
        self.rig.kill("redis")

    def freeze_redis(self) -> None:
        self.rig.freeze("redis")
        time.sleep(self.chance.choice([0.1, 0.5, 1.0, 2.5]))
        self.rig.thaw("redis")

    def kill_api(self) -> None:
        self.rig.kill("api")

    def lose_messages(self) -> None:
        self.rig.ask(self.rig.delete_messages)

    def notify(self) -> None:
        self.rig.try_notify(50)

    def cancel(self) -> None:
        if job := self.job(State.RUNNING, State.QUEUED, State.PAUSED):
            self.rig.ask(lambda: self.rig.client.cancel(job))

    def pause(self) -> None:
        if job := self.job(State.RUNNING, State.QUEUED):
            self.rig.ask(lambda: self.rig.client.pause(job))

    def resume(self) -> None:
        if job := self.job(State.PAUSED):
            self.rig.ask(lambda: self.rig.client.resume(job))

    def reprioritize(self) -> None:
        if job := self.job(State.QUEUED, State.RUNNING):
            priority = {"priority": self.chance.randrange(10)}
            self.rig.ask(lambda: self.rig.service.http.patch(f"/v1/jobs/{job}", json=priority))

    unanswered: str | None = None

    def submit(self) -> None:
        """Another job, or the last one again if it was not answered: with its key, so that it is made once."""
        if self.unanswered is None:
            if self.sent == JOBS:
                return
            self.unanswered, self.sent = f"job-{self.sent}", self.sent + 1
        spec = job_of(EPOCHS, seed=int(self.unanswered.split("-")[1]) % SEEDS)
        if self.rig.submit_as(self.unanswered, spec):
            self.unanswered = None

    def top_up(self) -> None:
        there = self.rig.ask(lambda: sum(self.rig.state(job) in ("queued", "running") for job in self.rig.jobs))
        if there is not None and there < WAITING:
            for _ in range(WAITING - there):
                self.submit()


@pytest.mark.faults("random rounds")
@pytest.mark.timeout(1200)
def test_whatever_happens_no_job_is_lost_and_none_is_doubled(trial: Trial) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or secrets.randbelow(2**32))
    trial.row.fault += f", FAULTS_SEED={seed}"
    print(f"FAULTS_SEED={seed}", flush=True)
    with trial.service(WORKERS, lease_seconds=1.5, max_losses=10_000) as rig:
        chance = Chance(rig, random.Random(seed))
        for _ in range(ROUNDS):
            chance.round()
            rig.row.rounds += 1
        wait(rig, 0.0)
        began = time.monotonic()
        chance.settle()

        rig.row.notes += [
            f"{sum(chance.hit.values())} of {ROUNDS} faults came while a job was running, by kind: "
            + ", ".join(f"{name} {chance.hit[name]}/{n}" for name, n in sorted(chance.done.items())),
            f"settled {time.monotonic() - began:.0f} s after the last fault",
        ]
        listed = rig.service.http.get("/v1/jobs?limit=100").json()["jobs"]
        assert sorted(job["id"] for job in listed) == sorted(rig.jobs)
        assert len(rig.jobs) == JOBS
        states = Counter(job["state"] for job in listed)
        rig.row.notes.append(str(dict(states)))
        assert set(states) <= {"succeeded", "cancelled"}
        assert sum(chance.hit.values()) > ROUNDS / 2, "most faults came when nothing ran"
