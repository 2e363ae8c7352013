"""What a worker does beside training."""

from __future__ import annotations

from pathlib import Path

import pytest

from lrcore.service.settings import Settings
from lrcore.store.queue import QUEUE
from lrserve.worker.runner import Runner
from tests.factories import SPEC
from tests.stores import JobStore


def test_folders_of_ended_jobs_are_removed_and_no_others(store: JobStore, tmp_path: Path) -> None:
    runner = Runner(store, store, Settings(home=tmp_path), "worker")
    runner.sweep()  # there is no folder yet
    ended, waiting = store.create(SPEC).id, store.create(SPEC).id
    for job_id in (ended, waiting, "unknown"):
        (runner.folder(job_id) / "events").mkdir(parents=True)
    store.cancel(ended)

    runner.sweep()

    assert {folder.name for folder in (tmp_path / "jobs").iterdir()} == {waiting, "unknown"}


def test_a_worker_that_goes_on_removes_what_was_cancelled_while_it_was_paused(
    store: JobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrserve.worker.runner.SWEEP_SECONDS", 0.0)
    runner = Runner(store, store, Settings(home=tmp_path), "worker")
    paused, other = store.create(SPEC).id, store.create(SPEC).id
    runner.folder(paused).mkdir(parents=True)
    store.pause(paused)
    store.cancel(paused)

    runner.answer(QUEUE)

    assert store.get(other).state.ended
    assert not list((tmp_path / "jobs").iterdir())
