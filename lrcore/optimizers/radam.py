"""RAdam, Liu et al., arXiv:1908.03265. torch.optim.RAdam."""

from __future__ import annotations

from typing import Literal

from lrcore.family import Flag
from lrcore.optimizers._base import Betas, Epsilon, Optimizer


class RAdam(Optimizer):
    """The step of Adam times a rectification of its variance; without the division while that is not defined."""

    summary = "Adam that warms itself up: momentum alone until the second moment is known well"
    origin = "torch.optim.RAdam"
    example = {"type": "RAdam", "lr": 1e-3}
    capturable = True

    type: Literal["RAdam"]
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    decoupled_weight_decay: Flag = False
    maximize: Flag = False
