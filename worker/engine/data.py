"""A data set resident on the device.

Letters in shapes: N images, B images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrcore.datasets import Dataset

EVAL_BATCH = 1000


@dataclass(frozen=True)
class Split:
    """Images (N, C, H, W) float32, normalized, and labels (N,) int64, on the device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def shuffled(self, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The epoch's batches (B, C, H, W), (B,). Their order depends on seed and epoch alone."""
        order = torch.from_numpy(permutation(len(self), seed, epoch)).to(self.labels.device)
        for chosen in torch.split(order, batch_size):
            yield self.images.index_select(0, chosen), self.labels.index_select(0, chosen)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All images once, for evaluation."""
        yield from zip(torch.split(self.images, EVAL_BATCH), torch.split(self.labels, EVAL_BATCH), strict=True)


def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of the training images in one epoch, shape (n,): the same for every device and version of torch."""
    return np.random.Generator(np.random.PCG64([seed, epoch])).permutation(n)


def load(dataset: Dataset, root: Path, device: torch.device) -> tuple[Split, Split]:
    """Training and test split on the device. Raises DataUnavailable."""
    splits = dataset.load(root)
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in dataset.normalize)

    def resident(images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Split:
        scaled = torch.from_numpy(images).to(device).float().div_(255).sub_(mean).div_(std)
        return Split(scaled.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels).to(device))

    return (
        resident(splits.train_images, splits.train_labels),
        resident(splits.test_images, splits.test_labels),
    )
