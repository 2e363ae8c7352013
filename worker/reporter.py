"""The thread between a training loop and the store: keeps the lease, delivers reports, brings back what is wanted."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from lrcore.jobs.job import Best, Epoch, JobError, Progress
from lrcore.jobs.settings import Settings
from lrcore.jobs.states import State
from lrcore.jobs.store import Claim, JobStore, LeaseLost, start_of

log = logging.getLogger("lrserve.worker")


class Reporter:
    """Training never waits for Redis: reports queue up here, and are delivered in order when it answers."""

    def __init__(self, store: JobStore, claim: Claim, settings: Settings) -> None:
        self._store, self._claim, self._settings = store, claim, settings
        self._start = start_of(claim.spec)
        self._began: tuple[float, int] | None = None  # clock and step of this attempt's start
        self._step = 0
        self._running: tuple[float, float] | None = None
        self._reports: queue.SimpleQueue[Callable[[], str] | None] = queue.SimpleQueue()
        self._lost: LeaseLost | None = None
        self._broken: BaseException | None = None
        self.wanted = ""
        self._thread = threading.Thread(target=self._loop, name=f"reporter-{claim.id}", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def step(self, step: int) -> None:
        """`step` optimizer steps are done. Costs nothing: the thread looks when it beats."""
        self._step = step
        if self._began is None:
            self._began = (time.monotonic(), step)

    def running(self, step: int, loss: float, accuracy: float) -> None:
        """Mean loss and accuracy of the last steps, for the next beat."""
        self._running = loss, accuracy

    def epoch(self, epoch: Epoch, best: Best) -> None:
        """Hand over an epoch's figures."""
        lease = self._settings.lease_seconds
        self._reports.put(lambda: self._store.add_epoch(self._claim, lease, epoch, best))

    def must_stop(self) -> bool:
        """Whether the job was cancelled, paused or taken away."""
        return bool(self.wanted) or self._lost is not None or self._broken is not None

    def check(self) -> None:
        """Raise LeaseLost if the job was taken away."""
        if self._broken is not None:
            raise self._broken
        if self._lost is not None:
            raise self._lost

    def finish(self, state: State, error: JobError | None) -> None:
        """Deliver everything and end the job. Raises LeaseLost."""
        self._reports.put(self._beat)  # the progress of the last step
        self._reports.put(lambda: self._store.finish(self._claim, state, error))
        self.stop()
        self.check()

    def stop(self) -> None:
        """Deliver what is left and end the thread."""
        self._reports.put(None)
        self._thread.join()

    def progress(self) -> Progress | None:
        """How far the job is, with the time left at the pace of this attempt; None before training begins."""
        if self._began is None:
            return None
        step, steps = self._step, self._start.steps
        eta = None
        if step > self._began[1]:
            eta = (time.monotonic() - self._began[0]) / (step - self._began[1]) * (steps - step)
        return self._start.model_copy(
            update={
                "epoch": step // (steps // self._start.epochs),
                "step": step,
                "fraction": step / steps,
                "eta_seconds": None if eta is None else round(eta, 1),
                "train_loss": self._running and self._running[0],
                "train_accuracy": self._running and self._running[1],
            }
        )

    def _beat(self) -> str:
        return self._store.beat(self._claim, self._settings.lease_seconds, self.progress())

    def _loop(self) -> None:
        try:
            beat_at = time.monotonic() + self._settings.heartbeat_seconds
            while True:
                try:
                    report = self._reports.get(timeout=max(0.0, beat_at - time.monotonic()))
                except queue.Empty:
                    pass
                else:
                    if report is None:
                        return
                    self._deliver(report)
                if time.monotonic() >= beat_at:  # also when epochs come faster than heartbeats
                    self._deliver(self._beat)
                    beat_at = time.monotonic() + self._settings.heartbeat_seconds
        except LeaseLost as lost:
            self._lost = lost
        except BaseException as error:
            self._broken = error

    def _deliver(self, report: Callable[[], str]) -> None:
        """Make the call, as often as it takes Redis to answer."""
        pause = 0.1
        while True:
            try:
                self.wanted = report()
            except RedisError as error:
                log.warning("job=%s Redis does not answer, trying again: %s", self._claim.id, error)
                time.sleep(pause)
                pause = min(2 * pause, 2.0)
            else:
                return
