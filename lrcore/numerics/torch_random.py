"""Normal numbers as torch's CPU generator draws them, to the last bit and without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np


class TorchNormals:
    """What `torch.randn(1, generator=g).item()` returns call after call, for a `g` with any seed.

    torch seeds a Mersenne Twister with the seed's low 32 bits. It makes two uniform numbers of 53 bits, of these two
    normal ones in float64 (Box and Muller), and keeps the second for the next call.
    """

    def __init__(self) -> None:
        self._words = np.random.MT19937()
        self._seeded = np.random.RandomState(self._words)  # which alone seeds it as the twister's authors do

    def of(self, seed: int) -> Iterator[float]:
        """Yield the numbers of one seed, until those of another are asked for."""
        self._seeded.seed(seed & 0xFFFFFFFF)
        while True:
            high, low, high2, low2 = self._words.random_raw(4).tolist()
            radius = math.sqrt(-2.0 * math.log1p(-_uniform(high2, low2)))
            angle = 2.0 * math.pi * _uniform(high, low)
            yield float(np.float32(radius * math.cos(angle)))
            yield float(np.float32(radius * math.sin(angle)))


def _uniform(high: int, low: int) -> float:
    return ((high << 32 | low) & (2**53 - 1)) * 2.0**-53
