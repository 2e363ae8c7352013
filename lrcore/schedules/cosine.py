"""Half cosines from the base rate to eta_min: once, or again and again. SGDR, arXiv:1608.03983."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from lrcore.schedules._base import Rate, Rates, StepCount, Steps, TorchSchedule


class CosineAnnealingLR(TorchSchedule):
    """lr(t) = eta_min + (base_lr - eta_min) * (1 + cos(pi * t / T_max)) / 2.

    Past T_max the rate rises again, with a full period of 2 * T_max, as it does in torch.
    """

    summary = "half a cosine from the base rate to eta_min in T_max steps, then up again"
    formula = "eta_min + (base_lr - eta_min) * (1 + cos(pi * t / T_max)) / 2"
    origin = "torch.optim.lr_scheduler.CosineAnnealingLR"
    example = {"type": "CosineAnnealingLR", "T_max": 50}

    type: Literal["CosineAnnealingLR"]
    T_max: StepCount = Field(description="steps from the highest to the lowest rate")
    eta_min: Rate = 0.0

    def closed_form(self, t: Steps, base_lr: float, group: int) -> Rates:
        # whole periods are taken off as integers: pi * t loses digits where t is large
        angle = np.pi * (t % (2 * self.T_max)) / self.T_max
        return self.eta_min + (base_lr - self.eta_min) * (1 + np.cos(angle)) / 2


class CosineAnnealingWarmRestarts(TorchSchedule):
    """lr(t) = eta_min + (base_lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2.

    T_cur counts the steps since the last restart, and T_i = T_0 * T_mult ** i is the length of cycle i. Cycles
    are found by their integer starts, so that every restart falls on its step; torch's `step(epoch)` takes a
    logarithm and misses some by a whole cycle.
    """

    summary = "half cosines from the base rate to eta_min, each T_mult times as long as the one before"
    formula = "eta_min + (base_lr - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2"
    origin = "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts"
    example = {"type": "CosineAnnealingWarmRestarts", "T_0": 5, "T_mult": 2}

    type: Literal["CosineAnnealingWarmRestarts"]
    T_0: StepCount = Field(description="steps of the first cycle")
    T_mult: StepCount = Field(1, description="how many times longer each cycle is than the one before")
    eta_min: Rate = 0.0

    def closed_form(self, t: Steps, base_lr: float, group: int) -> Rates:
        current, length = self._cycle(t)
        return self.eta_min + (base_lr - self.eta_min) * (1 + np.cos(np.pi * current / length)) / 2

    def _cycle(self, t: Steps) -> tuple[Steps, Steps | int]:
        """Steps since the last restart, and the length of the cycle they are in."""
        if self.T_mult == 1:
            return t % self.T_0, self.T_0
        starts, lengths, end = [0], [self.T_0], int(t.max(initial=0))
        while starts[-1] + lengths[-1] <= end:
            starts.append(starts[-1] + lengths[-1])
            lengths.append(lengths[-1] * self.T_mult)
        # a length may exceed int64 only in a last cycle whose end nobody reaches; as a divisor float64 will do
        cycle = np.searchsorted(starts, t, side="right") - 1
        return t - np.array(starts)[cycle], np.array(lengths, dtype=np.float64)[cycle]  # type: ignore[return-value]
