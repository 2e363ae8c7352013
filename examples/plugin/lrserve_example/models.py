"""A model. torch is imported inside `build`: the API lists and checks the model without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from lrcore.plugin import ImageShape, Model, Whole

if TYPE_CHECKING:
    from torch import nn


class Conv(Model):
    """Two convolutions with ReLU, the mean of each channel, and a linear layer."""

    summary = "two convolutions and a linear layer"
    origin = "the example plug-in of lrserve"
    example = {"type": "example:conv", "channels": 8}

    type: Literal["example:conv"]
    channels: Annotated[int, Whole(ge=1, le=512)] = Field(16, description="of both convolutions")

    def check(self, image_shape: ImageShape, num_classes: int) -> None:
        if min(image_shape[1:]) < 3:
            raise ValueError(f"example:conv needs images of at least 3x3, not {image_shape[1]}x{image_shape[2]}")

    def build(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        from torch import nn

        return nn.Sequential(
            nn.Conv2d(image_shape[0], self.channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(self.channels, self.channels, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(self.channels, num_classes),
        )
