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
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from benchmarks.gpu import FULL, Pictures, Report, against_loops, one_model, whole_job
from benchmarks.loops import BATCH, MODELS, machine
from lrcore.datasets._base import Splits
from lrcore.datasets._torchvision import torchvision_datasets
from lrserve.worker.engine import pick_device

torchvision_datasets()
ToTensor = importlib.import_module("torchvision.transforms").ToTensor  # after the line before it


def pictures(splits: Splits) -> Pictures:
    """One image after another, through PIL and ToTensor."""

    class Drawn(Pictures):
        transform = ToTensor()

        def __len__(self) -> int:
            return len(splits.train_labels)

        def __getitem__(self, i: int) -> tuple[Tensor, int]:
            image = Image.fromarray(np.asarray(splits.train_images)[i, 0])
            return self.transform(image), int(splits.train_labels[i])

    return Drawn()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip-models", action="store_true")
    parser.add_argument("--model", choices=MODELS, help="measure this model alone")
    arguments = parser.parse_args()
    device, report = pick_device(), Report({})
    on_gpu = device.type == "cuda"
    if arguments.model:
        one_model(report, arguments.model, device, (32 if on_gpu else 2) * BATCH, 3)
        return
    print(machine(device), flush=True)
    size = replace(FULL, rounds=arguments.rounds)
    against_loops(report, arguments.data_root, device, size, pictures, 30 if on_gpu else 1.8)
    whole_job(report, arguments.data_root, device, size)
    for name in () if arguments.skip_models else MODELS:  # a process each, so that its peak memory is its own
        subprocess.run([sys.executable, "-m", "benchmarks.train", "--model", name], check=True)


if __name__ == "__main__":
    main()
