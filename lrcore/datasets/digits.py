"""The handwritten digits inside scikit-learn: 1,797 grey 8x8 images in 10 classes, no download.

The test set of UCI's Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998), CC BY 4.0. About 0.97 to
0.99 test accuracy with LeNet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lrcore.datasets._base import Dataset, Facts, Images, Splits
from lrcore.errors import DataUnavailable
from lrcore.family import Whole

TRAIN_SIZE, TEST_SIZE = 1437, 360  # four fifths of 1,797, and the rest


class Digits(Dataset):
    """The images are enlarged to `resize` pixels a side, bilinearly, so that networks made for MNIST take them.

    The file is sorted by writer: the split shuffles it, always in the same way.
    """

    summary = "1,437 + 360 handwritten digits, bundled with scikit-learn, enlarged to 28x28"
    origin = "sklearn.datasets.load_digits (UCI Optical Recognition of Handwritten Digits)"
    example = {"type": "digits"}

    type: Literal["digits"]
    resize: Annotated[int, Whole(ge=8, le=96)] = Field(28, description="pixels a side; 8 is the original")

    @property
    def facts(self) -> Facts:
        shape = (1, self.resize, self.resize)
        return Facts(shape, 10, TRAIN_SIZE, TEST_SIZE, mean=(0.3054,), std=(0.3246,))  # at 28x28

    def load(self, root: Path) -> Splits:
        try:
            from sklearn.datasets import load_digits
        except ImportError as error:
            raise DataUnavailable("digits come with scikit-learn, which is not installed") from error
        data = load_digits()
        order = np.random.Generator(np.random.PCG64(0)).permutation(len(data.target))
        images = _enlarge(data.images[order], self.resize)[:, None]
        labels = data.target[order].astype(np.int64)
        return Splits(images[:TRAIN_SIZE], labels[:TRAIN_SIZE], images[TRAIN_SIZE:], labels[TRAIN_SIZE:])


def _enlarge(images: np.ndarray, side: int) -> Images:
    """Bilinear, with half-pixel centres. (n, 8, 8) in 0..16 to (n, side, side) in 0..255."""
    centres = np.clip((np.arange(side) + 0.5) * 8 / side - 0.5, 0, 7)
    low = np.minimum(centres.astype(int), 6)
    weights = np.zeros((side, 8))
    weights[np.arange(side), low] = 1 - (centres - low)
    weights[np.arange(side), low + 1] += centres - low
    enlarged = np.einsum("ip,npq,jq->nij", weights, images, weights, optimize=True)
    pixels: Images = np.round(enlarged * (255 / 16)).astype(np.uint8)
    return pixels
