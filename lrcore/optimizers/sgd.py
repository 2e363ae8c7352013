"""Stochastic gradient descent with momentum and weight decay. torch.optim.SGD."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from lrcore.family import Flag
from lrcore.optimizers._base import Beta, Optimizer


class SGD(Optimizer):
    """v = momentum * v + (1 - dampening) * (grad + weight_decay * w); w = w - lr * v."""

    summary = "gradient descent with momentum and weight decay"
    origin = "torch.optim.SGD"
    example = {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    fused = True
    capturable = True

    type: Literal["SGD"]
    momentum: Beta = 0.0
    dampening: Beta = 0.0
    nesterov: Flag = False
    maximize: Flag = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs momentum above 0 and dampening 0")
        return self
