"""What is imported under which name, and from which folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from lrserve.supervisor import free_port
from tests.conftest import until

ROOT = Path(__file__).parents[1]
LRSERVE = [sys.executable, "-m", "lrserve"]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder with packages of its own by the names of ours in the checkout."""
    for name in ("api", "cli", "worker"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise SystemExit('{name} of the current folder was imported')\n")
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        *([name, "--help"] for name in ("up", "api", "worker", "demo", "curve", "submit", "doctor", "fit")),
    ],
    ids=" ".join,
)
def test_commands_do_not_look_into_the_current_folder(arguments: list[str], hostile: Path) -> None:
    assert run([*LRSERVE, *arguments], hostile)


@pytest.mark.parametrize("module", ["lrserve.api", "lrserve.worker", "lrserve.worker.engine"])
def test_modules_that_run_do_not_look_into_the_current_folder(module: str, hostile: Path) -> None:
    assert run([sys.executable, "-m", module, "--help"], hostile)


def test_the_service_starts_beside_folders_of_its_packages_names(hostile: Path) -> None:
    port = free_port()
    environment = os.environ | {"LRSERVE_HOME": str(hostile / "home")}
    up = subprocess.Popen([*LRSERVE, "up", "--port", str(port)], cwd=hostile, env=environment)
    try:
        until(lambda: workers(port) == 1, 90)
    finally:
        up.terminate()
        assert up.wait(60) == 0


def workers(port: int) -> int | None:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=20) as answer:
        return int(json.loads(answer.read())["workers"])
    return None


@pytest.mark.parametrize("module", ["api", "worker", "worker.engine"])
def test_folders_of_the_checkout_run_by_their_own_names(module: str) -> None:
    assert run([sys.executable, "-m", module, "--help"], ROOT)


def test_uvicorn_serves_the_application_of_the_checkout() -> None:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "api.app:app", "--port", str(port)]
    serving = subprocess.Popen(command, cwd=ROOT)
    try:
        until(lambda: healthy(port), 60)
    finally:
        serving.terminate()
        serving.wait(60)


def healthy(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as answer:
        return bool(answer.status == 200)
    return False


def loaded(code: str) -> set[str]:
    """The top-level packages that a fresh interpreter has after running some code, without the standard library's."""
    code += "\nimport json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    return set(json.loads(run([sys.executable, "-c", code], ROOT))) - sys.stdlib_module_names


def test_importing_the_package_loads_nothing_else() -> None:
    assert loaded("import lrserve") <= {"lrcore", "lrserve"} | loaded("")


def test_a_curve_needs_numpy_and_pydantic_alone() -> None:
    code = "from lrserve import curve; curve({'type': 'StepLR', 'step_size': 5}, steps=20, base_lr=0.1)"

    heavy = {"celery", "fastapi", "httpx", "matplotlib", "redis", "rich", "torch", "typer", "uvicorn"}
    assert not loaded(code) & heavy


def test_the_client_loads_no_server() -> None:
    heavy = {"celery", "fastapi", "matplotlib", "redis", "torch", "uvicorn"}
    assert not loaded("from lrserve import Client") & heavy
