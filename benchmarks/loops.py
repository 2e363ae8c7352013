"""Training loops to compare with: the engine's own epoch, and the best that people write by hand."""

from __future__ import annotations

import functools
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import in_turns
from lrcore.datasets._base import Splits
from lrcore.jobs.training_spec import TrainingSpec
from lrserve.worker.engine import Hooks
from lrserve.worker.engine.context import RunContext
from lrserve.worker.engine.data import Data
from lrserve.worker.engine.trainer import Trainer
from lrserve.worker.engine.training_run import TrainingRun

BATCH = 256
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
    """The loop of the tutorials: figures off the device at each batch.

    Args:
        images: a data set of images (channels, height, width) in [0, 1] and their labels.
    """

    def __init__(self, images: torch.utils.data.Dataset[tuple[Tensor, int]], device: torch.device) -> None:
        self.loader = torch.utils.data.DataLoader(images, BATCH, shuffle=True)
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
    """All images as one float tensor on the device, in order of a permutation; no figure leaves it in an epoch.

    Args:
        reduced: whether the model computes in bfloat16.
    """

    def __init__(
        self,
        splits: Splits,
        device: torch.device,
        *,
        channels_last: bool = False,
        model: Callable[[], nn.Module] = lenet,
        reduced: bool = False,
    ) -> None:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        images = torch.from_numpy(splits.train_images).to(device)  # type: ignore[arg-type]
        self.images = images.float().div_(255).contiguous(memory_format=layout)
        self.labels = torch.from_numpy(splits.train_labels).to(device)
        self.reduced = reduced
        self.model = model().to(device, memory_format=layout)  # type: ignore[call-overload]
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.3, foreach=True)

    def epoch(self) -> None:
        total = torch.zeros((), device=self.labels.device)
        hits = torch.zeros((), dtype=torch.int64, device=self.labels.device)
        for chosen in torch.randperm(len(self.labels), device=self.labels.device).split(BATCH):
            images, labels = self.images.index_select(0, chosen), self.labels.index_select(0, chosen)
            with torch.autocast(images.device.type, torch.bfloat16, enabled=self.reduced):
                logits = self.model(images)
            loss = F.cross_entropy(logits.float(), labels)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            with torch.no_grad():
                total += loss * len(labels)
                hits += (logits.argmax(1) == labels).sum()
        total.item(), hits.item()


def residents(splits: Splits, device: torch.device) -> dict[str, Resident]:
    """The loops by hand that may be the fastest, by name."""
    return {
        "by hand": Resident(splits, device),
        "by hand, channels_last": Resident(splits, device, channels_last=True),
        "by hand, pooled first": Resident(splits, device, model=pooled_first),
        "by hand, channels_last, pooled first": Resident(splits, device, channels_last=True, model=pooled_first),
    }


class Engine:
    """lrserve's own epoch without the test pass, one trainer after another. Torch's state is up to the caller."""

    def __init__(self, *trainers: Trainer) -> None:
        self.trainers, self.done = trainers, 0

    def epoch(self) -> None:
        for trainer in self.trainers:
            with trainer.arranged():
                trainer.begin(self.done, 0)
                trainer.train_steps(self.done, 0)
                trainer.figures(self.done)
        self.done += 1


def one_by_one(data: Data, device: torch.device, *specs: TrainingSpec) -> Engine:
    """Runs, each with a trainer of its own."""
    context = RunContext(Path(), device)
    return Engine(*(Trainer([TrainingRun(spec, Hooks(), device)], data, context) for spec in specs))


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds that a call takes, up to when the device has done everything."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def on_device(sides: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each side, in turns, up to when the device has done everything."""
    return in_turns(sides, rounds, functools.partial(seconds, device=device))


def machine(device: torch.device) -> str:
    """What is measured on."""
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    return f"torch {torch.__version__}, Python {platform.python_version()}, {device.type}, {where}"
