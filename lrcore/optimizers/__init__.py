"""Every optimizer lrserve can train with, one a file, under torch's name and argument names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from lrcore.family import Family
from lrcore.optimizers._base import Optimizer

OPTIMIZERS: Family[Optimizer] = Family(__name__, __path__, Optimizer)

if TYPE_CHECKING:
    AnyOptimizer = Optimizer
else:
    AnyOptimizer = Annotated[Any, OPTIMIZERS]

__all__ = ["OPTIMIZERS", "AnyOptimizer", "Optimizer"]
