"""Every model lrserve can train, one a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from lrcore.family import Family
from lrcore.models._base import Model

MODELS: Family[Model] = Family(__name__, __path__, Model)

if TYPE_CHECKING:
    AnyModel = Model
else:
    AnyModel = Annotated[Any, MODELS]

__all__ = ["MODELS", "AnyModel", "Model"]
