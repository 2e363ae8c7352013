"""What is imported under which name, and from which folder."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from lrserve.supervisor import free_port
from tests.conftest import until

ROOT = Path(__file__).parents[1]


def other_packages(folder: Path) -> Path:
    """Fill a folder with packages of its own by the names of ours in the checkout, and return it."""
    for name in ("api", "cli", "worker"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise SystemExit('{name} of the current folder was imported')\n")
    return folder


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_do_not_look_into_the_current_folder(tmp_path: Path) -> None:
    """That `lrserve up` starts its processes there, too, is a story of tests/stories."""
    names = ("up", "api", "worker", "demo", "curve", "submit", "doctor", "fit")
    code = f"""
        import runpy, sys
        for arguments in [["--version"], *([name, "--help"] for name in {names})]:
            sys.argv = ["lrserve", *arguments]
            try:
                runpy.run_module("lrserve", run_name="__main__")
            except SystemExit as end:
                assert not end.code, (arguments, end.code)
    """
    assert run([sys.executable, "-c", textwrap.dedent(code)], other_packages(tmp_path))


@pytest.mark.sampled(3)
@pytest.mark.slow
@pytest.mark.parametrize("module", ["lrserve.api", "lrserve.worker", "lrserve.worker.engine"])
def test_modules_that_run_do_not_look_into_the_current_folder(module: str, tmp_path: Path) -> None:
    assert run([sys.executable, "-m", module, "--help"], other_packages(tmp_path))


@pytest.mark.sampled(3)
@pytest.mark.slow
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
