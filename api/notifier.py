"""The API's only use of Celery: messages that a job waits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lrcore.service.settings import Settings
from lrcore.store.queue import NOTIFY_TASK, broker_queue, celery_config

if TYPE_CHECKING:
    from celery import Celery


class Notifier:
    """Tells workers that a job waits in a queue, by the name of a task that only the worker defines."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._making = threading.Lock()
        self._made: Celery | None = None

    @property
    def _celery(self) -> Celery:
        with self._making:
            if self._made is None:
                from celery import Celery  # noqa: PLC0415  # a tenth of the API's start, which curves need not wait for

                self._made = Celery("lrserve", set_as_current=False)
                self._made.conf.update(celery_config(self._settings.redis_url))
            return self._made

    def prepare(self) -> None:
        """Import Celery now, so that the first message need not wait for it."""
        self._celery  # noqa: B018

    def notify(self, queue: str) -> None:
        """Put one message into the queue. Raises whatever kombu raises."""
        self._celery.send_task(NOTIFY_TASK, args=(queue,), queue=broker_queue(queue), retry=False)
