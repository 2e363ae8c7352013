"""The base of every model: a spec that the API can check, and a `build` that only a worker calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field

from lrcore.family import Items, Member, Name

if TYPE_CHECKING:
    from torch import nn

ImageShape = tuple[int, int, int]
Module: TypeAlias = "nn.Module"  # as a text, so that naming it needs no torch
Patterns = Annotated[tuple[Name, ...], Items(100)]


class Model(Member):
    """An image classifier."""

    freeze: Patterns = Field(
        (), description="names of parameters that are not trained, with * and ? as in a shell, such as layer1.*"
    )

    def check(self, image_shape: ImageShape, num_classes: int) -> None:
        """Raise ValueError if the model cannot take images of shape (channels, height, width)."""

    def build(self, image_shape: ImageShape, num_classes: int) -> Module:
        """A freshly initialised module from (n, channels, height, width) to (n, num_classes) logits, nothing frozen.

        Draws from torch's global generator: seed it first.

        Raises:
            DataUnavailable: it needs a file, such as pretrained weights, that is not there and cannot be downloaded.
        """
        raise NotImplementedError
