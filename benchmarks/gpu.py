"""Measure on a GPU, in one command: the engine against plain PyTorch, and the speed and memory of each model.

Claims, printed with their targets: LeNet on FashionMNIST in batches of 256 at least 30 times as fast an epoch as the
loop over a DataLoader with `.item()` after each batch, and no more than 5 % slower than the fastest loop by hand; ten
epochs with a test pass each in at most 0.8 seconds; 64 runs side by side at least 20 times as fast as in a plain loop,
one after the other; a ResNet-18 on CIFAR-10 no slower than the loop by hand. Then images per second and peak memory
of each model.

    python -m benchmarks.gpu --data-root DIR --out gpu.json [--small]

DIR is where torchvision finds FashionMNIST and CIFAR-10; without it the images are generated. Under eight minutes on
one card. It needs torch, numpy and pydantic, and torchvision for real data. --small takes seconds and measures
nothing: it shows on a CPU that the command still works.
"""

from __future__ import annotations

import argparse
import functools
import json
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import grouping
from benchmarks.loops import (
    BATCH,
    MODELS,
    DataLoaderLoop,
    Resident,
    job,
    machine,
    on_device,
    one_by_one,
    residents,
)
from benchmarks.measure import verdict
from lrcore.datasets._base import Splits
from lrserve.worker.engine import Hooks, pick_device, train
from lrserve.worker.engine.context import torch_state
from lrserve.worker.engine.data import load

SHAPES = {"fashion-mnist": (1, 28), "cifar10": (3, 32)}  # channels and side


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        images: of an epoch on generated data; real data have their own number.
        rounds: turns of each comparison.
        models: those whose speed and memory are measured.
        runs: that train side by side.
    """

    images: int | None
    rounds: int
    models: tuple[str, ...]
    runs: int
    epochs: int = 10


FULL = Size(None, 5, tuple(MODELS), 64)
SMALL = Size(512, 1, ("lenet", "mlp"), 2, epochs=1)
Pictures = torch.utils.data.Dataset[tuple[Tensor, int]]


@dataclass
class Report:
    """Figures, printed as they come.

    Attributes:
        figures: name, value, unit, and where there is one the target and whether it was met.
    """

    about: dict[str, Any]
    figures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, *, least: float | None = None, most: float | None = None) -> None:
        """Print a figure, and keep it."""
        found: dict[str, Any] = {"name": name, "value": value, "unit": unit}
        text = f"{name:72} {value:12.4g} {unit}"
        if least is not None or most is not None:
            met = (least is None or value >= least) and (most is None or value <= most)
            found |= {"at_least": least, "at_most": most, "met": met}
            text += f"   target {least if most is None else most}  {verdict(met)}"
        self.figures.append(found)
        print(text, flush=True)


def tensors(splits: Splits) -> Pictures:
    """One image after another."""

    class Tensors(Pictures):
        def __len__(self) -> int:
            return len(splits.train_labels)

        def __getitem__(self, i: int) -> tuple[Tensor, int]:
            return torch.from_numpy(splits.train_images[i]).float() / 255, int(splits.train_labels[i])  # type: ignore[index]

    return Tensors()


def dataset(name: str, root: Path | None, size: Size) -> dict[str, Any]:
    """A data set of the spec: the real one, or generated images of its shape."""
    channels, side = SHAPES[name]
    if root is None:
        count = size.images or 60_000
        return {"type": "fake", "samples": count, "test_samples": count // 6, "image_size": side, "channels": channels}
    return {"type": name} | ({} if size.images is None else {"subset": size.images, "test_subset": size.images // 6})


def against_loops(
    report: Report,
    root: Path | None,
    device: torch.device,
    size: Size,
    pictures: Callable[[Splits], Pictures] = tensors,
    least: float = 30.0,
) -> None:
    """LeNet on FashionMNIST.

    Args:
        pictures: makes what the DataLoader draws from.
        least: times that the DataLoader's loop is to take.
    """
    spec = job(dataset("fashion-mnist", root, size), epochs=1000)
    data, splits = load(spec.dataset, root or Path(), device), spec.dataset.load(root or Path())
    engine = one_by_one(data, device, spec)
    by_hand = residents(splits, device)
    sides = {"lrserve": engine.epoch} | {name: side.epoch for name, side in by_hand.items()}
    with torch_state(spec, device):
        taken = on_device(sides, size.rounds, device)
        taken |= on_device({"DataLoader": DataLoaderLoop(pictures(splits), device).epoch}, min(2, size.rounds), device)
    for name, seconds in taken.items():
        report.add(f"LeNet, an epoch, {name}", seconds, "s")
    best = min(taken[name] for name in by_hand)
    report.add("LeNet, an epoch: DataLoader over lrserve", taken["DataLoader"] / taken["lrserve"], "x", least=least)
    report.add("LeNet, an epoch: lrserve over the best by hand", taken["lrserve"] / best, "x", most=1.05)


def whole_job(report: Report, root: Path | None, device: torch.device, size: Size) -> None:
    """Ten epochs with a test pass each; the first job warms everything up."""
    took: list[float] = []
    spec = job(dataset("fashion-mnist", root, size), epochs=size.epochs)
    for _ in range(3):
        hooks = Hooks(epoch=lambda epoch, best: took.append(epoch.seconds))
        done = train(spec, data_root=root or Path(), device=device, hooks=hooks)
    most = 0.8 if device.type == "cuda" else None
    report.add(f"LeNet, {size.epochs} epochs with test passes", sum(took[-size.epochs :]), "s", most=most)
    report.add("LeNet, test accuracy after them", done.epochs[-1].test_accuracy, "")


def resnet(report: Report, root: Path | None, device: torch.device, size: Size) -> None:
    """ResNet-18 on CIFAR-10, in float32 and bfloat16, against the loop by hand in channels_last."""
    model = {"type": "resnet18"} if size is FULL else {"type": "resnet18", "width": 4}
    for precision in ("float32", "bfloat16"):
        spec = job(dataset("cifar10", root, size), model=model, precision=precision, epochs=1000)
        data, splits = load(spec.dataset, root or Path(), device), spec.dataset.load(root or Path())
        make = functools.partial(spec.model.build, spec.dataset.image_shape, spec.dataset.num_classes)
        with torch_state(spec, device):
            engine = one_by_one(data, device, spec)
            plain = Resident(splits, device, channels_last=True, model=make, reduced=precision == "bfloat16")
            taken = on_device({"lrserve": engine.epoch, "by hand": plain.epoch}, min(3, size.rounds), device)
        for name, seconds in taken.items():
            report.add(f"ResNet-18, {precision}, {name}", len(data.training) / seconds, "images/s")
        ratio = taken["lrserve"] / taken["by hand"]
        report.add(f"ResNet-18, {precision}: lrserve over by hand", ratio, "x", most=1.05)


def side_by_side(report: Report, device: torch.device, size: Size) -> None:
    """Many runs as one network, against plain PyTorch and against the engine, one after the other."""
    samples = size.images or 60_000
    for name in ("lenet", "mlp"):
        for count, plain in ((size.runs, True), (min(8, size.runs), False)):
            specs = grouping.jobs(count, samples, **grouping.CASES[name])
            data = load(specs[0].dataset, Path(), device)
            with torch_state(specs[0], device):
                together = grouping.side_by_side(data, device, *specs)
                other = (grouping.Plain if plain else one_by_one)(data, device, *specs)
                turns = 1 if plain else min(3, size.rounds)
                apart, joined, ratio, _ = grouping.compared(other.epoch, together.epoch, turns, device)
            what = "plain PyTorch" if plain else "lrserve"
            report.add(f"{name}, {count} runs, {what}, one by one", apart, "s an epoch of all")
            report.add(f"{name}, {count} runs, side by side", joined, "s an epoch of all")
            report.add(f"{name}, {count} runs: one by one over side by side", ratio, "x", least=20 if plain else 1)


def one_model(report: Report, name: str, device: torch.device, count: int, rounds: int) -> None:
    """Images per second in training, and the most memory that is taken at once."""
    channels, side = MODELS[name]["image"]
    data = {"type": "fake", "samples": count, "test_samples": 16, "image_size": side, "channels": channels}
    spec = job(data, model=MODELS[name]["model"], optimizer={"type": "SGD", "lr": 0.01}, epochs=1000)
    empty(device)
    with torch_state(spec, device):
        engine = one_by_one(load(spec.dataset, Path(), device), device, spec)
        seconds = on_device({name: engine.epoch}, rounds, device)[name]
    report.add(f"{name}, batches of {BATCH}", count / seconds, "images/s")
    report.add(f"{name}, peak memory", peak(device) / 2**20, "MiB")
    model = spec.model.build(spec.dataset.image_shape, spec.dataset.num_classes)
    report.add(f"{name}, parameters", sum(p.numel() for p in model.parameters()), "")


def empty(device: torch.device) -> None:
    """Return unused memory to the device, and measure its peak anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak(device: torch.device) -> int:
    """Bytes of the device; on a CPU of the process, so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--out", type=Path, help="takes the figures as JSON")
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    device, size = pick_device(), SMALL if arguments.small else FULL
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    report = Report(
        {"device": name, "torch": torch.__version__, "python": platform.python_version(), "size": asdict(size)}
    )
    print(machine(device), flush=True)
    begun = time.perf_counter()
    against_loops(report, arguments.data_root, device, size)
    whole_job(report, arguments.data_root, device, size)
    resnet(report, arguments.data_root, device, size)
    side_by_side(report, device, size)
    for name in size.models:
        one_model(report, name, device, size.images or 32 * BATCH, min(3, size.rounds))
    report.add("the whole command", time.perf_counter() - begun, "s", most=480)
    if arguments.out:
        arguments.out.write_text(json.dumps({**report.about, "figures": report.figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
