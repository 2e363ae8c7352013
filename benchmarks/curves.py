"""A curve in closed form against stepping torch's scheduler: both sides in one process, in turns.

Claim: from a request's JSON to the array of rates, lrserve is more than 10 times as fast at 1,000 steps as the loop
over `scheduler.step()` that reads `param_groups`, more than 25 times at 100,000, and agrees to 1e-12 of the largest
rate.

    python -m benchmarks.curves [STEPS ...]        by default 1000 and 100000

The closed form's time includes validation of the request. Each side runs once to warm up, then ROUNDS times; the
medians are compared. torch's loop makes no optimizer step, which would only add to its time.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.optim import lr_scheduler

from lrcore.curve import CurveRequest, sample

ROUNDS = 5
BASE_LR = 0.3

Json = dict[str, Any]


def schedules(n: int) -> dict[str, Json]:
    """Schedules sized so that all of each is seen within n steps."""
    part, warmup = max(1, n // 30), max(1, n // 20)
    cosine = {"type": "CosineAnnealingLR", "T_max": n - warmup, "eta_min": 1e-3}
    ramp = {"type": "LinearLR", "start_factor": 0.1, "total_iters": warmup}
    return {
        "StepLR": {"type": "StepLR", "step_size": part, "gamma": 0.9},
        "MultiStepLR": {"type": "MultiStepLR", "milestones": [n // 2, 3 * n // 4, 9 * n // 10]},
        "ExponentialLR": {"type": "ExponentialLR", "gamma": 0.01 ** (1 / n)},
        "CosineAnnealingLR": {"type": "CosineAnnealingLR", "T_max": n, "eta_min": 1e-3},
        "CosineAnnealingWarmRestarts": {"type": "CosineAnnealingWarmRestarts", "T_0": warmup, "T_mult": 2},
        "CyclicLR": {"type": "CyclicLR", "base_lr": 1e-3, "max_lr": 0.3, "step_size_up": part, "mode": "triangular2"},
        "OneCycleLR": {"type": "OneCycleLR", "max_lr": 0.3, "total_steps": n},
        "LambdaLR": {"type": "LambdaLR", "lr_lambda": "(epoch + 1) ** -0.5"},
        "warm-up + cosine": {"type": "SequentialLR", "schedulers": [ramp, cosine], "milestones": [warmup]},
    }


def closed(spec: Json, n: int) -> np.ndarray:
    return sample(CurveRequest.model_validate({"schedule": spec, "base_lr": BASE_LR, "steps": n})).lr[0]


def scheduler(spec: Json, optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    arguments = {name: value for name, value in spec.items() if name != "type"}
    if "schedulers" in arguments:
        arguments["schedulers"] = [scheduler(part, optimizer) for part in arguments["schedulers"]]
    if "lr_lambda" in arguments:
        arguments["lr_lambda"] = lambda epoch: (epoch + 1) ** -0.5
    return getattr(lr_scheduler, spec["type"])(optimizer, **arguments)


def stepped(spec: Json, n: int) -> np.ndarray:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=BASE_LR, momentum=0.9)
    made, group, lr = scheduler(spec, optimizer), optimizer.param_groups[0], np.empty(n)
    for t in range(n):
        lr[t] = group["lr"]
        if t < n - 1:
            made.step()
    return lr


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(n: int) -> None:
    print(f"\n{n} steps{'':24} torch      lrserve    ratio   largest difference")
    for name, spec in schedules(n).items():
        difference = np.abs(closed(spec, n) - (expected := stepped(spec, n))).max() / expected.max()
        pairs = [(seconds(lambda s=spec: stepped(s, n)), seconds(lambda s=spec: closed(s, n))) for _ in range(ROUNDS)]
        theirs, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(
            f"{name:30} {theirs * 1e3:9.2f} ms {ours * 1e3:9.3f} ms {theirs / ours:7.0f}   {difference:.0e}", flush=True
        )


def main() -> None:
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
    print(
        f"torch {torch.__version__}, numpy {np.__version__}, Python {platform.python_version()}, one core of this CPU"
    )
    for n in [int(argument) for argument in sys.argv[1:]] or [1_000, 100_000]:
        compare(n)


if __name__ == "__main__":
    main()
