"""The story of a job in a worker: claim, train, finish. Holds no tensor and no Redis key."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

from lrcore.errors import DataUnavailable, MissingPackage
from lrcore.jobs.artifacts import ArtifactsUnavailable
from lrcore.jobs.job import JobError
from lrcore.jobs.settings import Settings
from lrcore.jobs.states import State
from lrcore.jobs.store import Claim, JobNotFound, JobStore, LeaseLost, StoreFault
from worker import artifacts
from worker.engine import Diverged, Hooks, Interrupted, Result, train
from worker.reporter import Reporter
from worker.tracking import track

log = logging.getLogger("lrserve.worker")

PAUSES = (1.0, 4.0, 15.0)  # seconds between attempts to reach the artifact root


class FilesNotKept(Exception):
    """A run succeeded, but what it has to leave behind cannot be written."""


class Runner:
    """Answers doorbells until it is told to drain.

    Args:
        name: the worker's name, the same after a restart.
    """

    def __init__(self, store: JobStore, settings: Settings, name: str) -> None:
        self.settings = settings
        self.name = name
        self._store = store
        self._draining = threading.Event()

    def drain(self) -> None:
        """Give the present job back between two steps, and take no other."""
        self._draining.set()

    def sweep(self) -> None:
        """Remove the folders of jobs that ended elsewhere, or while nobody held them. Raises RedisError."""
        for folder in self.folder("any").parent.glob("*"):
            try:
                ended = self._store.get(folder.name).state.ended
            except JobNotFound:  # perhaps another service's, or Redis has lost it: not ours to judge
                continue
            if ended:
                shutil.rmtree(folder, ignore_errors=True)

    def answer(self, queue: str) -> None:
        """Take the best waiting job of the queue, if there is one, and see it through."""
        if self._draining.is_set():
            return
        claim = self._store.claim(queue, self.name, self.settings.lease_seconds)
        if claim is None:
            return
        log.info("job=%s attempt=%d started", claim.id, claim.attempt)
        reporter = Reporter(self._store, claim, self.settings)
        reporter.start()
        try:
            state, error = self._see_through(claim, reporter)
        except LeaseLost as lost:  # the job is another worker's now, and so is its checkpoint
            log.warning("%s", lost)
            return
        finally:
            reporter.stop()
        log.info("job=%s attempt=%d %s", claim.id, claim.attempt, error.message if error else state)
        if state.ended:
            shutil.rmtree(self.folder(claim.id), ignore_errors=True)

    def _see_through(self, claim: Claim, reporter: Reporter) -> tuple[State, JobError | None]:
        """Train and deliver the end. Raises LeaseLost."""
        try:
            state, error = self._train(claim, reporter)
            reporter.finish(state, error)
        except StoreFault as fault:
            state, error = State.FAILED, JobError(type="error", message=str(fault))
            self._store.finish(claim, state, error)
        return state, error

    def folder(self, job_id: str) -> Path:
        """Where a job's checkpoint and weights lie until the job ends."""
        return self.settings.home_folder / "jobs" / job_id

    def _train(self, claim: Claim, reporter: Reporter) -> tuple[State, JobError | None]:
        """Train, and say how it ended. Only LeaseLost and StoreFault come out: a bad job must not end a worker."""
        hooks = Hooks(
            step=reporter.step,
            running=reporter.running,
            epoch=reporter.epoch,
            stop=lambda: self._draining.is_set() or reporter.must_stop(),
        )
        folder = self.folder(claim.id)
        try:
            artifacts.check(claim.spec)
            result = train(claim.spec, data_root=self.settings.data_folder, hooks=hooks, folder=folder)
            self._keep(claim, reporter, result)
        except Interrupted:
            reporter.check()
            wanted = {"cancel": State.CANCELLED, "pause": State.PAUSED}
            return wanted.get(reporter.wanted, State.QUEUED), None
        except DataUnavailable as error:
            return State.FAILED, JobError(type="data_unavailable", message=str(error))
        except MissingPackage as error:
            return State.FAILED, JobError(type="missing_package", message=str(error))
        except Diverged as error:
            return State.FAILED, JobError(type="diverged", message=str(error))
        except LeaseLost:
            raise
        except Exception as error:  # whatever else a model or a device can do
            log.exception("job=%s failed", claim.id)
            kind = "out_of_memory" if "OutOfMemory" in type(error).__name__ else "error"
            return State.FAILED, JobError(type=kind, message=f"{type(error).__name__}: {error}"[:2000])
        return State.SUCCEEDED, None

    def _keep(self, claim: Claim, reporter: Reporter, result: Result) -> None:
        """Write the job's files and copy them to where they stay.

        Raises:
            FilesNotKept: one of them cannot be written.
            Interrupted: the worker is to end before the artifact root is back.
            LeaseLost: the job is another worker's now.
        """
        folder = self.folder(claim.id)
        try:
            artifacts.write(folder, claim.spec, result.epochs, result.best)
            self._publish(claim, reporter, folder)
        except (Interrupted, LeaseLost):
            raise
        except Exception as error:
            raise FilesNotKept(f"the run succeeded, but its files cannot be written: {error}") from error
        track(folder, claim.spec, result.epochs, result.best, claim.id)

    def _publish(self, claim: Claim, reporter: Reporter, folder: Path) -> None:
        for pause in (*PAUSES, None):
            reporter.check()  # a worker that was only frozen must not write over its successor's files
            try:
                return artifacts.publish(folder, self.settings.artifact_url, claim.id)
            except ArtifactsUnavailable as error:
                if pause is None:
                    raise
                log.warning("job=%s the artifact root does not answer, trying again: %s", claim.id, error)
            if self._draining.wait(pause):
                raise Interrupted
