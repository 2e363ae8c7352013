"""ResNet-9, the fast network for CIFAR-10 of David Page's "How to train your ResNet" (myrtle.ai, 2018).

6,573,120 parameters on 3x32x32 and 10 classes. 0.94 test accuracy on CIFAR-10 after 24 epochs with crops, flips,
cutout of 8 pixels, batches of 512, and a rate that rises for 5 epochs and then falls to 0, both in a line.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lrcore.family import Number, Whole
from lrcore.models._base import ImageShape, Model, Module


class ResNet9(Model):
    """Eight 3x3 convolutions, three of them before a 2x2 max pooling, two pairs with a shortcut; global max, linear.

    On 32x32 pixels the global maximum is the original's 4x4 max pooling.
    """

    summary = "a shallow, wide residual network that is fast to train"
    origin = "David Page, How to train your ResNet, myrtle.ai 2018"
    example = {"type": "resnet9"}

    type: Literal["resnet9"]
    width: Annotated[int, Whole(ge=1, le=512)] = Field(
        64, description="channels of the first convolution; the others have 2, 4 and 8 times as many"
    )
    scale: Annotated[Number, Field(gt=0, le=100)] = Field(0.125, description="factor on the logits")

    def check(self, image_shape: ImageShape, num_classes: int) -> None:
        if min(image_shape[1:]) < 8:
            raise ValueError(f"resnet9 needs images of at least 8x8, not {image_shape[1]}x{image_shape[2]}")

    def build(self, image_shape: ImageShape, num_classes: int) -> Module:
        from collections import OrderedDict

        from torch import nn

        from lrcore.models._layers import GlobalMax, Residual, Scale, conv3x3, init_he

        def conv(inputs: int, outputs: int) -> nn.Module:
            return nn.Sequential(conv3x3(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU())

        def halving(inputs: int, outputs: int) -> nn.Module:
            # pooled before the ReLU: the two commute, and it then has a quarter of the values
            return nn.Sequential(conv3x3(inputs, outputs), nn.BatchNorm2d(outputs), nn.MaxPool2d(2), nn.ReLU())

        w = self.width
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            prep=conv(image_shape[0], w),
            layer1=nn.Sequential(halving(w, 2 * w), Residual(conv(2 * w, 2 * w), conv(2 * w, 2 * w))),
            layer2=halving(2 * w, 4 * w),
            layer3=nn.Sequential(halving(4 * w, 8 * w), Residual(conv(8 * w, 8 * w), conv(8 * w, 8 * w))),
            pool=GlobalMax(),
            fc=nn.Linear(8 * w, num_classes, bias=False),
            scale=Scale(self.scale),
        )
        return nn.Sequential(layers).apply(init_he)
