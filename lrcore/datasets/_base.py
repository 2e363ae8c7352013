"""The base of every data set: a spec with its facts, and a `load` that only a worker calls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lrcore.family import Member

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """A data set in memory.

    Attributes:
        train_images, test_images: shape (n, channels, height, width), uint8.
        train_labels, test_labels: shape (n,), int64.
    """

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels


class Dataset(Member):
    """Labelled images with a fixed training and test split."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        raise NotImplementedError

    @property
    def num_classes(self) -> int:
        raise NotImplementedError

    @property
    def train_size(self) -> int:
        """Training images; with the batch size it gives the steps of an epoch."""
        raise NotImplementedError

    @property
    def normalize(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel, in units of the full range [0, 1]."""
        channels = self.image_shape[0]
        return (0.0,) * channels, (1.0,) * channels

    def load(self, root: Path) -> Splits:
        """Read the data set, from under `root` if it lives in files.

        Raises:
            DataUnavailable: it is not there and cannot be downloaded.
        """
        raise NotImplementedError
