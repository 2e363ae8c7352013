"""Kuzushiji-MNIST: 60,000 + 10,000 grey 28x28 cursive hiragana in 10 classes, CC BY-SA 4.0, 21 MB to download.

Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto and Ha, arXiv:1812.01718.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from lrcore.datasets._base import Facts
from lrcore.datasets._from_torchvision import FromTorchvision


class KMNIST(FromTorchvision):
    """One hiragana of each row of the syllabary, from old books."""

    summary = "60,000 + 10,000 grey 28x28 cursive hiragana, 10 classes; downloaded on first use"
    origin = "Center for Open Data in the Humanities, https://github.com/rois-codh/kmnist"
    example = {"type": "kmnist"}
    source, place = "KMNIST", "KMNIST"
    facts: ClassVar[Facts] = Facts((1, 28, 28), 10, 60_000, 10_000, mean=(0.1918,), std=(0.3483,))

    type: Literal["kmnist"]
