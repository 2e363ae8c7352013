"""Generated images for tests and trials: one random pattern a class. Made in milliseconds, learnt in a few epochs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lrcore.datasets._base import Dataset, Facts, Images, Labels, Splits
from lrcore.family import Number, Whole

BLOCK = 4  # pixels a side of a pattern's even squares: something that convolutions can see
PIECE = 8192  # images


class Fake(Dataset):
    """An image is its class's pattern times 1 - noise plus uniform noise; the seed fixes all of it."""

    summary = "generated patterns under noise, of any size, for tests and trials"
    origin = "lrserve"
    example = {"type": "fake", "samples": 512}

    type: Literal["fake"]
    samples: Annotated[int, Whole(ge=1, le=200_000)] = Field(512, description="training images")
    test_samples: Annotated[int, Whole(ge=1, le=50_000)] = 128
    image_size: Annotated[int, Whole(ge=1, le=96)] = Field(28, description="pixels a side")
    channels: Annotated[int, Whole(ge=1, le=3)] = 1
    classes: Annotated[int, Whole(ge=2, le=1000)] = 10
    noise: Annotated[Number, Field(ge=0, le=1)] = 0.5
    seed: Annotated[int, Whole(ge=0, lt=2**32)] = 0

    @property
    def facts(self) -> Facts:
        shape = (self.channels, self.image_size, self.image_size)
        # patterns and noise are both uniform on [0, 1], and independent
        std = math.sqrt(((1 - self.noise) ** 2 + self.noise**2) / 12)
        each = (0.5,) * self.channels, (std,) * self.channels
        return Facts(shape, self.classes, self.samples, self.test_samples, *each)

    def load(self, root: Path) -> Splits:
        random = np.random.Generator(np.random.PCG64(self.seed))
        coarse = -(-self.image_size // BLOCK)
        blocks = random.random((self.classes, self.channels, coarse, coarse), dtype=np.float32)
        patterns = blocks.repeat(BLOCK, axis=2).repeat(BLOCK, axis=3)[:, :, : self.image_size, : self.image_size]
        return Splits(*self._draw(random, patterns, self.samples), *self._draw(random, patterns, self.test_samples))

    def _draw(self, random: np.random.Generator, patterns: NDArray[np.float32], n: int) -> tuple[Images, Labels]:
        labels = random.integers(0, self.classes, n)
        images = np.empty((n, *self.stored_shape), dtype=np.uint8)
        for begin in range(0, n, PIECE):  # in pieces, so that many images need little memory and can be interrupted
            piece = labels[begin : begin + PIECE]
            noise = random.random((len(piece), *self.stored_shape), dtype=np.float32)
            images[begin : begin + PIECE] = 255 * ((1 - self.noise) * patterns[piece] + self.noise * noise)
        return images, labels
