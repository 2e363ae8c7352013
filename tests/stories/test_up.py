"""`lrserve up` and `lrserve demo` as a user starts and ends them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lrserve.client import Client
from lrserve.embedded import installed_server
from lrserve.supervisor import free_port
from tests.conftest import until
from tests.factories import job_spec, long_job
from tests.stories.conftest import figures
from tests.test_packages import other_packages

LRSERVE = Path(sys.executable).parent / "lrserve"


@contextmanager
def lrserve_up(home: Path, path: str | None = None, **more: str) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    """`lrserve up` as a user starts it, in a folder with packages of the same names, with more in its environment."""
    port, folder = free_port(), home / "elsewhere"
    if not folder.exists():
        other_packages(folder)
    environment = {k: v for k, v in os.environ.items() if k != "LRSERVE_REDIS_URL"} | {"LRSERVE_HOME": str(home)} | more
    if path is not None:
        environment["PATH"] = path
    process = subprocess.Popen(
        [LRSERVE, "up", "--port", str(port)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if "lrserve is up" in line:
                break
        else:
            raise AssertionError("lrserve up has ended")
        with Client(f"http://127.0.0.1:{port}") as client:
            yield process, client
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.slowest
def test_up_ends_cleanly_and_has_every_job_when_it_is_back(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    """With the system's Redis; the tests below have the bundled one."""
    if (binary := installed_server()) is None:
        pytest.skip("no installed Redis server: see the Makefile's target redis-server")
    path = str(binary.parent)

    with lrserve_up(tmp_path, path) as (process, client):
        done = client.submit(job_spec())
        until(lambda: client.job(done.id).state.ended)
        before = client.job(done.id)
        running, waiting = client.submit(long_job()), client.submit(job_spec())
        until(lambda: len(client.metrics(running.id)) >= 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0

    with lrserve_up(tmp_path, path) as (process, client):
        assert client.job(done.id) == before
        until(lambda: client.job(waiting.id).state.ended, 240)
        assert client.job(running.id).state == "succeeded"
        assert figures(client.metrics(running.id)) == undisturbed
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.slowest
def test_up_has_every_job_after_a_kill(tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    lease = {"LRSERVE_LEASE_SECONDS": "3"}  # for which the job waits, unless its worker could still give it back
    with lrserve_up(tmp_path, **lease) as (process, client):
        job = client.submit(long_job())
        until(lambda: len(client.metrics(job.id)) >= 2)
        process.kill()
        process.wait()

    until(lambda: not _locked(tmp_path))
    with lrserve_up(tmp_path, **lease) as (process, client):
        until(lambda: client.job(job.id).state.ended, 240)
        assert client.job(job.id).state == "succeeded"
        assert figures(client.metrics(job.id)) == undisturbed
        process.terminate()
        assert process.wait(60) == 0


def _locked(home: Path) -> bool:
    """Whether the Redis of an `up` that was killed is still ending."""
    return any(str(home) in Path(f"/proc/{pid}/cmdline").read_text() for pid in _pids())


def _pids() -> list[str]:
    return [entry for entry in os.listdir("/proc") if entry.isdigit() and Path(f"/proc/{entry}/cmdline").exists()]


@pytest.mark.slowest
def test_the_demo_runs_from_nothing(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LRSERVE_")} | {"COLUMNS": "120"}
    done = subprocess.run(
        [LRSERVE, "demo", "--output", str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    rows = {line.split("│")[1].strip(): line.split("│") for line in done.stdout.splitlines() if line.startswith("│")}
    assert float(rows["StepLR"][2]) > 0.95
    assert float(rows["fixed rate"][3]) > 0.9
    assert sorted(file.name for file in tmp_path.iterdir()) == ["curve.png", "fixed-rate.png", "steplr.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in tmp_path.iterdir())
    assert "  19  0.0125" in done.stdout
