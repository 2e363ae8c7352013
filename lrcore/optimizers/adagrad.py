"""Adagrad, Duchi, Hazan and Singer, JMLR 12, 2011. torch.optim.Adagrad."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lrcore.family import Flag, Number
from lrcore.optimizers._base import Epsilon, Optimizer


class Adagrad(Optimizer):
    """v = v + grad ** 2; w = w - lr / (1 + step * lr_decay) * grad / (sqrt(v) + eps)."""

    summary = "gradient descent divided by the root of the sum of all squared gradients"
    origin = "torch.optim.Adagrad"
    example = {"type": "Adagrad", "lr": 0.01}

    type: Literal["Adagrad"]
    lr: Annotated[Number, Field(ge=0)] = Field(0.01, description="the initial rate, base_lr of the schedule")
    lr_decay: Annotated[Number, Field(ge=0)] = Field(0.0, description="the rate is divided by 1 + step * lr_decay")
    initial_accumulator_value: Annotated[Number, Field(ge=0)] = 0.0
    eps: Epsilon = 1e-10
    maximize: Flag = False
