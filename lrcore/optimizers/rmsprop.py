"""RMSprop, Hinton, Neural Networks for Machine Learning, lecture 6a, 2012. torch.optim.RMSprop."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lrcore.family import Flag, Number
from lrcore.optimizers._base import Epsilon, Optimizer


class RMSprop(Optimizer):
    """v = alpha * v + (1 - alpha) * grad ** 2; w = w - lr * grad / (sqrt(v) + eps)."""

    summary = "gradient descent divided by a running root mean square of the gradient"
    origin = "torch.optim.RMSprop"
    example = {"type": "RMSprop", "lr": 1e-3, "momentum": 0.9}
    capturable = True

    type: Literal["RMSprop"]
    lr: Annotated[Number, Field(ge=0)] = Field(0.01, description="the initial rate, base_lr of the schedule")
    alpha: Annotated[Number, Field(ge=0, le=1)] = Field(0.99, description="share of the old mean that is kept")
    eps: Epsilon = 1e-8
    momentum: Annotated[Number, Field(ge=0)] = 0.0
    centered: Flag = False
    maximize: Flag = False

    def check_momentum(self, momentum: NDArray[np.float64]) -> None:
        if ((momentum[:, 0] == 0) & (momentum.max(axis=1) > 0)).any():
            raise ValueError("RMSprop keeps momentum from the first step on, or never: it cannot begin at 0 and rise")
