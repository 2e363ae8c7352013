"""The engine against the loops that people write: the tutorials' DataLoader, and the best one by hand.

Claims, printed with their targets. On the CPU, LeNet on FashionMNIST in batches of 256: an epoch at least 1.8 times as
fast as the loop over a DataLoader with `.item()` after each batch, and no more than 5 % slower than the fastest of the
hand-written loops over tensors in memory. On a GPU: ten epochs with a test pass each in at most 0.8 seconds of
training, and at least 30 times as fast as the DataLoader's loop. Then images per second and peak memory of every model.

    python -m benchmarks.train --data-root DIR [--rounds 5] [--skip-models | --model NAME]

DIR is where torchvision finds FashionMNIST; without it the epochs are made on generated images of the same shape. The
sides of a comparison run in one process, in turns; medians are compared. Neither side's test pass is in the epoch.
"""

from __future__ import annotations

import argparse
import importlib
import platform
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.loops import (
    BATCH,
    MODELS,
    DataLoaderLoop,
    Engine,
    in_turns,
    job,
    residents,
    verdict,
)
from lrcore.datasets._base import Splits
from lrcore.datasets._torchvision import torchvision_datasets
from lrserve.worker.engine import Hooks, pick_device, train
from lrserve.worker.engine.data import load

torchvision_datasets()
ToTensor = importlib.import_module("torchvision.transforms").ToTensor  # after the line before it

FAKE = {"type": "fake", "samples": 60_000, "test_samples": 10_000}


def pictures(splits: Splits) -> torch.utils.data.Dataset[tuple[Tensor, int]]:
    """One image after another, through PIL and ToTensor."""

    class Pictures(torch.utils.data.Dataset[tuple[Tensor, int]]):
        transform = ToTensor()

        def __len__(self) -> int:
            return len(splits.train_labels)

        def __getitem__(self, i: int) -> tuple[Tensor, int]:
            image = Image.fromarray(np.asarray(splits.train_images)[i, 0])
            return self.transform(image), int(splits.train_labels[i])

    return Pictures()


def epochs(dataset: dict[str, Any], root: Path, device: torch.device, rounds: int) -> None:
    spec = job(dataset, epochs=1000)
    splits = spec.dataset.load(root)
    engine = Engine(spec, load(spec.dataset, root, device), device)
    by_hand = residents(splits, device)
    loader = DataLoaderLoop(pictures(splits), device)
    sides = {"lrserve": engine.epoch} | {name: side.epoch for name, side in by_hand.items()}
    taken = in_turns(sides, rounds, device) | in_turns({"DataLoader": loader.epoch}, max(1, rounds // 2), device)
    for name, side in taken.items():
        print(
            f"{name:40} {side:8.3f} s an epoch   {taken['DataLoader'] / side:6.2f} x the DataLoader's speed", flush=True
        )
    best = min(by_hand, key=lambda name: taken[name])
    target = 30 if device.type == "cuda" else 1.8
    ratio, share = taken["DataLoader"] / taken["lrserve"], taken["lrserve"] / taken[best]
    print(f"against the DataLoader: {ratio:.2f} x, target {target}  {verdict(ratio >= target)}")
    print(f"against the best by hand ({best}): {share:.3f} of its time, target 1.05  {verdict(share <= 1.05)}")


def ten_epochs(dataset: dict[str, Any], root: Path, device: torch.device) -> None:
    """The whole job, from the seed to the tenth test pass."""
    took: list[float] = []
    for _ in range(3):
        hooks = Hooks(epoch=lambda epoch, best: took.append(epoch.seconds))
        result = train(job(dataset, epochs=10, interval="epoch"), data_root=root, device=device, hooks=hooks)
    last = took[-10:]
    met = verdict(sum(last) <= 0.8) if device.type == "cuda" else ""
    accuracy = result.epochs[-1].test_accuracy
    print(f"LeNet, 10 epochs with a test pass each: {sum(last):.2f} s, test accuracy {accuracy:.3f}; target 0.8  {met}")


def models(device: torch.device) -> None:
    """A process each, so that its peak memory is its own."""
    print(f"\n{'model, a batch of 256':34} parameters   images/s in training   peak memory", flush=True)
    for name in MODELS:
        subprocess.run([sys.executable, "-m", "benchmarks.train", "--model", name], check=True)


def one_model(name: str, device: torch.device) -> None:
    channels, side = MODELS[name]["image"]
    n = (32 if device.type == "cuda" else 2) * BATCH
    dataset = {"type": "fake", "samples": n, "test_samples": 16, "image_size": side, "channels": channels}
    spec = job(dataset, model=MODELS[name]["model"], optimizer={"type": "SGD", "lr": 0.01}, epochs=1000)
    engine = Engine(spec, load(spec.dataset, Path(), device), device)
    taken = in_turns({name: engine.epoch}, 3, device)[name]
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    count = sum(p.numel() for p in engine.run.model.parameters())
    where = "on the device" if device.type == "cuda" else "of the process"
    print(f"{name:34} {count:10,}   {n / taken:10.0f}            {peak / 2**20:7.0f} MiB {where}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip-models", action="store_true")
    parser.add_argument("--model", choices=MODELS, help="measure this model alone")
    arguments = parser.parse_args()
    device = pick_device()
    if arguments.model:
        return one_model(arguments.model, device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {device.type}, {where}")
    dataset = {"type": "fashion-mnist"} if arguments.data_root else FAKE
    root = arguments.data_root or Path()
    epochs(dataset, root, device, arguments.rounds)
    ten_epochs(dataset, root, device)
    if not arguments.skip_models:
        models(device)
    return None


if __name__ == "__main__":
    main()
