"""Runs that train together against the same runs one after the other, in the engine and in plain PyTorch.

Claims, printed with their targets. On the CPU, 8 LeNets on images of FashionMNIST's shape in batches of 256 train at
least 1.2 times as fast together as one after the other; where together would be slower, the engine trains one after
the other, and says so here. On a GPU, 64 of them train at least 20 times as fast together as in a plain PyTorch loop,
one after the other.

    python -m benchmarks.grouping [--device cuda] [--samples 2560] [--rounds 5]

Generated images. The sides of a comparison run in one process, in turns, an epoch of all runs each without test pass;
medians of the turns' ratios are compared, and beside them each side's best turn, which a busy machine disturbs least.
Seconds are for all runs together.
"""

from __future__ import annotations

import argparse
import functools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.loops import Engine, machine, one_by_one, seconds
from benchmarks.measure import verdict
from lrcore.jobs.training_spec import TrainingSpec
from lrserve.worker.engine import Hooks, pick_device
from lrserve.worker.engine.context import RunContext, torch_state
from lrserve.worker.engine.data import DTYPES, Data, load
from lrserve.worker.engine.grouping import is_faster, why_alone, widths
from lrserve.worker.engine.models.base import built
from lrserve.worker.engine.models.stacked import StackedModels
from lrserve.worker.engine.trainer import Trainer
from lrserve.worker.engine.training_run import TrainingRun

CASES: dict[str, dict[str, Any]] = {
    "lenet": {"model": {"type": "lenet"}},
    "mlp": {"model": {"type": "mlp"}},
    "lenet, 12x12, batch 16": {"model": {"type": "lenet"}, "batch_size": 16, "side": 12},
}
RUNS = (2, 4, 8, 16)
PLAIN_RUNS = 64


def jobs(count: int, samples: int, side: int = 28, batch_size: int = 256, **changes: Any) -> list[TrainingSpec]:
    """Runs with different rates, schedules and seeds."""
    schedules = [None, {"type": "ExponentialLR", "gamma": 0.999}, {"type": "CosineAnnealingLR", "T_max": 10_000}]
    given = {
        "dataset": {"type": "fake", "samples": samples, "test_samples": 16, "image_size": side},
        "epochs": 1000,
        "interval": "step",
        "batch_size": batch_size,
    }
    optimizers = [{"type": "SGD", "lr": 0.1 / (1 + i), "momentum": 0.9, "weight_decay": 1e-4} for i in range(count)]
    return [
        TrainingSpec.model_validate(given | changes | {"optimizer": optimizer, "schedule": schedules[i % 3], "seed": i})
        for i, optimizer in enumerate(optimizers)
    ]


def side_by_side(data: Data, device: torch.device, *specs: TrainingSpec) -> Engine:
    """The same runs together."""
    runs = [TrainingRun(spec, Hooks(), device) for spec in specs]
    divided = functools.partial(widths, specs[0], device)
    return Engine(Trainer(runs, data, RunContext(Path(), device), StackedModels, divided))


class Plain:
    """The loop that people write, with all images as floats on the device, run by run."""

    def __init__(self, data: Data, device: torch.device, *specs: TrainingSpec) -> None:
        stored = data.training.images
        assert isinstance(stored, torch.Tensor)
        self.images, self.labels = stored.permute(0, 3, 1, 2).float().div(255).contiguous(), data.training.labels
        self.batch_size, self.models = specs[0].batch_size, list[tuple[nn.Module, torch.optim.Optimizer]]()
        for spec in specs:
            torch.manual_seed(spec.seed)
            model = built(spec, device)
            optimizer = torch.optim.SGD(model.parameters(), lr=spec.optimizer.lr, momentum=0.9, weight_decay=1e-4)
            self.models.append((model, optimizer))

    def epoch(self) -> None:
        for model, optimizer in self.models:
            total = torch.zeros((), device=self.labels.device)
            for chosen in torch.randperm(len(self.labels), device=self.labels.device).split(self.batch_size):
                loss = F.cross_entropy(model(self.images[chosen]), self.labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.detach()
            total.item()


def compared(one: Callable[[], None], other: Callable[[], None], rounds: int, device: torch.device) -> list[float]:
    """Median seconds of both sides; how many times as long the first takes, as median of turns and in their best."""
    one(), other()
    turns = [(seconds(one, device), seconds(other, device)) for _ in range(rounds)]
    ratios = [first / second for first, second in turns]
    first, second = zip(*turns, strict=True)
    return [*map(statistics.median, (first, second, ratios)), min(first) / min(second)]


def case(name: str, count: int, samples: int, rounds: int, device: torch.device, plain: bool = False) -> None:
    specs = jobs(count, samples, **CASES[name])
    if not plain and not is_faster(specs, device):
        print(f"{name:24} {count:3} runs   one after the other: {why_alone(0, specs, device)}", flush=True)
        return
    data = load(specs[0].dataset, Path(), device, DTYPES[specs[0].precision])
    with torch_state(specs[0], device):
        together, side = side_by_side(data, device, *specs), (Plain if plain else one_by_one)(data, device, *specs)
        apart, joined, ratio, best = compared(side.epoch, together.epoch, rounds, device)
    target = 20.0 if plain else 1.2 if (name, count) == ("lenet", 8) else 1.0
    what = "plain PyTorch" if plain else "one by one"
    print(
        f"{name:24} {count:3} runs   {what:13} {apart:8.3f} s   together {joined:8.3f} s   "
        f"{ratio:6.2f} x, best {best:5.2f} x   target {target}  {verdict(ratio >= target)}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default=pick_device())
    parser.add_argument("--samples", type=int, help="images of an epoch (default: 60000 on a GPU, else 2560)")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    device = arguments.device
    on_gpu = device.type == "cuda"
    samples = arguments.samples or (60_000 if on_gpu else 2560)
    print(f"{machine(device)}, {samples} images")
    for name in CASES:
        for count in RUNS:
            case(name, count, samples, arguments.rounds, device)
    if on_gpu:
        for name in ("lenet", "mlp"):
            case(name, PLAIN_RUNS, samples, 1, device, plain=True)


if __name__ == "__main__":
    main()
