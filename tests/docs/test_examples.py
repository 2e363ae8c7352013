"""Every example is run as it says, against a running service, and trains for real."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import Service, running_service

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NEEDS = {"huggingface_trainer.py": ["accelerate"], "lightning_callback.py": ["lightning"]}
ALONE = ["library.py", "keras_callback.py", "huggingface_trainer.py", "lightning_callback.py"]
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "common.py")

# What `python SCRIPT --url URL` does; torchvision, which other packages import, needs help beside some torches
RUN = """
import runpy, sys
from lrcore.datasets._torchvision import torchvision_datasets
torchvision_datasets()
sys.path.insert(0, sys.argv[1])
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(script: str, folder: Path, *arguments: str) -> str:
    """What a script prints. It runs in `folder`, where it may leave files."""
    command = [sys.executable, "-c", RUN, str(EXAMPLES), str(EXAMPLES / script), *arguments]
    # other tests choose Keras' backend for their process
    env = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=280, check=False, env=env)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def skip_without_packages(script: str) -> None:
    """Skip the test if the extra [examples], of which the script needs something, is not installed."""
    if missing := [name for name in NEEDS.get(script, []) if find_spec(name) is None]:
        pytest.skip(f"make test-examples installs {', '.join(missing)}")


@pytest.mark.slowest
@pytest.mark.parametrize("script", [name for name in SCRIPTS if name != "mlflow_view.py"])
def test_a_framework_trains_with_the_rates_of_the_curve(script: str, service: Service, tmp_path: Path) -> None:
    skip_without_packages(script)
    assert "rates used, the curve's own" in run(script, tmp_path, "--url", service.url)


@pytest.mark.examples
@pytest.mark.parametrize("script", ALONE)
def test_a_framework_needs_no_server(script: str, tmp_path: Path) -> None:
    skip_without_packages(script)
    assert "rates used, the curve's own" in run(script, tmp_path)


@pytest.mark.examples
def test_a_job_is_seen_in_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path / 'mlflow'}")
    with running_service(tmp_path / "home") as service:
        assert "rates used, the curve's own" in run("mlflow_view.py", tmp_path, "--url", service.url)


@pytest.mark.slow
def test_the_tour_by_curl(service: Service, tmp_path: Path) -> None:
    command = [str(EXAMPLES / "curl.sh"), service.url, str(tmp_path)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where python3 is
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, check=False, env=os.environ | {"PATH": path}
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "10 rates used, the curve's own, bit for bit" in done.stdout
    assert done.stdout.splitlines()[-1] == "done"
    for picture in ("curve.png", "compare.png", "job.png", "experiment.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG"), picture
