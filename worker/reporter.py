"""The thread between a training loop and the store: keeps the lease, delivers reports, brings back what is wanted."""

from __future__ import annotations

import contextvars
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from lrcore.jobs.job import Best, Epoch, JobError, Progress
from lrcore.jobs.states import State
from lrcore.service import exits, traces
from lrcore.service.settings import Settings
from lrcore.store.connection import RedisError
from lrcore.store.errors import Gap, LeaseLost
from lrcore.store.format import StoreTooNew
from lrcore.store.lease import DRAINING, LeaseStore
from lrcore.store.records import Claim

from .engine.hooks import Hooks
from .engine.memory import memory_held

log = logging.getLogger("lrserve.worker")

Preparing = Callable[[], AbstractContextManager[object]]


class Reporter:
    """Training never waits for Redis: reports queue up here, and are delivered in order when it answers.

    Args:
        draining: set once the process is to end: from then on Redis is not waited for.
    """

    def __init__(self, store: LeaseStore, claim: Claim, settings: Settings, draining: threading.Event) -> None:
        self._store, self._claim, self._settings, self._draining = store, claim, settings, draining
        self._began: tuple[float, int] | None = None  # clock and step of this attempt's start
        self._step = 0
        self._running: tuple[float, float] | None = None
        self._reported: list[tuple[Epoch, Best]] = []
        # no SimpleQueue: where a signal comes to a thread that waits in its `get`, and the time is over, it waits for
        # ever (CPython 3.11 and 3.12), as in a process that is asked to end and then thawed
        self._reports: queue.Queue[Callable[[], str] | None] = queue.Queue()
        self._failure: BaseException | None = None  # that ended the thread: LeaseLost, or what nobody expects
        self._asked_at = time.monotonic()  # when Redis was asked last, whether or not it answered
        self._signs, self._seen, self._moved_at = 0, (0, 0.0), time.monotonic()
        self._trains = False  # else it prepares, or keeps files
        self._finished = False
        self.wanted, self.result = "", ""  # the latter: of the job, as JSON, for `finish`
        # with the context of who made it, which says in logs and traces what it works on
        run = contextvars.copy_context().run
        self._thread = threading.Thread(target=run, args=(self._loop,), name=f"reporter-{claim.id}", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def step(self, step: int) -> None:
        """`step` optimizer steps are done. Costs nothing: the thread looks when it beats; at once for the first."""
        self._step = step
        if self._began is None:
            self._began = (time.monotonic(), step)
        elif step == self._began[1] + 1:
            self._reports.put(self._beat)

    def running(self, step: int, loss: float, accuracy: float) -> None:
        """Mean loss and accuracy of the last steps, for the next beat."""
        self._running = loss, accuracy

    def epoch(self, epoch: Epoch, best: Best) -> None:
        """Hand over an epoch's figures."""
        if self._began is not None:  # else it was trained by an earlier attempt
            now = time.time()
            seconds = min(epoch.seconds, time.monotonic() - self._began[0])
            traces.past("epoch", now - seconds, now, epoch=epoch.epoch)
        index = len(self._reported)
        self._reported.append((epoch, best))
        self._reports.put(lambda: self._report_epoch(index))

    def saved(self) -> None:
        """A checkpoint was written: say what the job takes on this worker's disk."""
        folder = self._settings.job_folder(self._claim.id)
        try:
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        except OSError:  # a disk that does not answer; the next checkpoint may do better
            return

        def record() -> str:
            self._store.set_checkpoint_bytes(self._claim, size)
            return self.wanted

        self._reports.put(record)

    def must_stop(self) -> bool:
        """Whether the job was cancelled, paused or taken away. Every call is a sign that work goes on.

        A process that was frozen for longer than its lease first asks whose the job is: what it would write
        meanwhile, a checkpoint say, might be over that of its successor.
        """
        self._signs, self._trains = self._signs + 1, True
        while not self._over() and time.monotonic() - self._asked_at > self._settings.lease_seconds:
            time.sleep(0.01)
        return self.stopping()

    def stopping(self) -> bool:
        """What `must_stop` says, from another thread than the one that works."""
        return bool(self.wanted) or self._over()

    def confirm(self) -> None:
        """Return once Redis has said that the job is still this worker's. Raises LeaseLost."""
        self.while_held(lambda: None)

    def while_held(self, call: Callable[[], None]) -> None:
        """Make a call to Redis, again if it does not answer, unless the job is to stop. Raises LeaseLost."""
        done, self._trains = threading.Event(), False

        def beat() -> str:
            wanted = self._beat()
            if not wanted:
                call()
            done.set()
            return wanted

        self._reports.put(beat)
        while not self._over() and not done.wait(0.05):
            self._signs += 1  # Redis is away, the worker is well
        self.check()

    def check(self) -> None:
        """Raise LeaseLost if the job was taken away."""
        if self._failure is not None:
            raise self._failure

    def finish(self, state: State, error: JobError | None, *, again: bool = False) -> State:
        """Deliver everything and end the job; arguments and result as of LeaseStore.finish. Raises LeaseLost."""
        went = state

        def end() -> str:
            nonlocal went
            went = self._store.finish(self._claim, state, error, again=again, result=self.result)
            self._finished = True
            return self.wanted

        self._reports.put(self._beat)  # the progress of the last step
        self._reports.put(end)
        self.stop()
        self.check()
        return went

    def hooks(self, stop: Callable[[], bool], preparing: Preparing) -> Any:
        """What the kind's run calls: Hooks with these two."""
        return Hooks(
            step=self.step,
            running=self.running,
            epoch=self.epoch,
            stop=stop,
            saved=self.saved,
            preparing=preparing,
        )

    def stop(self) -> None:
        """Deliver what is left and end the thread."""
        self._reports.put(None)
        self._thread.join()

    def progress(self) -> Progress | None:
        """How far the job is, with the time left at the pace of this attempt; None before training begins."""
        if self._began is None:
            return None
        step, eta = self._step, None
        now = self._claim.spec.progress(step)
        if step > self._began[1]:
            eta = (time.monotonic() - self._began[0]) / (step - self._began[1]) * (now.steps - step)
        return now.model_copy(
            update={
                "eta_seconds": None if eta is None else round(eta, 1),
                "train_loss": self._running and self._running[0],
                "train_accuracy": self._running and self._running[1],
            }
        )

    def trained(self) -> tuple[int, float]:
        """Optimizer steps of this attempt, all runs together, and the images that went into them. From any thread."""
        steps = self._step - self._began[1] if self._began else 0
        return steps, steps * self._claim.spec.images_per_step

    def _over(self) -> bool:
        return self._failure is not None

    def _beat(self) -> str:
        return self._store.beat(self._claim, self._settings.lease_seconds, self.progress(), self._sign())

    def _steps_done(self) -> int:
        """Optimizer steps of the job, all runs together."""
        return self._step

    def _sign(self) -> str:
        """What the worker does now, and how much memory it has: all that remains if it dies of the job."""
        if self._draining.is_set():
            return DRAINING
        step = self._steps_done()
        phase = "training" if self._trains else "writing files" if step else "loading the data and the model"
        return f"{phase}, step {step} of {self._claim.spec.steps}, with {memory_held()}"

    def _report_epoch(self, index: int) -> str:
        """Record an epoch, and before it those that Redis has lost."""
        while True:
            try:
                return self._store.add_epoch(self._claim, self._settings.lease_seconds, *self._reported[index])
            except Gap as gap:
                log.warning("%s; reporting it again", gap)
                for missing in range(gap.epoch, index):
                    self._store.add_epoch(self._claim, self._settings.lease_seconds, *self._reported[missing])

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
                if time.monotonic() >= beat_at and not self._finished:  # also when epochs come faster than heartbeats
                    self._watch()
                    self._deliver(self._beat)
                    beat_at = time.monotonic() + self._settings.heartbeat_seconds
        except StoreTooNew as error:  # migrated while this job ran: its next worker is a newer one
            self._failure = LeaseLost(f"job {self._claim.id} is left behind: {error}")
        except BaseException as error:
            self._failure = error

    def _deliver(self, report: Callable[[], str]) -> None:
        """Make the call, as often as it takes Redis to answer. Raises LeaseLost if that cannot be waited for."""
        pause = 0.1
        while True:
            asked_at = time.monotonic()  # before the call: a freeze while it waits for the answer counts, too
            try:
                self.wanted = report()
                return
            except RedisError as error:
                if self._draining.is_set():
                    raise LeaseLost(f"job {self._claim.id} is left behind: Redis does not answer: {error}") from error
                log.warning("Redis does not answer, trying again: %s", error)
            finally:
                self._asked_at = asked_at
            self._draining.wait(pause)
            pause = min(2 * pause, 2.0)

    def _watch(self) -> None:
        """End the process if the job's work has stood still for too long: no other thread could stop it.

        A sign of work is a step or a batch. Where there are none, as in a download, it is time on the processor: a
        thread that hangs takes none, unless it waits for a GPU.
        """
        seen = self._signs, 0.0 if self._trains else _cpu_seconds()
        if seen != self._seen:
            self._seen, self._moved_at = seen, time.monotonic()
        if time.monotonic() - self._moved_at < self._settings.stall_seconds:
            return
        log.error("has stood still for %g s: the worker ends", self._settings.stall_seconds)
        try:
            self._store.lose(self._claim, self._settings.max_losses)
        except (RedisError, LeaseLost) as error:
            log.warning("its lease will run out by itself: %s", error)
        logging.shutdown()
        os._exit(exits.STALLED)


def _cpu_seconds() -> float:
    """What the main thread has had of a processor; of the process, where the system does not tell them apart."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return time.process_time()
    return time.clock_gettime(time.pthread_getcpuclockid(threading.main_thread().ident or 0))
