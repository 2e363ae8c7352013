"""What the examples share: the rates of a schedule, and scikit-learn's digits.

rates({"type": "StepLR", "step_size": 5}, base_lr=0.1, steps=20)                            # lrcore, no server
rates({"type": "StepLR", "step_size": 5}, base_lr=0.1, steps=20, url="http://localhost:8000")   # the same, bit for bit
"""

from __future__ import annotations

import argparse
import io
from typing import Any

import httpx
import numpy as np
from sklearn.datasets import load_digits

# of a run of 200 steps: 10 % of warm-up, then a cosine
SPEC = {"type": "WarmUp", "warmup_steps": "10%", "schedule": {"type": "CosineAnnealingLR", "T_max": "90%"}}
BASE_LR = 0.1
STEPS = 200
BATCH = 64


def rates(spec: dict[str, Any], base_lr: float, steps: int, url: str | None = None) -> np.ndarray:
    """The rate of every step, float64, shape (steps,): from the library, or from the server at `url`."""
    request = {"schedule": spec, "base_lr": base_lr, "steps": steps}
    if url is None:
        from lrcore.curve import CurveRequest, sample

        return sample(CurveRequest.model_validate(request)).lr[0]
    answer = httpx.post(f"{url}/v1/curves", params={"format": "npy"}, json=request).raise_for_status()
    return np.load(io.BytesIO(answer.content))


def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 images of 8 x 8 pixels, flat, from 0 to 1, and their classes."""
    data = load_digits()
    return (data.data / 16).astype(np.float32), data.target.astype(np.int64)


def server(about: str | None) -> str | None:
    """The server that --url names; None if there is none, and the library is enough."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a running lrserve, such as http://localhost:8000; without it, lrcore is used")
    return parser.parse_args().url


def trained(api: httpx.Client, spec: dict[str, Any]) -> dict[str, Any]:
    """The job of a spec, submitted and waited for until it has succeeded."""
    job = api.post("/v1/jobs", json=spec).raise_for_status().json()
    while job["state"] in ("queued", "running"):
        job = api.get(job["links"]["self"], headers={"Prefer": "wait=10"}).raise_for_status().json()
    assert job["state"] == "succeeded", job
    return job


def check(used: list[float], wanted: np.ndarray, within: float = 0.0) -> None:
    """Compare the rates that a framework has used with those of the curve, and say so."""
    difference = float(np.abs(np.array(used) - wanted).max())
    if difference > within:
        raise SystemExit(f"the rates differ by {difference:g}")
    print(f"{len(used)} rates used, the curve's own" + (f" to {within:g}" if within else ", bit for bit"))
