"""The story of a job in a worker: claim, train, finish. Holds no tensor and no Redis key."""

from __future__ import annotations

import contextlib
import functools
import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from lrcore import plugins
from lrcore.errors import DataUnavailable, LrcoreError, MissingPackage
from lrcore.jobs.job import JobError
from lrcore.jobs.job_spec import JobSpec
from lrcore.jobs.states import State
from lrcore.service import logs, traces
from lrcore.service.artifacts import ArtifactsUnavailable
from lrcore.service.settings import Settings
from lrcore.store.client import ClientStore
from lrcore.store.connection import RedisConnectionError, RedisError, RedisTimeoutError
from lrcore.store.errors import JobExists, JobNotFound, JobTooLarge, LeaseLost, LimitReached, StoreFault, StoreFull
from lrcore.store.format import StoreTooNew
from lrcore.store.lease import LeaseStore
from lrcore.store.queue import QUEUE, broker_queue
from lrcore.store.records import Claim

from . import artifacts
from .engine import Diverged, Interrupted, OutOfMemory
from .executors import EXECUTORS, FinishedJob
from .preparing import Stopped, interruptible
from .reporter import Reporter

log = logging.getLogger("lrserve.worker")

KNOWN: dict[type[Exception], str] = {
    DataUnavailable: "data_unavailable",
    MissingPackage: "missing_package",
    Diverged: "diverged",
    LimitReached: "limit_reached",
    JobTooLarge: "limit_reached",
    OutOfMemory: "out_of_memory",
}
FINAL = (Diverged, MissingPackage, OutOfMemory)  # what another attempt would only repeat
PAUSES = (1.0, 4.0, 15.0)  # seconds between attempts to reach the artifact root
CLAIM_SECONDS = 1.0  # between two claims while Redis does not answer
SWEEP_SECONDS = 60.0  # between two searches for folders of jobs that ended while no worker had them


class FilesNotKept(Exception):
    """A run succeeded, but the files that it must leave cannot be written."""


class Runner:
    """Takes a waiting job at each notification, until `drain` is called.

    Args:
        clients: where a job that follows from another one is submitted.
        name: the worker's name, the same after a restart.
        queues: those whose jobs it takes.
        notify: announces a job of a queue to other workers; may raise anything.
        most_runs: of an experiment, that it takes at once.
    """

    def __init__(
        self,
        store: LeaseStore,
        clients: ClientStore,
        settings: Settings,
        name: str,
        queues: Sequence[str] = (QUEUE,),
        notify: Callable[[str], None] = lambda queue: None,
        most_runs: int = 1,
    ) -> None:
        self.settings = settings
        self._most_runs = most_runs
        self.name = name
        self.queues = tuple(queues)
        self._plugins = tuple(map(str, plugins.load()))
        self._store, self._clients, self._notify = store, clients, notify
        self._draining = threading.Event()
        self._swept_at = time.monotonic()  # a worker begins with it
        self._reporter_lock = threading.Lock()
        self._reporter: Reporter | None = None
        self._trained: tuple[int, float] = 0, 0.0  # by jobs that are over

    def trained(self) -> tuple[bool, int, float]:
        """Whether there is a job; steps and images that were trained so far, over all jobs. From any thread."""
        with self._reporter_lock:
            steps, images = self._reporter.trained() if self._reporter else (0, 0.0)
            return self._reporter is not None, self._trained[0] + steps, self._trained[1] + images

    def drain(self) -> None:
        """Give the present job back between two steps, and take no other."""
        self._draining.set()

    def sweep(self) -> None:
        """Remove the folders of jobs that ended elsewhere, or while nobody held them. Raises RedisError."""
        self._swept_at = time.monotonic()
        for folder in self.folder("any").parent.glob("*"):
            try:
                ended = self._store.get(folder.name).state.ended
            except JobNotFound:  # perhaps another service's, or Redis has lost it: not ours to judge
                continue
            if ended:
                shutil.rmtree(folder, ignore_errors=True)

    def answer(self, queue: str) -> None:
        """Take the best job that waits in any of the worker's queues, if there is one, and run it to its end.

        Args:
            queue: the one that the message came through.
        """
        if self._draining.is_set():
            return
        try:
            claim = self._claim()
        except StoreTooNew as newer:
            log.error("%s", newer)
            return
        if claim is None:
            return
        if broker_queue(claim.queue) != broker_queue(queue):
            self._pass_on(queue)
        if claim.more:
            self._pass_on(claim.queue)
        with logs.bound(job=claim.id, attempt=claim.attempt):
            self._take(claim)

    def _claim(self) -> Claim | None:
        """Take a job. The message is spent: if Redis does not answer, it is asked again. Raises StoreTooNew."""
        lease, most_runs = self.settings.lease_seconds, self._most_runs
        while True:
            try:
                return self._store.claim(self.queues, self.name, lease, most_runs, self._plugins)
            except (RedisConnectionError, RedisTimeoutError) as error:
                log.warning("Redis does not answer, asking for a job again: %s", error)
            if self._draining.wait(CLAIM_SECONDS):
                return None

    def _take(self, claim: Claim) -> None:
        """Run the job to its end, as part of the trace of the request that made it."""
        log.info("started")
        about = {"job": claim.id, "attempt": claim.attempt, "worker": self.name, "queue": claim.queue}
        if claim.trace and all(claim.waited):
            began, ended = claim.waited
            traces.past("queue", began / 1000, ended / 1000, claim.trace, job=claim.id, queue=claim.queue)
        with traces.work(f"attempt {claim.spec.kind}", claim.trace, **about) as span:
            make = EXECUTORS[type(claim.spec)].reporter
            reporter = make(self._store, claim, self.settings, self._draining)
            reporter.start()
            with self._reporter_lock:
                self._reporter = reporter
            try:
                state, error = self._run_to_end(claim, reporter)
            except LeaseLost as lost:  # the job is another worker's now, and so is its checkpoint
                log.warning("%s", lost)
                return
            finally:
                reporter.stop()
                self._over(reporter)
            if span is not None:
                span.set_attribute("lrserve.state", str(state))
        log.info("%s", error.message if error else state)
        if state.ended:
            shutil.rmtree(self.folder(claim.id), ignore_errors=True)
        if time.monotonic() - self._swept_at > SWEEP_SECONDS:
            with contextlib.suppress(RedisError):
                self.sweep()

    def _over(self, reporter: Reporter) -> None:
        with self._reporter_lock:
            steps, images = reporter.trained()
            self._reporter, self._trained = None, (self._trained[0] + steps, self._trained[1] + images)

    def _pass_on(self, queue: str) -> None:
        """Replace a queue's message that was spent on a job of another queue, which has a message of its own."""
        try:
            self._notify(queue)
        except Exception as error:  # kombu raises its own and redis'
            log.warning("could not announce a job of queue %s, the reaper will: %s", queue, error)

    def _run_to_end(self, claim: Claim, reporter: Reporter) -> tuple[State, JobError | None]:
        """Train and deliver the end. Raises LeaseLost."""
        try:
            state, error, again = self._train(claim, reporter)
            state = reporter.finish(state, error, again=again)
        except StoreFault as fault:
            state, error = State.FAILED, JobError(type="error", message=str(fault))
            self._store.finish(claim, state, error)
        return state, error

    def folder(self, job_id: str) -> Path:
        """Where a job's checkpoint and weights lie until the job ends."""
        return self.settings.job_folder(job_id)

    def _train(self, claim: Claim, reporter: Reporter) -> tuple[State, JobError | None, bool]:
        """Train. Only LeaseLost and StoreFault come out: a bad job must not end a worker.

        Returns the state that the job comes to, its error, and whether another attempt may succeed.
        """

        def stop() -> bool:
            stopping = reporter.must_stop() or self._draining.is_set()
            reporter.check()  # before the engine writes a checkpoint: a lost job's is its next worker's
            return stopping

        def preparing() -> AbstractContextManager[None]:
            return interruptible(lambda: self._draining.is_set() or reporter.stopping())

        folder = self.folder(claim.id)
        try:
            run = EXECUTORS[type(claim.spec)].run
            hooks = reporter.hooks(stop, preparing)
            outcome = run(claim.spec, claim.id, data_root=self.settings.data_folder, hooks=hooks, folder=folder)
            self._keep(claim, reporter, outcome)
            if outcome.then:
                self._submit(claim, reporter, *outcome.then)
            reporter.result = outcome.result
        except (Interrupted, Stopped):
            reporter.check()
            return State.QUEUED, None, False  # or where it is wanted: the store knows
        except tuple(KNOWN) as error:
            return State.FAILED, JobError(type=KNOWN[type(error)], message=str(error)), not isinstance(error, FINAL)
        except LeaseLost:
            raise
        except Exception as error:  # whatever else a model or a device can do
            log.exception("failed")
            return State.FAILED, JobError(type=_kind(error), message=_text(error)), True
        return State.SUCCEEDED, None, False

    def _keep(self, claim: Claim, reporter: Reporter, outcome: FinishedJob) -> None:
        """Write the job's files and copy them to where they stay.

        Raises:
            FilesNotKept: one of them cannot be written.
            Interrupted: the worker is to end before the artifact root is back.
            LeaseLost: the job is another worker's now.
        """
        if outcome.write is None:
            return
        folder = self.folder(claim.id)
        reporter.confirm()
        try:
            with traces.span("artifacts"):
                outcome.write(folder)
                self._publish(claim, reporter, folder)
        except (Interrupted, LeaseLost):
            raise
        except Exception as error:
            raise FilesNotKept(f"the run succeeded, but its files cannot be written: {error}") from error
        outcome.logged(folder)

    def _submit(self, claim: Claim, reporter: Reporter, job_id: str, spec: JobSpec) -> None:
        """Submit a job with the options of the present one, unless it is there already.

        Raises:
            Interrupted: the present one is to stop.
            LeaseLost: it is another worker's now.
            StoreFull, LimitReached, JobTooLarge: nothing was stored.
        """
        full: list[LrcoreError] = []

        def put() -> None:
            try:
                job = self._store.get(claim.id)
                self._clients.of(job.tenant).put(job_id, spec, job.options)
            except JobExists:  # a lost worker's, whose device rounds otherwise
                pass
            except (StoreFull, LimitReached, JobTooLarge) as error:
                full.append(error)

        reporter.while_held(put)
        if reporter.stopping():
            raise Interrupted
        if full:
            raise full[0]
        self._pass_on(claim.queue)

    def _publish(self, claim: Claim, reporter: Reporter, folder: Path) -> None:
        for pause in (*PAUSES, None):
            reporter.confirm()  # a worker that was only frozen must not write over its successor's files
            try:
                artifacts.publish(folder, self.settings.artifact_url, claim.id)
                size = sum(file.stat().st_size for file in artifacts.files(folder))
                return reporter.while_held(functools.partial(self._store.set_stored_bytes, claim, size))
            except ArtifactsUnavailable as error:
                if pause is None:
                    raise
                log.warning("the artifact root does not answer, trying again: %s", error)
            if self._draining.wait(pause):
                raise Interrupted


def _kind(error: Exception) -> str:
    """What is the matter, in a word that programs can read."""
    # torch has no class of its own for a CPU's
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__ or "DefaultCPUAllocator" in str(error):
        return "out_of_memory"
    return "disk_full" if "No space left" in str(error) else "error"


def _text(error: Exception) -> str:
    """What an error says, as text that JSON can carry."""
    return f"{type(error).__name__}: {error}"[:2000].encode("utf-8", "replace").decode()
