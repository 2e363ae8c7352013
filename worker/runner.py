"""The story of a job in a worker: claim, train, finish. Holds no tensor and no Redis key."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

from lrcore.errors import DataUnavailable
from lrcore.jobs.job import JobError
from lrcore.jobs.settings import Settings
from lrcore.jobs.states import State
from lrcore.jobs.store import Claim, JobStore, LeaseLost, StoreFault
from worker.engine import Diverged, Hooks, Interrupted, train
from worker.reporter import Reporter

log = logging.getLogger("lrserve.worker")

CHECKPOINT = "checkpoint.safetensors"


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
        """Where a job's checkpoint lies until the job ends."""
        return self.settings.home_folder / "jobs" / job_id

    def _train(self, claim: Claim, reporter: Reporter) -> tuple[State, JobError | None]:
        """Train, and say how it ended. Only LeaseLost and StoreFault come out: a bad job must not end a worker."""
        hooks = Hooks(
            step=reporter.step,
            epoch=reporter.epoch,
            stop=lambda: self._draining.is_set() or reporter.must_stop(),
        )
        checkpoint = self.folder(claim.id) / CHECKPOINT
        try:
            train(claim.spec, data_root=self.settings.data_folder, hooks=hooks, checkpoint=checkpoint)
        except Interrupted:
            reporter.check()
            return (State.CANCELLED if reporter.cancelled else State.QUEUED), None
        except DataUnavailable as error:
            return State.FAILED, JobError(type="data_unavailable", message=str(error))
        except Diverged as error:
            return State.FAILED, JobError(type="diverged", message=str(error))
        except LeaseLost:
            raise
        except Exception as error:  # whatever else a model or a device can do
            log.exception("job=%s failed", claim.id)
            kind = "out_of_memory" if "OutOfMemory" in type(error).__name__ else "error"
            return State.FAILED, JobError(type=kind, message=f"{type(error).__name__}: {error}"[:2000])
        return State.SUCCEEDED, None
