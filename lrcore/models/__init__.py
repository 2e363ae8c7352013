"""Every model lrserve can train, one a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lrcore.family import discover, union
from lrcore.models._base import Model

MODELS: dict[str, type[Model]] = discover(__name__, __path__, Model)

if TYPE_CHECKING:
    AnyModel = Model
else:
    AnyModel = union(MODELS)

__all__ = ["MODELS", "AnyModel", "Model"]
