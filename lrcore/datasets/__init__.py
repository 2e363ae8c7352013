"""Every data set lrserve can train on, one a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from lrcore.datasets._base import Dataset
from lrcore.family import Family

DATASETS: Family[Dataset] = Family(__name__, __path__, Dataset)

if TYPE_CHECKING:
    AnyDataset = Dataset
else:
    AnyDataset = Annotated[Any, DATASETS]

__all__ = ["DATASETS", "AnyDataset", "Dataset"]
