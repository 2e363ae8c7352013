"""FashionMNIST: 60,000 + 10,000 grey 28x28 pictures of clothes in 10 classes, MIT licence, 30 MB to download.

Xiao, Rasul and Vollgraf, arXiv:1708.07747. Read by torchvision, which checks the files' MD5 sums.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from lrcore.datasets._base import Dataset, Splits
from lrcore.datasets._torchvision import torchvision_datasets
from lrcore.errors import DataUnavailable


class FashionMNIST(Dataset):
    """Pixels in [0, 1], not normalized further, as the articles train on it."""

    summary = "60,000 + 10,000 grey 28x28 pictures of clothes, 10 classes; downloaded on first use"
    origin = "Zalando Research, https://github.com/zalandoresearch/fashion-mnist"
    example = {"type": "fashion-mnist"}

    type: Literal["fashion-mnist"]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return (1, 28, 28)

    @property
    def num_classes(self) -> int:
        return 10

    @property
    def train_size(self) -> int:
        return 60_000

    def load(self, root: Path) -> Splits:
        train_images, train_labels = self._split(root, train=True)
        test_images, test_labels = self._split(root, train=False)
        return Splits(train_images, train_labels, test_images, test_labels)

    @staticmethod
    def _split(root: Path, *, train: bool) -> tuple[np.ndarray, np.ndarray]:
        try:
            root.mkdir(parents=True, exist_ok=True)
            data = torchvision_datasets().FashionMNIST(str(root), train=train, download=True)
        except Exception as error:  # torchvision raises whatever urllib, gzip or the file system does
            raise DataUnavailable(
                f"fashion-mnist is not under {root / 'FashionMNIST'} and could not be downloaded: {error}. "
                "Put its files there, or set LRSERVE_DATA_ROOT to where they are."
            ) from error
        return data.data.numpy()[:, None], data.targets.numpy()
