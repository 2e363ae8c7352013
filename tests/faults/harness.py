"""A running lrserve to which things happen, and what must be true of every job afterwards, whatever happened."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import httpx
from redis import Redis
from redis.exceptions import RedisError

from lrcore.jobs.job import Epoch, Job
from lrcore.jobs.states import MOVES, RunState, State
from lrcore.service.settings import Settings
from lrcore.store.connection import connect
from lrcore.store.queue import QUEUE, broker_list
from lrserve.api.notifier import Notifier
from lrserve.client import ApiError
from tests.conftest import Service, running_service, until
from tests.factories import job_spec

T = TypeVar("T")
Spec = dict[str, Any]
Figures = list[dict[str, Any]]

# what kills workers here is not the job: it may lose as many as it did when its worker was somewhere else
QUICK = {"lease_seconds": 2, "heartbeat_seconds": 0.05, "reap_seconds": 0.2, "max_kills": 10_000}


def job_of(epochs: int, seed: int = 0, **changes: Any) -> Spec:
    """A job with epochs of about a tenth of a second: 32 steps, each with a rate and a momentum of its own."""
    return (
        job_spec(
            dataset={"type": "fake", "samples": 1000, "test_samples": 100, "image_size": 28},
            optimizer={"type": "SGD", "lr": 0.05, "momentum": 0.9},
            schedule={"type": "CosineAnnealingLR", "T_max": 32 * epochs},
            interval="step",
            epochs=epochs,
            batch_size=32,
            seed=seed,
        )
        | changes
    )


LONG = job_of(40)
SHORT = job_of(5)


@dataclass
class Row:
    """A fault's line in the table."""

    fault: str
    rounds: int = 0
    jobs: int = 0
    attempts: int = 0
    epochs_once: bool | None = None
    bit_for_bit: bool | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


class Reference:
    """What jobs come to when nothing happens to them, each computed once."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: dict[str, Figures] = {}
        self._runs: dict[str, list[Figures]] = {}

    def of(self, spec: Spec) -> Figures:
        name = json.dumps(spec, sort_keys=True)
        if name not in self._known:
            job = self._service.train(spec)
            assert (job.state, job.attempt) == ("succeeded", 1), job
            self._known[name] = figures(self._service.client.metrics(job.id))
        return self._known[name]

    def of_runs(self, spec: Spec) -> list[Figures]:
        """The same of each run of an experiment."""
        name = json.dumps(spec, sort_keys=True)
        if name not in self._runs:
            job = self._service.ended(self._service.client.submit(spec).id, 600)
            assert (job.state, job.losses) == ("succeeded", 0), job
            self._runs[name] = [figures(run.epochs) for run in runs_of(self._service, job.id)]
        return self._runs[name]

    def known(self, spec: Spec, figures: Figures) -> None:
        """Say what a job comes to that need not be run for that."""
        self._known[json.dumps(spec, sort_keys=True)] = figures


def figures(epochs: list[Epoch]) -> Figures:
    """Everything about the epochs but the time they took."""
    return [epoch.model_dump(exclude={"seconds"}) for epoch in epochs]


@dataclass(frozen=True)
class RunOf:
    """A run of an experiment as clients see it."""

    state: RunState
    epochs: list[Epoch]


def runs_of(service: Service, job_id: str) -> list[RunOf]:
    """All runs of an experiment."""
    found = []
    for run in service.http.get(f"/v1/experiments/{job_id}").json()["runs"]:
        one = service.http.get(f"/v1/experiments/{job_id}/runs/{run['run']}").json()
        found.append(RunOf(RunState(one["state"]), [Epoch.model_validate(row) for row in one["epochs"]]))
    return found


@dataclass(frozen=True)
class Event:
    """An entry of a job's stream, with the milliseconds at which Redis took it in."""

    at: int
    type: str
    data: dict[str, Any]


class Rig:
    """A running lrserve, and the jobs that it has accepted."""

    def __init__(self, service: Service, row: Row) -> None:
        self.service, self.client, self.row = service, service.client, row
        self.jobs: dict[str, Spec] = {}
        self.redis = connect(self.redis_url)

    @property
    def redis_url(self) -> str:
        return next(s for s in self.service.stack.services if s.name == "api").environment["LRSERVE_REDIS_URL"]

    @property
    def home(self) -> Path:
        return self.service.stack.settings.home_folder

    @property
    def workers(self) -> list[str]:
        return [s.name for s in self.service.stack.services if s.name.startswith("worker")]

    # what clients do

    def submit(self, spec: Spec = LONG) -> str:
        """A job that the service has accepted."""
        job_id = self.client.submit(spec).id
        self.jobs[job_id] = spec
        return job_id

    def submit_as(self, key: str, spec: Spec) -> str | None:
        """The same with an Idempotency-Key; None if there was no answer, or none that accepts it."""
        try:
            answer = self.service.http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": key}, timeout=10)
        except httpx.TransportError:
            return None
        if answer.status_code != 202:
            return None
        job_id = str(answer.json()["id"])
        self.jobs[job_id] = spec
        return job_id

    def ask(self, what: Callable[[], T]) -> T | None:
        """What a client gets; None if it is refused or there is no answer."""
        try:
            return what()
        except (ApiError, RedisError, httpx.TransportError):
            return None

    def ended(self, job_id: str, seconds: float = 120.0) -> Job:
        """The job, once it has ended, while what dies is started again."""

        def check() -> Job | None:
            self.supervise()
            job = self.ask(lambda: self.client.job(job_id))
            return job if job and job.state.ended else None

        return until(check, seconds)

    def all_ended(self, seconds: float = 120.0) -> list[Job]:
        return [self.ended(job_id, seconds) for job_id in list(self.jobs)]

    # where things stand

    def state(self, job_id: str) -> str | None:
        return self.redis.hget(f"lrserve:job:{job_id}", "state")

    def attempt(self, job_id: str) -> int:
        return int(self.redis.hget(f"lrserve:job:{job_id}", "attempt") or 0)

    def epochs(self, job_id: str) -> int:
        return int(self.redis.llen(f"lrserve:epochs:{job_id}"))

    def step(self, job_id: str) -> int:
        return int(json.loads(self.redis.hget(f"lrserve:job:{job_id}", "progress") or "{}").get("step", 0))

    def events(self, job_id: str) -> list[Event]:
        entries: Any = self.redis.xrange(f"lrserve:events:{job_id}")
        return [Event(int(at.split("-")[0]), fields["type"], json.loads(fields["data"])) for at, fields in entries]

    def now(self) -> int:
        """Milliseconds on Redis' clock, to compare with an event's."""
        seconds, microseconds = self.redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000

    def holder(self, job_id: str) -> str:
        """The service whose process holds the job."""
        name = until(lambda: self.redis.hget(f"lrserve:job:{job_id}", "worker"))
        return next(s.name for s in self.service.stack.services if s.command[-1] == name)

    def busy(self) -> set[str]:
        """The workers that hold a job now."""
        held: Any = self.redis.zrange("lrserve:leases", 0, -1)
        names = {self.redis.hget(f"lrserve:job:{job_id}", "worker") for job_id in held}
        return {s.name for s in self.service.stack.services if s.command[-1] in names}

    def in_mid_epoch(self, job_id: str, epochs: int = 2) -> None:
        """Wait until the present attempt has got somewhere inside an epoch, at least `epochs` further than now."""
        until(lambda: self.state(job_id) == "running")
        start = self.step(job_id)
        until(lambda: (step := self.step(job_id)) >= start + 32 * epochs and step % 32)

    # what happens to processes

    def pid(self, name: str) -> int:
        return self.service.process(name).pid

    def kill(self, *names: str) -> None:
        """End processes with no warning, all together."""
        processes = [self.service.process(name) for name in names]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait(10)

    def freeze(self, name: str) -> None:
        self.service.process(name).send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self.service.process(name).send_signal(signal.SIGCONT)

    def supervise(self) -> None:
        """Start what has ended again, as `lrserve up` does, but however often it ends."""
        for service in self.service.stack.services:
            service.failures, service.not_before = -1, 0.0
        self.service.stack.keep_running()

    def revive(self) -> None:
        """Start everything that has ended again, and wait until it answers."""

        def ready() -> bool:
            self.supervise()
            answer = self.ask(self.client.ready)
            return bool(answer and answer.workers)

        until(ready)

    def log(self) -> str:
        return self.service.log.read_text(errors="replace")

    # what happens on the broker

    def notify(self, times: int) -> None:
        notifier = Notifier(Settings(redis_url=self.redis_url))
        for _ in range(times):
            notifier.notify(QUEUE)

    def try_notify(self, times: int) -> None:
        """Send messages, if the broker can be reached."""
        with suppress(Exception):  # kombu raises its own and others'
            self.notify(times)

    def delete_messages(self) -> None:
        self.redis.delete(broker_list(QUEUE))


class Trial:
    """One fault's story: its service, and the check of all its jobs at the end."""

    def __init__(self, home: Path, row: Row, reference: Reference) -> None:
        self.home, self.row, self.reference = home, row, reference

    @contextmanager
    def service(self, workers: int = 1, **settings: Any) -> Iterator[Rig]:
        """An lrserve with short leases. When the story has been told, every accepted job is checked."""
        with running_service(self.home, workers, **(QUICK | settings)) as service:
            rig = Rig(service, self.row)
            try:
                yield rig
                self.check(rig)
            finally:
                self.row.jobs = len(rig.jobs)
                for each in service.stack.services:  # what is frozen cannot end
                    if each.process and each.process.poll() is None:
                        os.kill(each.process.pid, signal.SIGCONT)
                with suppress(RedisError):
                    rig.redis.close()

    def check(self, rig: Rig) -> None:
        """What must be true of all jobs. Each law is seen through before the next one is looked at."""
        self.row.rounds = self.row.rounds or 1
        self.row.epochs_once = self.row.bit_for_bit = None
        jobs = {job_id: rig.client.job(job_id) for job_id in rig.jobs}
        self.row.attempts = sum(job.attempt for job in jobs.values())
        runs = {job.id: runs_of(rig.service, job.id) for job in jobs.values() if job.kind == "experiment"}
        for job in jobs.values():
            if job.id in runs:
                every_run_ended_once(job, runs[job.id], rig.events(job.id))
            else:
                ended_once_or_goes_on(job, rig.events(job.id))
        indexes_agree(rig.redis, jobs)

        self.row.epochs_once = False
        epochs = {job_id: rig.client.metrics(job_id) for job_id in jobs if job_id not in runs}
        for job in jobs.values():
            events = [event for event in rig.events(job.id) if event.type == "epoch"]
            if job.id not in runs:
                every_epoch_once(job, epochs[job.id], events)
            for index, run in enumerate(runs.get(job.id, [])):
                every_epoch_once_in_a_run(job, index, run, events)
        self.row.epochs_once = True

        self.row.bit_for_bit = False
        for job in jobs.values():
            spec = rig.jobs[job.id]
            if job.id not in runs:
                as_if_undisturbed(job, epochs[job.id], self.reference.of(spec))
                continue
            for run, expected in zip(runs[job.id], self.reference.of_runs(spec), strict=True):
                as_if_undisturbed(job, run.epochs, expected)
        self.row.bit_for_bit = True


def ended_once_or_goes_on(job: Job, events: list[Event]) -> None:
    """The job has moved legally, one attempt after another, and has ended exactly once if it has ended."""
    moves = [(State(e.data["state"]), e.data["attempt"]) for e in events if e.type == "state"]
    states = [state for state, _ in moves]
    assert moves[0] == ("queued", 0), (job.id, moves)
    assert all(after in MOVES[before] for before, after in pairwise(states)), (job.id, moves)
    attempts = [attempt for state, attempt in moves if state == "running"]
    assert attempts == list(range(1, job.attempt + 1)), (job.id, moves)
    assert states[-1] == job.state, (job.id, moves, job.state)

    ends = [event.data["state"] for event in events if event.type == "end"]
    assert [state for state in states if state.ended] == ends, (job.id, moves, ends)
    assert ends == ([job.state] if job.state.ended else []), (job.id, moves, ends)
    assert not ends or events[-1].type == "end", (job.id, events[-1])


def every_run_ended_once(job: Job, runs: list[RunOf], events: list[Event]) -> None:
    """The experiment has ended once, after all of its runs, and each of them once."""
    published = [State(event.data["state"]) for event in events if event.type == "state"]
    assert published[0] == State.QUEUED, (job.id, published)
    assert all(after in MOVES[before] for before, after in pairwise(published)), (job.id, published)
    assert [event.data["state"] for event in events if event.type == "end"] == [job.state], (job.id, published)
    assert events[-1].type == "end", (job.id, events[-1])
    for index, run in enumerate(runs):
        moves = [RunState(e.data["state"]) for e in events if e.type == "run" and e.data["run"] == index]
        if not moves:  # no worker has ever had it
            assert (run.state, job.state) == (RunState.CANCELLED, State.CANCELLED), (job.id, index)
            continue
        assert [state for state in moves if state.ended] == [run.state], (job.id, index, moves)
        assert moves[-1] == run.state, (job.id, index, moves)


def indexes_agree(redis: Redis, jobs: dict[str, Job]) -> None:
    """Every job stands in the lists of its state, and in no other."""
    for name, belongs in {
        **{f"jobs:{state}": (lambda job, state=state: job.state == state) for state in State},
        "jobs": lambda job: True,
        f"queue:{QUEUE}": lambda job: job.state == "queued",
        "leases": lambda job: job.state == "running",
    }.items():
        listed: Any = redis.zrange(f"lrserve:{name}", 0, -1)
        assert sorted(listed) == sorted(job_id for job_id, job in jobs.items() if belongs(job)), name


def every_epoch_once(job: Job, epochs: list[Epoch], events: list[Event]) -> None:
    """The metrics have every epoch once, in order; and whoever has followed the events has the same ones."""
    assert [epoch.epoch for epoch in epochs] == list(range(len(epochs))), job.id
    assert job.state != "succeeded" or len(epochs) == job.progress.epochs, (job.id, len(epochs))
    followed: list[dict[str, Any]] = []
    for event in events:
        if event.type == "epoch":
            followed = [*followed[: event.data["epoch"]], event.data]
    assert [Epoch.model_validate(row) for row in followed] == epochs, job.id


def every_epoch_once_in_a_run(job: Job, index: int, run: RunOf, events: list[Event]) -> None:
    """The same of a run of an experiment, whose epochs are told among those of all runs."""
    assert [epoch.epoch for epoch in run.epochs] == list(range(len(run.epochs))), (job.id, index)
    epochs = job.spec["base"]["epochs"]
    assert run.state != RunState.SUCCEEDED or len(run.epochs) == epochs, (job.id, index, len(run.epochs))
    followed: list[dict[str, Any]] = []
    for data in (event.data for event in events if event.data["run"] == index):
        followed = [*followed[: data["epoch"]], {name: value for name, value in data.items() if name != "run"}]
    assert [Epoch.model_validate(row) for row in followed] == run.epochs, (job.id, index)


def as_if_undisturbed(job: Job, epochs: list[Epoch], reference: Figures) -> None:
    """Nothing in the figures, to the last bit, says that anything has happened."""
    got = figures(epochs)
    assert len(got) <= len(reference), job.id
    different = [e["epoch"] for e, expected in zip(got, reference, strict=False) if e != expected]
    assert not different, f"{job.id} differs from an undisturbed run in epochs {different}"


def wait(rig: Rig, seconds: float) -> None:
    """Let time pass, while what has ended is started again."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rig.supervise()
        time.sleep(0.05)
