"""MNIST: 60,000 + 10,000 grey 28x28 handwritten digits, CC BY-SA 3.0, 12 MB to download.

LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition (1998).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from lrcore.datasets._base import Facts
from lrcore.datasets._from_torchvision import FromTorchvision


class MNIST(FromTorchvision):
    """White digits on black."""

    summary = "60,000 + 10,000 grey 28x28 handwritten digits, 10 classes; downloaded on first use"
    origin = "LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/"
    example = {"type": "mnist"}
    source, place = "MNIST", "MNIST"
    facts: ClassVar[Facts] = Facts((1, 28, 28), 10, 60_000, 10_000, mean=(0.1307,), std=(0.3081,))

    type: Literal["mnist"]
