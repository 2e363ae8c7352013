"""The command that measures everything on a GPU, in the small form that a CPU can do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_architecture import ROOT

ALONE = """
import runpy, sys
for name in ("celery", "redis", "fastapi", "pydantic_settings", "httpx", "PIL", "torchvision"):
    sys.modules[name] = None
sys.argv = ["benchmarks.gpu", "--small", "--out", {out!r}]
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""


@pytest.mark.slow
def test_one_command_measures_everything_with_torch_numpy_and_pydantic_alone(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    code = ALONE.format(out=str(out))
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ, check=True, stdout=subprocess.DEVNULL)

    found = json.loads(out.read_text())
    figures = {each["name"]: each["value"] for each in found["figures"]}
    assert all(value > 0 for value in figures.values())
    for part in ("DataLoader over lrserve", "with test passes", "ResNet-18, bfloat16", "side by side", "peak memory"):
        assert any(part in name for name in figures), part
