"""EMNIST: handwritten letters and digits of NIST's Special Database 19, grey 28x28, 560 MB to download.

Cohen, Afshar, Tapson and van Schaik, arXiv:1702.05373; the files have 145,600 letters, the article 103,600. Means and
standard deviations as in Lightning Bolts.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from lrcore.datasets._base import Facts, Images, Labels
from lrcore.datasets._from_torchvision import FromTorchvision

SHAPE = (1, 28, 28)
FACTS = {
    "byclass": Facts(SHAPE, 62, 697_932, 116_323, mean=(0.1736,), std=(0.3316,)),
    "bymerge": Facts(SHAPE, 47, 697_932, 116_323, mean=(0.1736,), std=(0.3316,)),
    "balanced": Facts(SHAPE, 47, 112_800, 18_800, mean=(0.1751,), std=(0.3332,)),
    "letters": Facts(SHAPE, 26, 124_800, 20_800, mean=(0.1722,), std=(0.3309,)),
    "digits": Facts(SHAPE, 10, 240_000, 40_000, mean=(0.1733,), std=(0.3316,)),
    "mnist": Facts(SHAPE, 10, 60_000, 10_000, mean=(0.1733,), std=(0.3317,)),
}


class EMNIST(FromTorchvision):
    """The files hold the images transposed; they are set upright. Letters, in the files from 1 on, count from 0."""

    summary = "grey 28x28 handwritten letters and digits, 10 to 62 classes by split; downloaded on first use"
    origin = "NIST, https://www.nist.gov/itl/products-and-services/emnist-dataset"
    example = {"type": "emnist", "split": "balanced"}
    source, place = "EMNIST", "EMNIST"

    type: Literal["emnist"]
    split: Literal["byclass", "bymerge", "balanced", "letters", "digits", "mnist"] = Field(
        "balanced",
        description="byclass: 62 classes; bymerge, balanced: 47, like capital and small letters in one; letters: 26",
    )

    @property
    def facts(self) -> Facts:
        return FACTS[self.split]

    def parts(self, train: bool) -> tuple[dict[str, Any], ...]:
        return ({"split": self.split, "train": train},)

    def pixels(self, data: Any) -> Images:
        return np.swapaxes(super().pixels(data), 2, 3)

    def labels(self, data: Any) -> Labels:
        return super().labels(data) - (self.split == "letters")
