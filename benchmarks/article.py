"""The six runs of the FashionMNIST article through the HTTP API, several seeds each.

Claim: the median test accuracy of each run lies within 0.02 of the plain PyTorch figure (one seed of the same loop
written out by hand). At a constant 0.3, and at factor 0.8 from 0.6, some initializations never start to learn and stay
at 0.1, in plain PyTorch too: such runs are printed, and count in the median.

    python -m benchmarks.article --data-root DIR [--seeds 0 1 2]

DIR holds FashionMNIST/raw; without it torchvision downloads the files.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.service import service
from lrserve.client import Client

COSINE = {"type": "CosineScheduler", "max_update": 10, "base_lr": 0.2, "final_lr": 0.02}
RUNS: dict[str, tuple[float, dict[str, Any] | None, float]] = {  # rate, schedule, test accuracy in plain PyTorch
    "constant 0.3": (0.3, None, 0.879),
    "square root 0.1": (0.1, {"type": "SquareRootScheduler", "lr": 0.1}, 0.843),
    "factor 0.8": (0.6, {"type": "FactorScheduler", "factor": 0.8, "stop_factor_lr": 0.01, "base_lr": 0.6}, 0.880),
    "multistep [3, 8]": (0.5, {"type": "MultiStepLR", "milestones": [3, 8], "gamma": 0.5}, 0.885),
    "cosine": (0.2, COSINE, 0.882),
    "warm-up cosine": (0.2, COSINE | {"warmup_steps": 3, "warmup_begin_lr": 0.0}, 0.875),
}
TOLERANCE = 0.02
STUCK = 0.15  # a tenth of the images is what guessing gets right


def job(lr: float, schedule: dict[str, Any] | None, seed: int) -> dict[str, Any]:
    return {
        "model": {"type": "lenet"},
        "dataset": {"type": "fashion-mnist"},
        "optimizer": {"type": "SGD", "lr": lr},
        "schedule": schedule,
        "epochs": 10,
        "batch_size": 256,
        "seed": seed,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as home,
        service(Path(home), 1, arguments.data_root) as running,
        Client(running.url) as client,
    ):
        return report(client, arguments.seeds)


def report(client: Client, seeds: list[int]) -> int:
    ids = {name: [client.submit(job(lr, s, seed)).id for seed in seeds] for name, (lr, s, _) in RUNS.items()}
    missed = 0
    print(f"{'run':18} {'plain':>6} {'median':>7} {'off by':>7}  train loss, train and test accuracy by seed {seeds}")
    for name, job_ids in ids.items():
        rows = []
        for job_id in job_ids:
            for _ in client.follow(job_id):
                pass
            ended = client.job(job_id)
            if ended.metrics is None or ended.error is not None:
                raise SystemExit(f"{name}: {ended.error}")
            rows.append(ended.metrics)
        accuracies = [row.test_accuracy for row in rows]
        median, plain = statistics.median(accuracies), RUNS[name][2]
        within = abs(median - plain) <= TOLERANCE
        missed += not within
        figures = "  ".join(f"{r.train_loss:.3f} {r.train_accuracy:.3f} {r.test_accuracy:.3f}" for r in rows)
        stuck = sum(accuracy < STUCK for accuracy in accuracies)
        note = ("" if within else "  MISSED") + (f"  ({stuck} of {len(rows)} never started to learn)" if stuck else "")
        print(f"{name:18} {plain:6.3f} {median:7.3f} {median - plain:+7.3f}  {figures}{note}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
