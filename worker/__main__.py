"""Run one worker: python -m lrserve.worker [--name NAME]. It trains one job at a time, on the first GPU or the CPU."""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # what is imported stays: looking through it again and again is a quarter of the start
from lrcore.families import load_or_exit

if __name__ == "__main__":
    load_or_exit()
import argparse
import contextlib
import logging
import os
import re
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from celery import Celery
from celery.apps import worker as celery_worker
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_init, worker_ready, worker_shutting_down

from lrcore import plugins
from lrcore.jobs.job_types import JOB_TYPES
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.service import exits, logs, traces
from lrcore.service.reaper import Reaper
from lrcore.service.settings import Settings
from lrcore.store.client import ClientStore
from lrcore.store.connection import RedisError, connect
from lrcore.store.format import StoreTooNew
from lrcore.store.lease import LeaseStore
from lrcore.store.operator import OperatorStore
from lrcore.store.queue import NOTIFY_TASK, broker_queue, queues_of
from lrcore.store.service_stats import WorkerStats

from .app import create_celery
from .engine import pick_device, train
from .runner import Runner
from .worker_stats import StatsSampler

log = logging.getLogger("lrserve.worker")

PRESENCE_SECONDS = 5.0  # between two signs of life; three may be missed


class Presence:
    """The thread that shows the worker among the living: in Redis, and by a file for who looks from beside it."""

    def __init__(
        self,
        store: LeaseStore,
        name: str,
        queues: Sequence[str],
        worker_stats: Callable[[], WorkerStats],
        alive_file: Path | None,
    ) -> None:
        self._store, self._name, self._queues = store, name, queues
        self._worker_stats, self._alive_file = worker_stats, alive_file
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="presence", daemon=True)

    def start(self) -> None:
        """Appear."""
        self._thread.start()

    def stop(self) -> None:
        """Disappear."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(RedisError):  # it is forgotten by itself, too
            self._store.absent(self._name)

    def _loop(self) -> None:
        while True:
            try:
                self._store.present(self._name, self._queues, 3 * PRESENCE_SECONDS, self._worker_stats())
            except RedisError as error:
                log.warning("Redis does not answer: %s", error)
            except StoreTooNew as error:  # no more signs of life: whoever looks after the worker may replace it
                log.error("%s", error)
                return
            self._touch()  # a worker without Redis is as well as it can be
            if self._stop.wait(PRESENCE_SECONDS):
                return

    def _touch(self) -> None:
        try:
            if self._alive_file:
                self._alive_file.touch()
        except OSError as error:
            log.warning("the file for the health check cannot be written: %s", error)


SMALLEST = """{"model": {"type": "lenet"}, "epochs": 1, "batch_size": 4,
    "dataset": {"type": "fake", "samples": 8, "test_samples": 8, "image_size": 28}}"""


def warm_up() -> None:
    """Have done once what takes long the first time: pydantic's schemas, torch's late imports, the device's start."""
    for kind in JOB_TYPES.values():
        kind.model_rebuild()
    try:
        train(TrainingSpec.model_validate_json(SMALLEST), data_root=Path("nowhere"))
    except Exception:  # the jobs will say what is wrong with the device
        log.exception("the worker could not train a first step")


def hardware() -> list[str]:
    """Labels of the device that this process trains on: gpu and the card's name, such as gpu.h200; or cpu."""
    device = pick_device()
    if device.type == "cpu":
        return ["cpu"]
    card = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower().removeprefix("nvidia ")).strip("-")
    return [f"gpu.{card}"[:32], "gpu"]


def death(settings: Settings) -> tuple[int | None, str]:
    """How many deaths fail a job, and how the process before died; None if it did not die, but ended by itself."""
    match settings.previous_status:
        case None:
            how = "in a way that nobody has seen"
        case os.EX_OK | exits.STALLED:  # a job was left behind because Redis did not answer
            return None, ""
        case status:
            how = exits.how_it_ended(status)
    return settings.max_kills, how


def _configure_logs(settings: Settings) -> None:
    logs.configure(settings.log_format, settings.log_level)
    # Celery warns root of pickled messages: this worker accepts JSON alone
    warnings.filterwarnings("ignore", category=SecurityWarning)
    setup_logging.connect(lambda **_: None, weak=False)  # or Celery would set up its own
    celery_worker.safe_say = lambda *_: None  # it tells its shutdown past all loggers


def _consumer(celery: Celery, name: str, queues: Sequence[str]) -> Any:
    """Celery's own worker: one message at a time, in this process."""
    return celery.Worker(
        hostname=name,
        pool_cls="solo",
        concurrency=1,
        queues=[broker_queue(queue) for queue in queues],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )


def main() -> int:
    """Work until SIGTERM or SIGINT: then the present job goes back to the queue, and the process ends with status 0."""
    parser = argparse.ArgumentParser(prog="python -m lrserve.worker", description=__doc__)
    parser.add_argument(
        "--name",
        default=f"{socket.gethostname()}-{os.getpid()}",
        help="unique among workers; one that starts under the name of a dead one frees its job at once",
    )
    name = parser.parse_args().name
    settings = Settings()
    _configure_logs(settings)
    traces.start("lrserve-worker")
    redis = connect(settings.redis_url)
    store = LeaseStore(redis)
    try:
        store.check_format()
    except StoreTooNew as error:
        log.error("%s", error)
        return os.EX_CONFIG
    except RedisError as error:
        log.warning("Redis does not answer: %s", error)
    warm_up()
    gc.freeze()
    gc.enable()
    labels = settings.hardware.split(",") if settings.hardware else hardware()
    queues = queues_of(labels, map(str, plugins.load()))

    def notify(queue: str) -> None:
        celery.send_task(NOTIFY_TASK, args=(queue,), queue=broker_queue(queue), retry=False)

    most_runs = settings.runs_at_once or (8 if pick_device().type == "cpu" else 64)
    runner = Runner(store, ClientStore(redis), settings, name, queues, notify, most_runs)
    celery = create_celery(runner)
    presence = Presence(store, name, queues, StatsSampler(labels, runner.trained).take, settings.alive_file)
    reaper = Reaper(OperatorStore(redis), settings, notify)

    def begin(**_: object) -> None:
        try:
            for job_id in store.abandon(name, settings.max_losses, *death(settings)):
                log.warning("was left behind by an earlier process of %s", name, extra={"job": job_id})
            runner.sweep()
        except RedisError as error:
            log.warning("Redis does not answer, leases will run out by themselves: %s", error)
        presence.start()
        reaper.start()

    worker_init.connect(begin, weak=False)
    worker_ready.connect(lambda **_: log.info("worker %s ready, for %s", name, ", ".join(queues)), weak=False)
    worker_shutting_down.connect(lambda **_: runner.drain(), weak=False)
    process = _consumer(celery, name, queues)
    try:
        process.start()
    finally:
        log.info("worker %s ends", name)
        reaper.stop()
        presence.stop()
        traces.stop()
    return int(process.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
