"""A data set that is made rather than read. The API needs its facts, a worker its images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lrcore.plugin import Dataset, Images, Labels, Splits, Whole

SIZE = 12  # pixels per side
DIRECTIONS = np.array([(0, 1), (1, 0), (1, 1), (1, -1)])  # (down, right) across the stripes of each class


class Stripes(Dataset):
    """Stripes two pixels wide in four directions, shifted at random, under uniform noise."""

    summary = "grey 12x12 images of stripes in four directions"
    origin = "the example plug-in of lrserve"
    example = {"type": "example:stripes", "samples": 512}

    type: Literal["example:stripes"]
    samples: Annotated[int, Whole(ge=4, le=100_000)] = Field(1024, description="training images")
    test_samples: Annotated[int, Whole(ge=4, le=100_000)] = Field(256, description="test images")

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        return (1, SIZE, SIZE)

    @property
    def num_classes(self) -> int:
        return len(DIRECTIONS)

    @property
    def stored_size(self) -> int:
        return self.samples

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return (0.5,), (0.2887,)

    def load(self, root: Path) -> Splits:
        random = np.random.default_rng(0)
        return Splits(*_drawn(random, self.samples), *_drawn(random, self.test_samples))


def _drawn(random: np.random.Generator, n: int) -> tuple[Images, Labels]:
    """n images, shape (n, 1, SIZE, SIZE), and their labels, shape (n,)."""
    labels = random.integers(0, len(DIRECTIONS), n)
    down, right = DIRECTIONS[labels].T[:, :, None, None]
    rows, columns = np.mgrid[:SIZE, :SIZE]
    shift = random.integers(0, 4, (n, 1, 1))
    stripes = (down * rows + right * columns + shift) // 2 % 2
    pixels = 0.5 * stripes + 0.5 * random.random((n, SIZE, SIZE))
    return (255 * pixels).astype(np.uint8)[:, None], labels
