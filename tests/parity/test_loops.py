"""Lightning, the Trainer of transformers, accelerate with two processes, and torch.compile.

The loops run to the end, save, and resume half-way; `make test-examples` installs what they need.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from lrcore.curve import CurveRequest, sample
from tests.parity.loops import HALF, STEPS
from tests.parity.torch_harness import MAKERS, Maker

ROOT = Path(__file__).parents[2]

# Packages that a loop needs, and how often it steps the scheduler for each step of the optimizer
LOOPS = {
    "lightning": (["lightning"], 1),
    "trainer": (["transformers", "accelerate"], 1),
    "accelerate": (["accelerate"], 2),
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def run(loop: str, maker: str, spec: dict[str, Any], folder: Path) -> dict[str, list[float]]:
    """What the first process of a loop prints."""
    count = LOOPS[loop][1]
    shared = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    if count > 1:
        shared |= {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    command = [sys.executable, "-m", "tests.parity.loops", loop, maker, json.dumps(spec), str(folder)]
    processes = []
    for rank in range(count):
        own = shared | ({"RANK": str(rank), "LOCAL_RANK": str(rank)} if count > 1 else {})
        processes.append(
            subprocess.Popen(command, cwd=ROOT, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
    try:
        answers = [process.communicate(timeout=240) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, answers, strict=True):
        assert process.returncode == 0, errors[-4000:]
    found: dict[str, list[float]] = json.loads(answers[0][0].splitlines()[-1])
    return found


@pytest.mark.examples
@pytest.mark.timeout(600)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", ["OneCycleLR", "LambdaLR"])
def test_a_loop_runs_to_the_end_and_resumes(loop: str, name: str, tmp_path: Path) -> None:
    packages, calls = LOOPS[loop]
    if missing := [package for package in packages if find_spec(package) is None]:
        pytest.skip(f"make test-examples installs {', '.join(missing)}")
    steps = STEPS * calls
    spec: dict[str, Any] = {
        "OneCycleLR": {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": steps},
        "LambdaLR": {"type": "LambdaLR", "lr_lambda": f"1 - epoch / {steps}"},
    }[name]
    curve = sample(CurveRequest.model_validate({"schedule": spec, "base_lr": 0.1, "steps": STEPS, "stride": calls}))

    found = run(loop, "SpecLR", spec, tmp_path / "spec")

    assert found["whole"] == curve.lr[0].tolist()
    assert found["resumed"] == found["whole"][HALF:]
    if name == "OneCycleLR":
        assert run(loop, "torch", spec, tmp_path / "torch")["whole"] == pytest.approx(found["whole"], rel=1e-9)


INDUCTOR = pytest.param(
    "inductor",
    marks=[
        pytest.mark.examples,  # up to minutes
        pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="it needs a C++ compiler"),
    ],
)


@pytest.mark.slowest
@pytest.mark.parametrize("backend", ["eager", INDUCTOR])
@pytest.mark.parametrize("inside", [False, True], ids=["optimizer compiled", "both compiled"])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")  # the compiler's
def test_a_rate_in_a_tensor_is_compiled_once(make: Maker, inside: bool, backend: str) -> None:
    parameter = torch.nn.Parameter(torch.ones(4))
    parameter.grad = torch.ones(4)
    optimizer = torch.optim.SGD([parameter], lr=torch.tensor(0.1))
    scheduler = make(optimizer, "CosineAnnealingLR", T_max=20)

    def update() -> None:
        optimizer.step()
        if inside:
            scheduler.step()

    torch.compiler.reset()
    compiled = torch.compile(update, backend=backend)
    total = 0.0
    for step in range(12):
        total += 0.05 * (1 + math.cos(math.pi * step / 20))
        with torch._dynamo.config.patch(error_on_recompile=step > 1):  # counts become dynamic in the second call
            compiled()
        if not inside:
            scheduler.step()

    assert parameter.detach().tolist() == pytest.approx([1 - total] * 4, rel=1e-5)
