"""What a worker does beside training."""

from __future__ import annotations

from pathlib import Path

from lrcore.jobs.settings import Settings
from lrcore.jobs.store import JobStore
from tests.jobs.test_store import SPEC
from worker.runner import Runner


def test_folders_of_ended_jobs_are_removed_and_no_others(store: JobStore, tmp_path: Path) -> None:
    runner = Runner(store, Settings(home=tmp_path), "worker")
    runner.sweep()  # there is no folder yet
    ended, waiting = store.create(SPEC).id, store.create(SPEC).id
    for job_id in (ended, waiting, "unknown"):
        (runner.folder(job_id) / "events").mkdir(parents=True)
    store.cancel(ended)

    runner.sweep()

    assert {folder.name for folder in (tmp_path / "jobs").iterdir()} == {waiting, "unknown"}
