"""Data sets made from specs, and arrays to write into their files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from lrcore.datasets import AnyDataset, Dataset

Pixels = NDArray[np.uint8]
random = np.random.Generator(np.random.PCG64(0))


def made(**spec: Any) -> Dataset:
    dataset: Dataset = TypeAdapter(AnyDataset).validate_python(spec)
    return dataset


def refusal(**spec: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        made(**spec)
    return str(caught.value)


def pixels(*shape: int) -> Pixels:
    return random.integers(0, 256, shape, dtype=np.uint8)


def labels(n: int, classes: int = 10) -> Pixels:
    return (np.arange(n) % classes).astype(np.uint8)
