"""The API's only use of Celery: ringing for workers."""

from __future__ import annotations

from celery import Celery

from lrcore.jobs.queue import RING_TASK, broker_queue, celery_config
from lrcore.jobs.settings import Settings


class Doorbell:
    """Says that a job waits in a queue, by the name of a task that only the worker defines."""

    def __init__(self, settings: Settings) -> None:
        self._celery = Celery("lrserve", set_as_current=False)
        self._celery.conf.update(celery_config(settings.redis_url))

    def ring(self, queue: str) -> None:
        """Put one message into the queue. Raises whatever kombu raises."""
        self._celery.send_task(RING_TASK, args=(queue,), queue=broker_queue(queue), retry=False)
