"""FashionMNIST: 60,000 + 10,000 grey 28x28 pictures of clothes in 10 classes, MIT licence, 30 MB to download.

Xiao, Rasul and Vollgraf, arXiv:1708.07747.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from lrcore.datasets._base import Facts
from lrcore.datasets._from_torchvision import FromTorchvision


class FashionMNIST(FromTorchvision):
    """The articles train on its pixels in [0, 1], not normalized further."""

    summary = "60,000 + 10,000 grey 28x28 pictures of clothes, 10 classes; downloaded on first use"
    origin = "Zalando Research, https://github.com/zalandoresearch/fashion-mnist"
    example = {"type": "fashion-mnist"}
    source, place = "FashionMNIST", "FashionMNIST"
    facts: ClassVar[Facts] = Facts((1, 28, 28), 10, 60_000, 10_000, mean=(0.2860,), std=(0.3530,))

    type: Literal["fashion-mnist"]
