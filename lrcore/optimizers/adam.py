"""Adam, Kingma and Ba, arXiv:1412.6980. torch.optim.Adam."""

from __future__ import annotations

from typing import Literal

from lrcore.family import Flag
from lrcore.optimizers._base import Betas, Epsilon, Optimizer


class Adam(Optimizer):
    """m and v are means of the gradient and its square; w = w - lr * m / (sqrt(v) + eps), both without their bias."""

    summary = "adaptive rates from the first two moments of the gradient"
    origin = "torch.optim.Adam"
    example = {"type": "Adam", "lr": 1e-3}
    fused = True
    capturable = True

    type: Literal["Adam"]
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    amsgrad: Flag = False
    maximize: Flag = False
    decoupled_weight_decay: Flag = False
