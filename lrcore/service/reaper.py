"""The thread that announces waiting jobs, and puts those of dead workers back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from lrcore.service.settings import Settings
from lrcore.store.connection import RedisError
from lrcore.store.format import StoreTooNew
from lrcore.store.operator import OperatorStore

log = logging.getLogger("lrserve.reaper")

STOP_SECONDS = 1.0
BREATH_SECONDS = 0.005  # between two rounds, however many jobs come: the first of them has been announced by then


class Reaper:
    """Announces waiting jobs, and requeues those whose lease ran out.

    Any number of reapers may run at once. A message is lost when a worker is killed as it takes one, so each round
    sends as many as are missing. A surplus message is harmless: its worker finds an empty queue.

    Args:
        notify: puts one message into a queue; may raise anything.
    """

    def __init__(self, store: OperatorStore, settings: Settings, notify: Callable[[str], None]) -> None:
        self._store = store
        self._settings = settings
        self._notify = notify
        self._woken, self._stopped = threading.Event(), False
        self._thread = threading.Thread(target=self._loop, name="reaper", daemon=True)

    def start(self) -> None:
        """Begin, with a first round at once."""
        self._thread.start()

    def wake(self) -> None:
        """Announce waiting jobs at once. Costs nothing: many calls make one round."""
        self._woken.set()

    def stop(self) -> None:
        """End after the round in progress, or leave it to end with the process if it waits for Redis."""
        self._stopped = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def round(self) -> None:
        """Requeue lost jobs, and announce waiting ones."""
        for job_id in self._store.reap(self._settings.max_losses):
            log.warning("lease ran out", extra={"job": job_id})
        self.announce()

    def announce(self) -> None:
        """Send a message for every waiting job that none announces."""
        for queue in self._store.queues():
            for _ in range(queue.missing_notifications):
                self._notify(queue.name)

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
            except StoreTooNew as error:
                log.error("%s", error)
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
