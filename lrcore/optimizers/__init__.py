"""Every optimizer lrserve can train with, one a file, under torch's name and argument names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrcore.family import discover, union
from lrcore.optimizers._base import Optimizer

OPTIMIZERS: dict[str, type[Optimizer]] = discover(__name__, __path__, Optimizer)

if TYPE_CHECKING:
    AnyOptimizer = Optimizer
else:
    AnyOptimizer = union(OPTIMIZERS)

__all__ = ["OPTIMIZERS", "AnyOptimizer", "Optimizer"]
