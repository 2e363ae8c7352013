"""The base of every model: a spec that the API can check, and a `build` that only a worker calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrcore.family import Member

if TYPE_CHECKING:
    from torch import nn

ImageShape = tuple[int, int, int]


class Model(Member):
    """An image classifier."""

    def check(self, image_shape: ImageShape, num_classes: int) -> None:
        """Raise ValueError if the model cannot take images of shape (channels, height, width)."""

    def build(self, image_shape: ImageShape, num_classes: int) -> nn.Module:
        """A freshly initialised module from (n, channels, height, width) to (n, num_classes) logits.

        Draws from torch's global generator: seed it first.
        """
        raise NotImplementedError
