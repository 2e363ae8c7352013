"""The `lrserve` command as a user runs it: as a process, against a running server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.stack import free_port
from lrcore import __version__
from tests.conftest import Service, job_spec, long_job

LRSERVE = Path(sys.executable).parent / "lrserve"


def lrserve(*arguments: str, url: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LRSERVE_")} | {"COLUMNS": "160"}
    if url:
        environment["LRSERVE_URL"] = url
    return subprocess.run(
        [LRSERVE, *arguments], env=environment, capture_output=True, text=True, check=False, timeout=120, **options
    )


def test_it_says_its_version() -> None:
    assert lrserve("--version").stdout == f"lrserve {__version__}\n"


def test_a_curve_is_drawn_in_the_terminal(service: Service) -> None:
    done = lrserve("curve", "StepLR", "step_size=5", "gamma=0.5", "--base-lr", "0.1", url=service.url)

    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert len(lines) == 21
    assert lines[1].split() == ["0", "0.1", "█" * 40]
    assert lines[-1].split() == ["19", "0.0125", "█" * 5]


def test_a_curve_is_written_to_a_file(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "curve.npy"
    spec = json.dumps({"type": "MultiStepLR", "milestones": [3, 8], "gamma": 0.5})

    done = lrserve(
        "curve", spec, "--base-lr", "0.5", "--steps", "9", "--format", "npy", "-o", str(file), url=service.url
    )

    assert done.returncode == 0
    assert np.load(file).tolist() == [0.5] * 3 + [0.25] * 5 + [0.125]


@pytest.mark.parametrize("value", ["0.95**epoch", "1"])
def test_an_expression_needs_no_quotes_within_quotes(value: str, service: Service) -> None:
    done = lrserve("curve", "LambdaLR", f'lr_lambda="{value}"', "--base-lr", "1", "--format", "json", url=service.url)

    assert json.loads(done.stdout)["schedule"]["lr_lambda"] == value


def test_what_the_server_refuses_is_said_by_field(service: Service) -> None:
    done = lrserve("curve", "StepLR", "step_size=0", "--base-lr", "0.1", url=service.url)

    assert done.returncode == 1
    assert done.stdout == ""
    assert "body.schedule.step_size: Input should be greater than or equal to 1" in done.stderr


def test_a_job_is_submitted_from_a_file_and_watched_to_its_end(service: Service, tmp_path: Path) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(job_spec()))

    submitted = lrserve("submit", str(file), url=service.url)
    watched = lrserve("watch", submitted.stdout.strip(), url=service.url)

    assert (submitted.returncode, watched.returncode) == (0, 0)
    assert "succeeded: final test accuracy" in watched.stdout
    assert service.client.job(submitted.stdout.strip()).state == "succeeded"


def test_a_job_is_submitted_from_standard_input_and_watched_at_once(service: Service) -> None:
    done = lrserve("submit", "-", "--watch", url=service.url, input=json.dumps(job_spec()))

    assert done.returncode == 0
    assert "succeeded" in done.stdout


def test_an_experiment_is_submitted_and_its_leaderboard_printed(service: Service) -> None:
    body = {"base": job_spec(), "grid": {"lr": [0.1, 0.01, 1e15], "seed": [0, 1]}}
    done = lrserve("submit", "-", "--watch", url=service.url, input=json.dumps(body))
    job_id, _, *rows = done.stdout.splitlines()

    assert done.returncode == 0
    assert service.client.job(job_id).kind == "experiment"
    assert [row.split()[0] for row in rows] == ["1", "2", "3"]
    assert "±" in rows[0]
    assert "[" in rows[1]
    assert rows[2].split()[-2:] == ["2", "failed"]


def test_watching_a_job_that_failed_ends_with_its_reason(service: Service) -> None:
    done = lrserve("submit", json.dumps(job_spec(optimizer={"type": "SGD", "lr": 1e9})), "--watch", url=service.url)

    assert done.returncode == 1
    assert "failed: the loss is not finite" in done.stderr


def test_watching_a_job_that_is_cancelled_is_no_success(service: Service) -> None:
    job_id = service.client.submit(long_job(epochs=2000)).id
    service.client.cancel(job_id)

    assert lrserve("watch", job_id, url=service.url).returncode == 1


def test_a_job_is_paused_resumed_cancelled_and_retried(service: Service) -> None:
    busy = service.client.submit(long_job(epochs=2000)).id
    waiting = service.client.submit(job_spec()).id

    def said(action: str, job_id: str) -> str:
        done = lrserve(action, job_id, url=service.url)
        assert done.returncode == 0
        return done.stdout.strip()

    assert [said(action, waiting) for action in ("pause", "resume", "cancel")] == ["paused", "queued", "cancelled"]
    again = said("retry", waiting)
    assert said("cancel", again) == "cancelled"
    said("cancel", busy)
    assert service.ended(busy).state == "cancelled"
    assert lrserve("pause", busy, url=service.url).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["submit", "nothing.json"], "nothing.json: No such file"),
        (["submit", "{"], "job is not JSON"),
        (["submit", "-"], "- is not JSON"),
        (["curve", "StepLR", "step_size"], "'step_size' is not name=value"),
        (["curve", "[1]"], "unknown type '[1]'"),
        (["up", "--port", "70000"], "Invalid value for '--port'"),
    ],
)
def test_a_wrong_argument_is_explained(arguments: list[str], words: str, service: Service) -> None:
    done = lrserve(*arguments, url=service.url, input="")

    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    done = lrserve("watch", "some-job", url=url)

    assert done.returncode == 1
    assert done.stderr.startswith(f"lrserve: {url} does not answer")


def test_a_port_in_use_is_said_before_anything_starts(service: Service, tmp_path: Path) -> None:
    done = lrserve("up", "--port", str(service.stack.port), "--home", str(tmp_path))

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{service.stack.port}" in done.stderr


def test_a_data_folder_in_use_is_said(service: Service) -> None:
    done = lrserve("up", "--port", str(free_port()), "--home", str(service.stack.settings.home_folder))

    assert done.returncode == 1
    assert "another lrserve uses" in done.stderr


def test_a_setting_without_sense_is_said_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = os.environ | {"LRSERVE_LEASE_SECONDS": "soon"}

    done = subprocess.run([LRSERVE, "up"], env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert done.stderr.startswith("lrserve: LRSERVE_LEASE_SECONDS: ")
