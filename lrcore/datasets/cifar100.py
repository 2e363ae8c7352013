"""CIFAR-100: 50,000 + 10,000 colour 32x32 photographs in 100 classes, 170 MB to download.

Krizhevsky, Learning multiple layers of features from tiny images (2009).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from lrcore.datasets._base import Facts
from lrcore.datasets._cifar import Cifar


class CIFAR100(Cifar):
    """The fine labels; the 20 superclasses are not used."""

    summary = "50,000 + 10,000 colour 32x32 photographs, 100 classes; downloaded on first use"
    origin = "Krizhevsky, Nair and Hinton, https://www.cs.toronto.edu/~kriz/cifar.html"
    example = {"type": "cifar100", "normalize": True, "flip": True, "crop": 4}
    source, place, label_key = "CIFAR100", "cifar-100-python", "fine_labels"
    facts: ClassVar[Facts] = Facts(
        (3, 32, 32), 100, 50_000, 10_000, mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)
    )

    type: Literal["cifar100"]
