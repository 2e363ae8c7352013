"""Every data set lrserve can train on, one a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrcore.datasets._base import Dataset
from lrcore.family import discover, union

DATASETS: dict[str, type[Dataset]] = discover(__name__, __path__, Dataset)

if TYPE_CHECKING:
    AnyDataset = Dataset
else:
    AnyDataset = union(DATASETS)

__all__ = ["DATASETS", "AnyDataset", "Dataset"]
