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
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from lrcore.datasets._base import Splits
from lrcore.datasets._torchvision import torchvision_datasets
from lrcore.jobs.training_spec import TrainingSpec
from lrserve.worker.engine import Hooks, pick_device, train
from lrserve.worker.engine.data import Data, load
from lrserve.worker.engine.trainer import Trainer

torchvision_datasets()
ToTensor = importlib.import_module("torchvision.transforms").ToTensor  # after the line before it

BATCH = 256
FAKE = {"type": "fake", "samples": 60_000, "test_samples": 10_000}
MODELS: dict[str, dict[str, Any]] = {  # model, and the channels and side of its images
    "lenet": {"model": {"type": "lenet"}, "image": (1, 28)},
    "mlp": {"model": {"type": "mlp"}, "image": (1, 28)},
    "lstm": {"model": {"type": "lstm"}, "image": (1, 28)},
    "gru": {"model": {"type": "gru"}, "image": (1, 28)},
    "vit": {"model": {"type": "vit"}, "image": (3, 32)},
    "resnet20": {"model": {"type": "resnet", "depth": 20}, "image": (3, 32)},
    "resnet56": {"model": {"type": "resnet", "depth": 56}, "image": (3, 32)},
    "resnet9": {"model": {"type": "resnet9"}, "image": (3, 32)},
    "resnet18": {"model": {"type": "resnet18"}, "image": (3, 32)},
    "torchvision:resnet18, 96 px": {"model": {"type": "torchvision:resnet18"}, "image": (3, 96)},
    "torchvision:mobilenet_v2, 96 px": {"model": {"type": "torchvision:mobilenet_v2"}, "image": (3, 96)},
}


def job(dataset: dict[str, Any], **changes: Any) -> TrainingSpec:
    given = {
        "model": {"type": "lenet"},
        "dataset": dataset,
        "optimizer": {"type": "SGD", "lr": 0.3},
        "epochs": 1,
        "batch_size": BATCH,
    }
    return TrainingSpec.model_validate(given | changes)


def lenet() -> nn.Module:
    """As the article has it: ReLU before pooling."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10)),
    )


def pooled_first() -> nn.Module:
    """The same function with a quarter of the ReLU's work."""
    layers = list(lenet())
    return nn.Sequential(layers[0], layers[2], layers[1], layers[3], layers[5], layers[4], *layers[6:])


class DataLoaderLoop:
    """One image after another through a Dataset, ToTensor's arithmetic, and figures off the device at each batch."""

    def __init__(self, splits: Splits, device: torch.device, workers: int = 0) -> None:
        class Images(torch.utils.data.Dataset[tuple[Tensor, int]]):
            transform = ToTensor()

            def __len__(self) -> int:
                return len(splits.train_labels)

            def __getitem__(self, i: int) -> tuple[Tensor, int]:
                image = Image.fromarray(np.asarray(splits.train_images)[i, 0])
                return self.transform(image), int(splits.train_labels[i])

        self.loader = torch.utils.data.DataLoader(Images(), BATCH, shuffle=True, num_workers=workers)
        self.device, self.model = device, lenet().to(device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.3)

    def epoch(self) -> None:
        loss_sum = hits = seen = 0.0
        self.model.train()
        for images, labels in self.loader:
            images, labels = images.to(self.device), labels.to(self.device)
            self.optimizer.zero_grad()
            logits = self.model(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            self.optimizer.step()
            with torch.no_grad():
                loss_sum += loss.item() * len(labels)
                hits += (logits.argmax(1) == labels).sum().item()
                seen += len(labels)


class Resident:
    """All images as one float tensor on the device, in order of a permutation; no figure leaves it in an epoch."""

    def __init__(
        self,
        splits: Splits,
        device: torch.device,
        *,
        channels_last: bool = False,
        model: Callable[[], nn.Module] = lenet,
    ) -> None:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        images = torch.from_numpy(splits.train_images).to(device)  # type: ignore[arg-type]
        self.images = images.float().div_(255).contiguous(memory_format=layout)
        self.labels = torch.from_numpy(splits.train_labels).to(device)
        self.model = model().to(device, memory_format=layout)  # type: ignore[call-overload]
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.3, foreach=True)

    def epoch(self) -> None:
        total = torch.zeros((), device=self.labels.device)
        hits = torch.zeros((), dtype=torch.int64, device=self.labels.device)
        for chosen in torch.randperm(len(self.labels), device=self.labels.device).split(BATCH):
            images, labels = self.images.index_select(0, chosen), self.labels.index_select(0, chosen)
            logits = self.model(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            with torch.no_grad():
                total += loss * len(labels)
                hits += (logits.argmax(1) == labels).sum()
        total.item(), hits.item()


class Engine:
    """lrserve's own epoch, as a job has it, the test pass left out."""

    def __init__(self, spec: TrainingSpec, data: Data, device: torch.device) -> None:
        torch.manual_seed(0)
        self.run, self.done = Trainer(spec, data, device, Hooks(), None), 0

    def epoch(self) -> None:
        run = self.run
        run.begin(self.done)
        run.train_steps(self.done, 0)
        run.losses.tolist(), run.hits.tolist()
        self.done += 1


def seconds(call: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def in_turns(sides: dict[str, Callable[[], None]], rounds: int, device: torch.device) -> dict[str, float]:
    for call in sides.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, call in sides.items():
            taken[name].append(seconds(call, device))
    return {name: statistics.median(times) for name, times in taken.items()}


def epochs(dataset: dict[str, Any], root: Path, device: torch.device, rounds: int) -> None:
    spec = job(dataset, epochs=1000)
    splits = spec.dataset.load(root)
    engine = Engine(spec, load(spec.dataset, root, device), device)
    by_hand = {
        "by hand": Resident(splits, device),
        "by hand, channels_last": Resident(splits, device, channels_last=True),
        "by hand, pooled first": Resident(splits, device, model=pooled_first),
        "by hand, channels_last, pooled first": Resident(splits, device, channels_last=True, model=pooled_first),
    }
    loader = DataLoaderLoop(splits, device)
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


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


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
