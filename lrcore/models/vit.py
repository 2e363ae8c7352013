"""A small Vision Transformer: 810,890 parameters on 3x32x32 and 10 classes. Dosovitskiy et al., arXiv:2010.11929.

About 0.8 test accuracy on CIFAR-10 when trained from nothing with crops and flips: without the built-in locality of a
convolution, it wants more data or stronger augmentation than that. Adam and a warm-up suit it better than SGD.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrcore.family import Number, Whole
from lrcore.models._base import ImageShape, Model, Module


class ViT(Model):
    """Linear patches with learned positions, blocks of attention and perceptron behind layer norms, linear."""

    summary = "a small Transformer over the image's patches"
    origin = "Dosovitskiy et al. 2020, arXiv:2010.11929"
    example = {"type": "vit", "patch_size": 4}

    type: Literal["vit"]
    patch_size: Annotated[int, Whole(ge=1, le=64)] = Field(4, description="pixels a side; divides the image's")
    dim: Annotated[int, Whole(ge=1, le=2048)] = Field(128, description="of a token; a multiple of heads")
    depth: Annotated[int, Whole(ge=1, le=64)] = Field(6, description="blocks")
    heads: Annotated[int, Whole(ge=1, le=64)] = 4
    mlp_ratio: Annotated[Number, Field(gt=0, le=16)] = Field(2.0, description="of the perceptron's hidden size to dim")
    dropout: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="of attention weights, inside the perceptrons, and of what each of both adds"
    )
    pool: Literal["mean", "class"] = Field(
        "mean", description="what the classes are read off: the mean of the patches, or a token of its own"
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        if self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of heads ({self.heads})")
        if round(self.dim * self.mlp_ratio) < 1:
            raise ValueError(f"mlp_ratio ({self.mlp_ratio:g}) leaves the perceptrons no hidden unit")
        return self

    def check(self, image_shape: ImageShape, num_classes: int) -> None:
        _, height, width = image_shape
        if height % self.patch_size or width % self.patch_size:
            raise ValueError(
                f"vit needs images whose sides are multiples of patch_size ({self.patch_size}), not {height}x{width}"
            )

    def build(self, image_shape: ImageShape, num_classes: int) -> Module:
        from torch import nn

        from lrcore.models._layers import EncoderBlock, PatchTransformer

        channels, height, width = image_shape
        return PatchTransformer(
            nn.Conv2d(channels, self.dim, self.patch_size, stride=self.patch_size),
            (height // self.patch_size) * (width // self.patch_size),
            [EncoderBlock(self.dim, self.heads, self.mlp_ratio, self.dropout) for _ in range(self.depth)],
            nn.Linear(self.dim, num_classes),
            class_token=self.pool == "class",
        )
