"""Stochastic gradient descent with momentum and weight decay. torch.optim.SGD."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from lrcore.family import Flag, Number
from lrcore.optimizers._base import Optimizer

if TYPE_CHECKING:
    import torch


class SGD(Optimizer):
    """v = momentum * v + (1 - dampening) * (grad + weight_decay * w); w = w - lr * v."""

    summary = "gradient descent with momentum and weight decay"
    origin = "torch.optim.SGD"
    example = {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}

    type: Literal["SGD"]
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    dampening: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    weight_decay: Annotated[Number, Field(ge=0)] = 0.0
    nesterov: Flag = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs momentum above 0 and dampening 0")
        return self

    def build(self, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
        import torch

        return torch.optim.SGD(parameters, **self.model_dump(exclude={"type"}), foreach=True)
