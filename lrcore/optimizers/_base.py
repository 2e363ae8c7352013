"""The base of every optimizer: its arguments, and a `build` that only a worker calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from lrcore.family import Member, Number

if TYPE_CHECKING:
    import torch


class Optimizer(Member):
    """A torch optimizer, its rate the base rate of the job's schedule."""

    lr: Annotated[Number, Field(ge=0)] = Field(1e-3, description="the initial rate, base_lr of the schedule")

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """The optimizer over one group with all `parameters`."""
        raise NotImplementedError
