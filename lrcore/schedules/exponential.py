"""Geometric decay."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lrcore.schedules._base import Factor, Rates, Steps, TorchSchedule


class ExponentialLR(TorchSchedule):
    """lr(t) = base_lr * gamma ** t."""

    summary = "multiplies the rate by gamma at every step"
    formula = "base_lr * gamma ** t"
    origin = "torch.optim.lr_scheduler.ExponentialLR"
    example = {"type": "ExponentialLR", "gamma": 0.95}

    type: Literal["ExponentialLR"]
    gamma: Factor

    def closed_form(self, t: Steps, base_lr: float, group: int) -> Rates:
        return base_lr * np.float64(self.gamma) ** t
