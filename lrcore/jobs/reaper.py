"""The thread that repairs what dying processes leave behind. Any number of them may run at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from redis.exceptions import RedisError

from lrcore.jobs.queue import QUEUE
from lrcore.jobs.settings import Settings
from lrcore.jobs.store import JobStore

log = logging.getLogger("lrserve.reaper")


class Reaper:
    """Requeues jobs whose lease ran out and rings for waiting jobs that nobody announced.

    Messages do get lost, when a worker is killed as it takes one. A surplus ring is harmless: its worker finds an
    empty queue.

    Args:
        ring: puts one message into a queue; may raise anything.
    """

    def __init__(self, store: JobStore, settings: Settings, ring: Callable[[str], None]) -> None:
        self._store = store
        self._settings = settings
        self._ring = ring
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reaper", daemon=True)

    def start(self) -> None:
        """Begin, with a first round at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the round in progress."""
        self._stop.set()
        self._thread.join()

    def round(self) -> None:
        """One look at everything."""
        for job_id in self._store.reap(self._settings.max_losses):
            log.warning("job=%s lease ran out", job_id)
        for _ in range(self._store.missing_rings()):
            self._ring(QUEUE)

    def _loop(self) -> None:
        while True:
            try:
                self.round()
            except RedisError as error:
                log.warning("Redis does not answer: %s", error)
            except Exception:  # kombu raises its own and others'; the next round tries again
                log.exception("the round failed")
            if self._stop.wait(self._settings.reap_seconds):
                return
