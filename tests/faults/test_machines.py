"""The disk is full, the clock is moved."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import until
from tests.faults.harness import SHORT, Rig, Trial, job_of

HERE = Path(__file__).parent


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of `size` bytes in the place of a folder."""
    if os.getuid():
        pytest.skip("only root can mount a small disk")
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that leaves no room for another."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return filler


def told_to_end(rig: Rig) -> None:
    worker = rig.service.process("worker 0")
    worker.terminate()
    assert worker.wait(5) == 0


@pytest.mark.faults("disk full when a worker is told to end")
def test_a_full_disk_costs_a_job_its_checkpoint_and_no_more(trial: Trial) -> None:
    jobs = trial.home / "jobs"
    with small_disk(jobs, 8 * 2**20), trial.service() as rig:
        job = rig.submit()
        rig.in_mid_epoch(job)
        told_to_end(rig)  # with room for a first checkpoint
        rig.revive()
        rig.in_mid_epoch(job)

        filler = fill(jobs)
        told_to_end(rig)
        assert rig.state(job) == "queued"
        filler.unlink()
        rig.revive()

        assert rig.ended(job).state == "succeeded"


@pytest.mark.faults("disk full when a checkpoint is due")
def test_a_run_does_not_end_because_a_checkpoint_cannot_be_written(trial: Trial) -> None:
    jobs = trial.home / "jobs"
    with small_disk(jobs, 8 * 2**20), trial.service() as rig:
        filler = fill(jobs)
        job = rig.submit(job_of(150))
        until(lambda: rig.epochs(job))
        time.sleep(11)  # a checkpoint is due every ten seconds
        assert rig.client.job(job).state == "running"
        filler.unlink()

        assert rig.ended(job).state == "succeeded"


@pytest.mark.faults("disk full to the end")
def test_a_job_that_cannot_keep_its_weights_fails_and_says_why(trial: Trial) -> None:
    jobs = trial.home / "jobs"
    with small_disk(jobs, 8 * 2**20), trial.service() as rig:
        filler = fill(jobs)
        ended = rig.ended(rig.submit(SHORT))
        assert ended.state == "failed"
        assert ended.error is not None
        assert "No space left on device" in ended.error.message
        filler.unlink()

        assert rig.ended(rig.submit(SHORT)).state == "succeeded"


@pytest.fixture(scope="session")
def movable_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that moves the wall clock of the process that loads it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the clock cannot be moved")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "clock.c", "-ldl"], check=True)
    (library.parent / "clock").write_text("3600")
    moved = os.environ | {"LD_PRELOAD": str(library), "FAULTS_CLOCK": str(library.parent / "clock")}
    code = "import time; from datetime import datetime; print(time.time(), datetime.now().timestamp())"
    printed = subprocess.run([sys.executable, "-c", code], env=moved, capture_output=True, text=True, check=True).stdout
    assert all(3500 < float(said) - time.time() < 3700 for said in printed.split()), printed
    return library


@pytest.mark.faults("clock moved by an hour, there and back")
def test_nobody_but_redis_says_what_time_it_is(trial: Trial, movable_clock: Path) -> None:
    with trial.service(workers=2) as rig:
        clock = rig.home / "clock"
        for service in rig.service.stack.services:
            if service.name in ("api", "worker 0"):
                service.environment = service.environment | {
                    "LD_PRELOAD": str(movable_clock),
                    "FAULTS_CLOCK": str(clock),
                }
        rig.kill("api", "worker 0")
        rig.revive()
        until(lambda: len(re.findall(r"worker \S+ ready", rig.log())) == 3)
        jobs = [rig.submit(job_of(40, seed)) for seed in (0, 1)]  # one of them is for worker 0
        for job in jobs:
            rig.in_mid_epoch(job)

        for hours in (1, -1, 0):
            clock.write_text(str(hours * 3600))
            for job in jobs:
                rig.in_mid_epoch(job)
            rig.row.rounds += 1

        assert {(job.state, job.attempt) for job in rig.all_ended()} == {("succeeded", 1)}
        for job_id in jobs:
            job = rig.client.job(job_id)
            ages = [abs((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()) for at in times(job)]
            assert max(ages) < 600


def times(job: object) -> list[str]:
    return [job.created_at, job.started_at, job.finished_at]
