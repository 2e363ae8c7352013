"""NAdam, Dozat, ICLR workshop 2016. torch.optim.NAdam."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from lrcore.family import Flag, Number
from lrcore.optimizers._base import Betas, Epsilon, Optimizer


class NAdam(Optimizer):
    """The step of Adam, with the first moment looked up one step ahead."""

    summary = "Adam with Nesterov momentum"
    origin = "torch.optim.NAdam"
    example = {"type": "NAdam", "lr": 2e-3}
    capturable = True

    type: Literal["NAdam"]
    lr: Annotated[Number, Field(ge=0)] = Field(2e-3, description="the initial rate, base_lr of the schedule")
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    momentum_decay: Annotated[Number, Field(ge=0)] = 4e-3
    decoupled_weight_decay: Flag = False
    maximize: Flag = False
