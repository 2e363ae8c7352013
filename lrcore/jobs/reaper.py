"""The thread that announces waiting jobs, and repairs what dying processes leave behind."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from redis.exceptions import RedisError

from lrcore.jobs.artifacts import Artifacts, ArtifactsUnavailable
from lrcore.jobs.settings import Settings
from lrcore.jobs.store import IllegalMove, JobNotFound, JobStore

log = logging.getLogger("lrserve.reaper")

BREATH_SECONDS = 0.005  # between two looks, however many jobs come: the first of them has been announced by then


class Reaper:
    """Rings for waiting jobs, requeues those whose lease ran out, and removes those that ended long ago.

    Any number of them may run at once. Messages do get lost, when a worker is killed as it takes one: so each round
    makes up the difference between what waits and what rings. A surplus ring is harmless: its worker finds an empty
    queue.

    Args:
        ring: puts one message into a queue; may raise anything.
    """

    def __init__(self, store: JobStore, settings: Settings, ring: Callable[[str], None]) -> None:
        self._store = store
        self._settings = settings
        self._ring = ring
        self._woken, self._stopped = threading.Event(), False
        self._thread = threading.Thread(target=self._loop, name="reaper", daemon=True)

    def start(self) -> None:
        """Begin, with a first round at once."""
        self._thread.start()

    def wake(self) -> None:
        """Ring at once: a job has come. Costs nothing, and many calls make one look."""
        self._woken.set()

    def stop(self) -> None:
        """End after the round in progress."""
        self._stopped = True
        self._woken.set()
        self._thread.join()

    def round(self) -> None:
        """One look at everything."""
        for job_id in self._store.reap(self._settings.max_losses):
            log.warning("job=%s lease ran out", job_id)
        self.announce()
        self._remove_stale()

    def announce(self) -> None:
        """Ring for every waiting job that no message announces."""
        for queue in self._store.queues():
            for _ in range(queue.missing_rings):
                self._ring(queue.name)

    def _remove_stale(self) -> None:
        if self._settings.retention_days is None:
            return
        files = Artifacts(self._settings.artifact_url)
        for job_id in self._store.stale(self._settings.retention_days):
            try:
                files.remove(job_id)  # first: what is left after a failure is found again
                self._store.forget(job_id)
            except (JobNotFound, IllegalMove):  # another reaper was faster
                continue
            except ArtifactsUnavailable as error:
                log.warning("job=%s is kept until its files can be removed: %s", job_id, error)
                return
            log.info("job=%s removed, after %g days", job_id, self._settings.retention_days)

    def _loop(self) -> None:
        round_at = 0.0
        while not self._stopped:
            self._woken.clear()
            try:
                if time.monotonic() >= round_at:
                    round_at = time.monotonic() + self._settings.reap_seconds
                    self.round()
                else:
                    self.announce()
            except RedisError as error:
                log.warning("Redis does not answer: %s", error)
                self._pause()
            except Exception:  # kombu raises its own and others'; the next round tries again
                log.exception("the round failed")
                self._pause()
            if not self._stopped:
                time.sleep(BREATH_SECONDS)
                self._woken.wait(max(0.0, round_at - time.monotonic()))

    def _pause(self) -> None:
        """Wait for a better time, whoever calls meanwhile."""
        deadline = time.monotonic() + self._settings.reap_seconds
        while not self._stopped and time.monotonic() < deadline:
            time.sleep(0.05)
