"""The Celery application: one task, one job at a time, trained in the process itself (pool solo)."""

from __future__ import annotations

from celery import Celery

from lrcore.store.queue import NOTIFY_TASK, celery_config

from .runner import Runner


def create_celery(runner: Runner) -> Celery:
    """The app whose one task takes a waiting job."""
    app = Celery("lrserve")
    app.conf.update(celery_config(runner.settings.redis_url))

    @app.task(name=NOTIFY_TASK)  # type: ignore[untyped-decorator]
    def notify(queue: str) -> None:
        runner.answer(queue)

    return app
