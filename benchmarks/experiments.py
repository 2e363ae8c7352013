"""Experiments through the HTTP API: how fast a large grid is accepted, and what training side by side saves.

Claims, printed with their targets: a grid of 10,000 runs is accepted within a second, and one run more is refused; the
runs of an experiment are done no later than the same runs submitted as jobs to the same worker; over 20 seeds, runs
trained together are as good as runs trained alone: their mean accuracies differ by less than the standard error.

    python -m benchmarks.experiments [--samples 2560] [--epochs 4]

Generated images of FashionMNIST's shape, and scikit-learn's digits for the accuracies. Experiment and jobs run in
turns, three times; medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from benchmarks.loops import machine
from benchmarks.measure import elapsed, verdict
from benchmarks.service import service
from lrcore.jobs.training_spec import TrainingSpec
from lrserve.worker.engine import Result, pick_device, train
from lrserve.worker.engine.training import train_together

SECONDS = 1.0
SEEDS = 20
LENET = {
    "model": {"type": "lenet"},
    "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9},
    "batch_size": 256,
}
MLP = LENET | {"model": {"type": "mlp"}}
SCHEDULES: list[dict[str, Any] | None] = [
    None,
    {"type": "StepLR", "step_size": 2, "gamma": 0.3},
    {"type": "CosineAnnealingLR", "T_max": "100%"},
    {"type": "ExponentialLR", "gamma": 0.8},
]


def timed(call: Callable[[], httpx.Response], status: int) -> tuple[float, httpx.Response]:
    start = time.perf_counter()
    answer = call()
    seconds = time.perf_counter() - start
    if answer.status_code != status:
        raise SystemExit(f"{answer.status_code} instead of {status}: {answer.text[:500]}")
    return seconds, answer


def acceptance(http: httpx.Client) -> None:
    """Large grids: many seeds, many rates, many schedules."""
    base = LENET | {"dataset": {"type": "fashion-mnist"}, "epochs": 10}
    rates = [i / 10_000 for i in range(1, 10_001)]
    schedules = [{"type": "StepLR", "step_size": 1 + i % 50, "gamma": 0.5 + i / 5000} for i in range(1000)]
    grids = {
        "20 schedules x 50 rates x 10 seeds": {"schedule": schedules[:20], "lr": rates[:50], "seed": list(range(10))},
        "10,000 rates": {"lr": rates},
        "1,000 schedules x 10 seeds": {"schedule": schedules, "seed": list(range(10))},
    }
    for name, grid in grids.items():
        for interval in ("epoch", "step"):
            body = {"base": base | {"interval": interval}, "grid": grid, "hardware": "nobody"}
            seconds = []
            for _ in range(3):
                took, answer = timed(lambda body=body: http.post("/v1/experiments", json=body), 202)  # type: ignore[misc]
                seconds.append(took)
            where = answer.json()["links"]["self"]
            read, whole = timed(lambda where=where: http.get(where), 200)  # type: ignore[misc]
            median = statistics.median(seconds)
            print(
                f"{name:36} by {interval:5}   accepted in {median:6.3f} s   read in {read:6.3f} s, "
                f"{len(whole.content) / 1e6:4.1f} MB   target {SECONDS}  {verdict(median <= SECONDS)}",
                flush=True,
            )
    took, _ = timed(lambda: http.post("/v1/experiments", json={"base": base, "grid": {"lr": [*rates, 2.0]}}), 422)
    print(f"{'10,001 runs':36}            refused in  {took:6.3f} s")


def done(http: httpx.Client, url: str) -> dict[str, Any]:
    while True:
        job: dict[str, Any] = http.get(url, headers={"Prefer": "wait=60"}).raise_for_status().json()
        if job["state"] in ("succeeded", "failed", "cancelled"):
            if job["state"] != "succeeded":
                raise SystemExit(job["error"])
            return job


def side_by_side(http: httpx.Client, what: str, base: dict[str, Any], side: int, batch: int, arguments: Any) -> None:
    """Eight runs as an experiment, and as jobs."""
    data = {"type": "fake", "samples": arguments.samples, "test_samples": 256, "image_size": side}
    base = base | {"dataset": data, "epochs": arguments.epochs, "batch_size": batch}
    seeds = [0, 1]

    def as_experiment() -> None:
        grid = {"schedule": SCHEDULES, "seed": seeds}
        made = http.post("/v1/experiments", json={"base": base, "grid": grid}).raise_for_status().json()
        found = done(http, made["links"]["self"])
        nonlocal how
        how = found["runs"][0]["training"]

    def as_jobs() -> None:
        jobs = [base | {"schedule": schedule, "seed": seed} for schedule in SCHEDULES for seed in seeds]
        links = [http.post("/v1/jobs", json=job).raise_for_status().json()["links"]["self"] for job in jobs]
        for link in links:
            done(http, link)

    how: dict[str, Any] = {}
    turns = [(elapsed(as_jobs), elapsed(as_experiment)) for _ in range(3)]
    ratio = statistics.median(jobs / together for jobs, together in turns)
    jobs, together = (statistics.median(side) for side in zip(*turns, strict=True))
    print(
        f"{what:36} 8 jobs {jobs:7.2f} s   experiment {together:7.2f} s   {ratio:5.2f} x   target 1.0  "
        f"{verdict(ratio >= 1.0)}   ({how['together']} side by side{': ' + how['alone'] if how['alone'] else ''})",
        flush=True,
    )


def accuracies() -> None:
    """The same runs together and alone, in float32 to their end."""
    # at a rate at which every seed learns: where some do not, the standard error is too large to show anything
    job = LENET | {"dataset": {"type": "digits"}, "epochs": 5, "batch_size": 32}
    job |= {"optimizer": {"type": "SGD", "lr": 0.02, "momentum": 0.9}}
    specs = [TrainingSpec.model_validate(job | {"seed": seed}) for seed in range(SEEDS)]
    nowhere, device = Path("nowhere"), pick_device()
    alone = [train(spec, data_root=nowhere, device=device).epochs[-1].test_accuracy for spec in specs]
    outcomes = train_together(specs, data_root=nowhere, device=device)
    together = [outcome.epochs[-1].test_accuracy for outcome in outcomes if isinstance(outcome, Result)]
    error = statistics.stdev(alone) / SEEDS**0.5
    difference = statistics.mean(together) - statistics.mean(alone)
    print(
        f"{SEEDS} seeds on digits: alone {statistics.mean(alone):.4f}, together {statistics.mean(together):.4f}, "
        f"difference {difference:+.5f}, standard error {error:.5f}  {verdict(abs(difference) <= error)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2560, help="images of an epoch")
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    print(machine(pick_device()))
    accuracies()
    with (
        tempfile.TemporaryDirectory() as home,
        service(Path(home), 1) as running,
        httpx.Client(base_url=running.url, timeout=120) as http,
    ):
        acceptance(http)
        side_by_side(http, "lenet, 28x28, batch 256", LENET, 28, 256, arguments)
        side_by_side(http, "lenet, 12x12, batch 16", LENET, 12, 16, arguments)
        side_by_side(http, "mlp, 28x28, batch 256", MLP, 28, 256, arguments)


if __name__ == "__main__":
    main()
