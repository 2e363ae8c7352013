"""One rise to a peak and one long fall. Smith and Topin, Super-Convergence, arXiv:1708.07120."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator

from lrcore.family import Flag
from lrcore.numerics import formulas
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import (
    Count,
    Factor,
    Fraction,
    GroupMomenta,
    GroupRates,
    StepCount,
    TorchSchedule,
    of_group,
)


class OneCycleLR(TorchSchedule):
    """From max_lr / div_factor up to max_lr, then down to max_lr / div_factor / final_div_factor.

    The phases end at pct_start * total_steps - 1 and total_steps - 1; with three_phase the second one comes back
    to the initial rate at 2 * pct_start * total_steps - 2 first. The ends need not be whole steps, so the peak may
    lie between two of them. Momentum goes from max_momentum to base_momentum and back.
    The schedule has total_steps values; torch allows one more, a mirror image of the last but one.
    """

    summary = "up to max_lr and down to almost nothing once in total_steps, momentum against it"
    formula = "end + (start - end) * (1 + cos(pi * u)) / 2 in each phase, u from 0 to 1"
    origin = "torch.optim.lr_scheduler.OneCycleLR"
    example = {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 20}
    per_group = ("max_lr", "base_momentum", "max_momentum")

    type: Literal["OneCycleLR"]
    max_lr: GroupRates = Field(description="the peak; one, or one a parameter group")
    total_steps: StepCount | None = Field(None, description="or give epochs and steps_per_epoch")
    epochs: Count | None = None
    steps_per_epoch: Count | None = None
    pct_start: Fraction = Field(0.3, description="share of total_steps spent rising")
    anneal_strategy: Literal["cos", "linear"] = "cos"
    cycle_momentum: Flag = True
    base_momentum: GroupMomenta = 0.85
    max_momentum: GroupMomenta = 0.95
    div_factor: Factor = 25.0
    final_div_factor: Factor = 1e4
    three_phase: Flag = False

    @model_validator(mode="after")
    def _phases_have_steps(self) -> Self:
        given = (self.epochs is not None) + (self.steps_per_epoch is not None)
        if given != (0 if self.total_steps is not None else 2):
            raise ValueError("give either total_steps, or both epochs and steps_per_epoch")
        total, rise = self._total, self.pct_start * self._total
        if rise <= 1:
            raise ValueError(f"pct_start * total_steps is {rise:g}, but the rise needs more than 1 step")
        if self.three_phase and 2 * rise - 2 >= total - 1:
            raise ValueError(
                f"three_phase needs 2 * pct_start * total_steps - 2 < total_steps - 1, not {2 * rise - 2:g}"
            )
        return self

    @property
    def _total(self) -> int:
        return self.total_steps or (self.epochs or 0) * (self.steps_per_epoch or 0)

    @property
    def length(self) -> int:
        return max(0, self._total - (self.last_epoch + 1))

    @property
    def peak(self) -> float:
        return of_group(self.max_lr, 0)

    @property
    def own_base_lr(self) -> float | tuple[float, ...]:
        if isinstance(self.max_lr, tuple):
            return tuple(lr / self.div_factor for lr in self.max_lr)
        return self.max_lr / self.div_factor

    def formula_at(self, t: Node, base_lr: float) -> Value:
        peak = of_group(self.max_lr, 0)
        initial = peak / self.div_factor
        return self._anneal(t, initial, peak, initial / self.final_div_factor)

    @property
    def cycles_momentum(self) -> bool:
        return self.cycle_momentum

    def momentum_at(self, t: Node) -> Value:
        low, high = of_group(self.base_momentum, 0), of_group(self.max_momentum, 0)
        return self._anneal(t, high, low, high)

    def _anneal(self, t: Node, start: float, middle: float, end: float) -> Value:
        """From one value through the others, one phase between each two; the ends of the phases are not whole steps."""
        between = formulas.line if self.anneal_strategy == "linear" else formulas.cosine
        rise = self.pct_start * self._total
        knots, values = [0.0, rise - 1, self._total - 1.0], [start, middle, end]
        if self.three_phase:
            knots.insert(2, 2 * rise - 2)
            values.insert(2, start)
        phases = [
            between(t - begin, until - begin, first, last)
            for (begin, until), (first, last) in zip(pairwise(knots), pairwise(values), strict=True)
        ]
        # a step on a knot still belongs to the phase before it
        return formulas.piecewise(t, [math.floor(knot) + 1 for knot in knots[1:-1]], phases)
