"""LeNet-5 with ReLU and max pooling, as in the FashionMNIST articles: 61,706 parameters on 28x28 grey images.

About 0.88 test accuracy on FashionMNIST after 10 epochs. LeCun et al., Gradient-based learning applied to document
recognition, 1998.
"""

from __future__ import annotations

from typing import Literal

from lrcore.models._base import ImageShape, Model, Module


class LeNet(Model):
    """5x5 convolutions to 6 (padded by 2) and 16 channels, each with ReLU and 2x2 max pooling; then 120-84-classes."""

    summary = "two convolutions and three linear layers, ReLU, max pooling"
    origin = "LeCun et al. 1998, in the form of d2l.ai's learning-rate chapter"
    example = {"type": "lenet"}

    type: Literal["lenet"]

    def check(self, image_shape: ImageShape, num_classes: int) -> None:
        if min(image_shape[1:]) < 12:
            raise ValueError(f"lenet needs images of at least 12x12, not {image_shape[1]}x{image_shape[2]}")

    def build(self, image_shape: ImageShape, num_classes: int) -> Module:
        from torch import nn

        channels, height, width = image_shape
        features = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        return nn.Sequential(
            nn.Conv2d(channels, 6, kernel_size=5, padding=2),
            nn.MaxPool2d(2),  # before the ReLU: the two commute, and it then has a quarter of the values
            nn.ReLU(),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(features, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )
