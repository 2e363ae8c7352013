"""The thread that removes jobs that ended long ago, with their files."""

from __future__ import annotations

import logging
import threading

from lrcore.service.artifacts import Artifacts, ArtifactsUnavailable
from lrcore.service.settings import Settings
from lrcore.store.connection import RedisError
from lrcore.store.operator import OperatorStore

log = logging.getLogger("lrserve.retention")

LEASE_SECONDS = 600.0  # for the files of one job; as long until it is tried again, if they cannot be removed


class Retention:
    """Removes what is older than `retention_days`; does nothing if that is not set. Any number may run at once.

    A thread of its own: files may lie far away, and nobody waits for them to go.
    """

    def __init__(self, store: OperatorStore, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._files = Artifacts(settings.artifact_url)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="retention", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._settings.retention_days is not None:
            self._thread.start()

    def stop(self) -> None:
        """End with the job in hand, or with the process: what is left is found again."""
        self._stopped.set()

    def remove_one(self) -> bool:
        """Remove the oldest job that is due. Returns whether there was one. Raises RedisError."""
        days = self._settings.retention_days
        taken = self._store.take_stale(days, LEASE_SECONDS) if days is not None else None
        if taken is None:
            return False
        job_id, finished_at = taken
        try:
            self._files.remove(job_id)  # first: what is left after a failure is found again
        except ArtifactsUnavailable as error:
            log.warning("is kept until its files can be removed: %s", error, extra={"job": job_id})
        else:
            if self._store.forget_stale(job_id, finished_at):  # else it was deleted by hand meanwhile
                log.info("removed, after %g days", days, extra={"job": job_id})
        return True

    def _loop(self) -> None:
        while not self._stopped.is_set():
            try:
                while not self._stopped.is_set() and self.remove_one():
                    pass
            except RedisError as error:
                log.warning("Redis does not answer: %s", error)
            self._stopped.wait(self._settings.reap_seconds)
