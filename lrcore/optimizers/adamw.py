"""AdamW, Loshchilov and Hutter, arXiv:1711.05101. torch.optim.AdamW."""

from __future__ import annotations

from typing import Literal

from lrcore.family import Flag
from lrcore.optimizers._base import Betas, Decay, Epsilon, Optimizer


class AdamW(Optimizer):
    """First w = (1 - lr * weight_decay) * w, then the step of Adam."""

    summary = "Adam with weight decay that does not pass through the moments"
    origin = "torch.optim.AdamW"
    example = {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.01}
    fused = True
    capturable = True

    type: Literal["AdamW"]
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.01
    amsgrad: Flag = False
    maximize: Flag = False
