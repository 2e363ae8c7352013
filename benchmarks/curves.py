"""Curves in closed form against stepping torch, against optax's compiled schedules, and against writing memory.

Claims, each printed with its target: at 100,000 steps at least 1,000 times as fast as the loop over torch's
`scheduler.step()` for every class, and equal to 1e-12 of the largest rate; at 1,000,000 steps at most 0.35 of the time
of optax's warm `jit(vmap(schedule))` for cosine and warm-up cosine and 0.15 for exponential; piecewise-constant curves
at most 1.5 times as long as `np.full`.

    python -m benchmarks.curves [STEPS ...]        by default 1000, 100000 and 1000000

Both sides of a line run in one process, in turns; the medians of ROUNDS are compared. lrserve's time is that of
`sample`, from the validated request to the array, checks included. torch's loop makes no optimizer step, which would
only add to its time; its schedulers of momentum are asked for the rate alone on both sides. ReduceLROnPlateau reads a
metric an interval on both sides.
"""

from __future__ import annotations

import platform
import statistics
import sys
import warnings
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
import torch
from torch.optim import lr_scheduler, swa_utils

from benchmarks.measure import elapsed, verdict
from lrcore.curve import CurveRequest, sample
from lrcore.numerics.grid import Grid
from lrcore.schedules.plateau import ReduceLROnPlateau

ROUNDS = 15
STEPPED_ROUNDS = 3  # torch takes its time
BASE_LR = 0.3

Json = dict[str, Any]


def schedules(n: int) -> dict[str, Json]:
    """Every class of torch, sized so that all of each is seen within n steps."""
    part, warmup = max(1, n // 30), max(1, n // 20)
    cosine = {"type": "CosineAnnealingLR", "T_max": n - warmup, "eta_min": 1e-3}
    ramp = {"type": "LinearLR", "start_factor": 0.1, "total_iters": warmup}
    gamma = 0.01 ** (1 / n)
    decay = {"type": "ExponentialLR", "gamma": gamma}
    still = {"cycle_momentum": False}
    return {
        "StepLR": {"type": "StepLR", "step_size": part, "gamma": 0.9},
        "MultiStepLR": {"type": "MultiStepLR", "milestones": [n // 2, 3 * n // 4, 9 * n // 10]},
        "ConstantLR": {"type": "ConstantLR", "total_iters": n // 2},
        "LinearLR": {"type": "LinearLR", "total_iters": n},
        "PolynomialLR": {"type": "PolynomialLR", "total_iters": n, "power": 2.0},
        "ExponentialLR": decay,
        "CosineAnnealingLR": {"type": "CosineAnnealingLR", "T_max": n, "eta_min": 1e-3},
        "CosineAnnealingWarmRestarts": {"type": "CosineAnnealingWarmRestarts", "T_0": warmup, "T_mult": 2},
        "CyclicLR": {"type": "CyclicLR", "base_lr": 1e-3, "max_lr": 0.3, "step_size_up": part, "mode": "triangular2"}
        | still,
        "OneCycleLR": {"type": "OneCycleLR", "max_lr": 0.3, "total_steps": n} | still,
        "LambdaLR": {"type": "LambdaLR", "lr_lambda": "0.95 ** (epoch / 1000)"},
        "MultiplicativeLR": {"type": "MultiplicativeLR", "lr_lambda": repr(gamma)},
        "SWALR": {"type": "SWALR", "swa_lr": 0.05, "anneal_epochs": n},
        "SequentialLR": {"type": "SequentialLR", "schedulers": [ramp, cosine], "milestones": [warmup]},
        "ChainedScheduler": {
            "type": "ChainedScheduler",
            "schedulers": [ramp, {"type": "ExponentialLR", "gamma": gamma}],
        },
    }


def request(spec: Json, n: int) -> CurveRequest:
    return CurveRequest.model_validate({"schedule": spec, "base_lr": BASE_LR, "steps": n})


def scheduler(spec: Json, optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    arguments = {name: value for name, value in spec.items() if name != "type"}
    if "schedulers" in arguments:
        arguments["schedulers"] = [scheduler(part, optimizer) for part in arguments["schedulers"]]
    if "lr_lambda" in arguments:
        code = compile(arguments["lr_lambda"], "<expression>", "eval")
        arguments["lr_lambda"] = lambda epoch: eval(code, {"epoch": epoch})
    if spec["type"] == "ChainedScheduler":
        return lr_scheduler.ChainedScheduler(arguments["schedulers"])
    made: lr_scheduler.LRScheduler = getattr(swa_utils if spec["type"] == "SWALR" else lr_scheduler, spec["type"])(
        optimizer, **arguments
    )
    return made


def stepped(spec: Json, n: int) -> np.ndarray:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=BASE_LR, momentum=0.9)
    made, group, lr = scheduler(spec, optimizer), optimizer.param_groups[0], np.empty(n)
    for t in range(n):
        lr[t] = group["lr"]
        if t < n - 1:
            made.step()
    return lr


def medians(
    theirs: Callable[[], object], ours: Callable[[], object], rounds: int, times: int = 1
) -> tuple[float, float]:
    """Median seconds of both sides, run in turns; `ours` is run `times` times a turn."""
    theirs(), ours()
    pairs = [(elapsed(theirs), statistics.median(elapsed(ours) for _ in range(times))) for _ in range(rounds)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def against_torch(n: int) -> None:
    print(f"\n{n} steps{'':24} torch      lrserve     ratio   largest difference   target 1000")
    for name, spec in schedules(n).items():
        asked = request(spec, n)
        difference = np.abs(sample(asked).lr[0] - (expected := stepped(spec, n))).max() / expected.max()
        theirs, ours = medians(lambda s=spec: stepped(s, n), lambda a=asked: sample(a), STEPPED_ROUNDS, ROUNDS)
        line(name, theirs, ours, f"{difference:10.0e}", theirs / ours >= 1000, n)
    metrics = 1 / (1 + np.arange(n) * 100 / n) + 0.01 * np.random.default_rng(0).random(n)
    spec = ReduceLROnPlateau(type="ReduceLROnPlateau")

    def plateau() -> np.ndarray:
        return spec.follow([BASE_LR], metrics)[0]

    theirs, ours = medians(lambda: stepped_plateau(metrics.tolist()), plateau, STEPPED_ROUNDS, ROUNDS)
    same = np.array_equal(plateau(), stepped_plateau(metrics.tolist()))
    line("ReduceLROnPlateau", theirs, ours, f"{'none' if same else 'DIFFERS':>10}", theirs / ours >= 1000, n)


def line(name: str, theirs: float, ours: float, difference: str, met: bool, n: int) -> None:
    end = verdict(met) if n >= 100_000 else ""
    print(
        f"{name:30} {theirs * 1e3:9.2f} ms {ours * 1e3:9.3f} ms {theirs / ours:8.0f} {difference}   {end}", flush=True
    )


def stepped_plateau(metrics: list[float]) -> np.ndarray:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=BASE_LR)
    made = lr_scheduler.ReduceLROnPlateau(optimizer)
    lr = [BASE_LR]
    for metric in metrics:
        made.step(metric)
        lr.append(optimizer.param_groups[0]["lr"])
    return np.array(lr)


def against_optax(n: int) -> None:
    jax.config.update("jax_enable_x64", True)  # the same precision on both sides
    t = jax.numpy.arange(n)
    warm = n // 20
    gamma = 0.01 ** (1 / n)
    cases = {
        "cosine": (
            optax.cosine_decay_schedule(BASE_LR, n, 0.01),
            {"type": "cosine_decay_schedule", "init_value": BASE_LR, "decay_steps": n, "alpha": 0.01},
            0.35,
        ),
        "warm-up cosine": (
            optax.warmup_cosine_decay_schedule(0.0, BASE_LR, warm, n, 0.003),
            {
                "type": "warmup_cosine_decay_schedule",
                "init_value": 0.0,
                "peak_value": BASE_LR,
                "warmup_steps": warm,
                "decay_steps": n,
                "end_value": 0.003,
            },
            0.35,
        ),
        "exponential": (
            optax.exponential_decay(BASE_LR, 1, gamma),
            {"type": "exponential_decay", "init_value": BASE_LR, "transition_steps": 1, "decay_rate": gamma},
            0.15,
        ),
    }
    print(f"\n{n} steps{'':18} optax jit(vmap)   lrserve     of its time   target")
    for name, (schedule, spec, target) in cases.items():
        compiled, asked = jax.jit(jax.vmap(schedule)), request(spec, n)
        theirs, ours = medians(lambda c=compiled: c(t).block_until_ready(), lambda a=asked: sample(a), 3 * ROUNDS)
        share(name, theirs, ours, target)
    print(f"\n{n} steps{'':18}     np.full       lrserve     of its time   target")
    for name in ("StepLR", "MultiStepLR", "ConstantLR"):
        asked = request(schedules(n)[name], n)
        theirs, ours = medians(lambda: np.full(n, 0.1), lambda a=asked: sample(a), 3 * ROUNDS)
        share(name, theirs, ours, 1.5)


def share(name: str, theirs: float, ours: float, target: float) -> None:
    of_its_time = ours / theirs
    times = f"{theirs * 1e3:9.2f} ms {ours * 1e3:9.3f} ms"
    print(f"{name:30} {times} {of_its_time:12.2f} {target:11} {verdict(of_its_time <= target)}", flush=True)


def far_steps() -> None:
    """A far step costs what a near one does."""
    spec = request({"type": "CosineAnnealingWarmRestarts", "T_0": 10, "T_mult": 2}, 1).schedule
    near, far = medians(
        lambda: spec.rates(Grid(0, 1, 1000), 0.3), lambda: spec.rates(Grid(10**15 - 2000, 1, 1000), 0.3), 200
    )
    print(f"\n1000 warm-restart steps from 0: {near * 1e6:.0f} µs, from 10**15: {far * 1e6:.0f} µs")


def main() -> None:
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
    print(f"torch {torch.__version__}, numpy {np.__version__}, Python {platform.python_version()}")
    for n in [int(argument) for argument in sys.argv[1:]] or [1_000, 100_000, 1_000_000]:
        (against_torch if n < 1_000_000 else against_optax)(n)
    far_steps()


if __name__ == "__main__":
    main()
