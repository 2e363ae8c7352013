"""CIFAR-10: 50,000 + 10,000 colour 32x32 photographs in 10 classes, 170 MB to download.

Krizhevsky, Learning multiple layers of features from tiny images (2009).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from lrcore.datasets._base import Facts
from lrcore.datasets._cifar import Cifar


class CIFAR10(Cifar):
    """Usually trained on with normalize, flip and a crop of 4."""

    summary = "50,000 + 10,000 colour 32x32 photographs, 10 classes; downloaded on first use"
    origin = "Krizhevsky, Nair and Hinton, https://www.cs.toronto.edu/~kriz/cifar.html"
    example = {"type": "cifar10", "normalize": True, "flip": True, "crop": 4}
    source, place, label_key = "CIFAR10", "cifar-10-batches-py", "labels"
    facts: ClassVar[Facts] = Facts(
        (3, 32, 32), 10, 50_000, 10_000, mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616)
    )

    type: Literal["cifar10"]
