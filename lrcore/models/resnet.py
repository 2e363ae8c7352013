"""The ResNets that He et al. trained on CIFAR-10, arXiv:1512.03385, section 4.2.

Depth, parameters on 3x32x32 and 10 classes, and the paper's test accuracy on CIFAR-10, with crops padded by 4 and
flips, SGD with momentum 0.9 and weight decay 1e-4, rate 0.1 divided by 10 after 32,000 and 48,000 of 64,000 steps of
128 images:

     20    269,722   0.9125
     32    464,154   0.9249
     44    658,586   0.9283
     56    853,018   0.9303
    110  1,727,962   0.9357 (the best of five; warmed up at 0.01)
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lrcore.family import Whole
from lrcore.models._base import ImageShape, Model, Module


class ResNet(Model):
    """3x3 stem, three stages of (depth - 2) / 6 blocks with 16, 32 and 64 channels, shortcuts without parameters."""

    summary = "the small residual networks for CIFAR, 20 to 110 layers deep"
    origin = "He et al. 2015, arXiv:1512.03385, section 4.2"
    example = {"type": "resnet", "depth": 20}

    type: Literal["resnet"]
    depth: Annotated[Literal[20, 32, 44, 56, 110], Whole()] = Field(
        20, description="layers with weights on the longest path"
    )

    def build(self, image_shape: ImageShape, num_classes: int) -> Module:
        from lrcore.models._layers import padding, residual_net

        return residual_net(image_shape[0], num_classes, [16, 32, 64], (self.depth - 2) // 6, padding)
