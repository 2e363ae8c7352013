"""From the start of the API's process to its first curve, beside a FastAPI application with a single route.

    python -m benchmarks.start [PYTHON]     of another environment, such as one without the worker's extra

Each start is a new process; the two take turns. Sources are compiled before, as pip does. No Redis is there: a curve
needs none.
"""

from __future__ import annotations

import operator
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import httpx

from benchmarks.measure import in_turns, verdict
from lrserve.supervisor import free_port

ROUNDS = 10
TARGET = 1.0
BODY = {"schedule": {"type": "StepLR", "step_size": 30, "gamma": 0.1}, "base_lr": 0.1, "steps": 90}
FLOOR = """
import sys
import uvicorn
from fastapi import FastAPI
app = FastAPI()
@app.post("/v1/curves")
def curve(body: dict) -> dict:
    return body
uvicorn.run(app, port=int(sys.argv[2]), log_level="error")
"""


def first_answer(client: httpx.Client, command: list[str], environment: dict[str, str]) -> float:
    """Seconds until a new process has answered; it is ended then."""
    port = free_port()
    begun = time.perf_counter()
    process = subprocess.Popen([*command, "--port", str(port)], env=environment, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None:
            try:
                client.post(f"http://127.0.0.1:{port}/v1/curves", json=BODY).raise_for_status()
                return time.perf_counter() - begun
            except httpx.TransportError:
                time.sleep(0.005)
        sys.exit(f"{command[:3]} ended with {process.returncode}")
    finally:
        process.terminate()
        process.wait(10)


def main() -> None:
    python = sys.argv[1] if len(sys.argv) > 1 else sys.executable
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the start")
    with tempfile.TemporaryDirectory() as home, httpx.Client(timeout=30) as client:
        floor = Path(home) / "floor.py"
        floor.write_text(FLOOR)
        environment = os.environ | {"LRSERVE_HOME": home, "LRSERVE_REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        commands = {"lrserve": [python, "-m", "lrserve.api"], "one route": [python, str(floor)]}
        sides = {name: partial(first_answer, client, command, environment) for name, command in commands.items()}
        ours, theirs = in_turns(sides, ROUNDS, operator.call).values()
    print(f"to the first answer: one route {theirs:.2f} s, lrserve's curve {ours:.2f} s, ratio {ours / theirs:.2f}")
    print(f"target {TARGET:g} s  {verdict(ours < TARGET)}")


if __name__ == "__main__":
    main()
