"""The multilayer perceptron of d2l.ai, chapter 5.2: 203,530 parameters on 28x28 grey images and 10 classes.

About 0.87 test accuracy on FashionMNIST after 10 epochs. Without hidden layers it is softmax regression, which comes
to about 0.84.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrcore.family import Items, Number, Whole
from lrcore.models._base import ImageShape, Model, Module

Size = Annotated[int, Whole(ge=1, le=8192)]


class MLP(Model):
    """The pixels in one row, and a linear layer for each hidden size, with ReLU and dropout; then the classes."""

    summary = "linear layers with ReLU on the image's pixels"
    origin = "d2l.ai, chapter 5.2"
    example = {"type": "mlp", "hidden": [256]}

    type: Literal["mlp"]
    hidden: Annotated[tuple[Size, ...], Items(16)] = Field(
        (256,), description="size of each hidden layer; none for softmax regression"
    )
    dropout: Annotated[Number, Field(ge=0, lt=1)] = Field(0.0, description="after each hidden layer")

    @model_validator(mode="after")
    def _dropout_has_a_place(self) -> Self:
        if self.dropout and not self.hidden:
            raise ValueError("dropout is after each hidden layer, and there is none")
        return self

    def build(self, image_shape: ImageShape, num_classes: int) -> Module:
        from torch import nn

        channels, height, width = image_shape
        inputs, layers = channels * height * width, list[nn.Module]([nn.Flatten()])
        for size in self.hidden:
            layers += [nn.Linear(inputs, size), nn.ReLU()]
            if self.dropout:
                layers.append(nn.Dropout(self.dropout))
            inputs = size
        return nn.Sequential(*layers, nn.Linear(inputs, num_classes))
