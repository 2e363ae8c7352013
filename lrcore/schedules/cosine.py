"""Half cosines from the base rate to eta_min: once, or again and again. SGDR, arXiv:1608.03983."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import Count, Rate, Rates, StepCount, TorchSchedule


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

    @property
    def horizon(self) -> int | None:
        return max(0, self.T_max - (self.last_epoch + 1))

    def closed_cost(self, load: Load) -> float:
        return cost.periodic(load, 2 * self.T_max) + cost.plain(load.folded(2 * self.T_max))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return shapes.wave(t, self.T_max, 1, base_lr, self.eta_min)


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
    T_mult: Count = Field(1, description="how many times longer each cycle is than the one before")
    eta_min: Rate = 0.0

    def closed_cost(self, load: Load) -> float:
        return shapes.cycles_cost(load, self.T_0, self.T_mult, 0.0, None)

    @property
    def listed(self) -> int:
        return 0 if self.T_mult == 1 else 3 * shapes.listed_cycles(self.T_mult, None)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        low, first, factor = self.eta_min, self.T_0, self.T_mult
        cycles = shapes.Cycles(first, factor, shapes.half_cosine, lambda cycle: base_lr - low, low)
        if factor == 1:
            return formulas.written(formulas.cosine(t % first, first, base_lr, low), lambda: cycles.formula_at(t))

        def start(cycle: int) -> int:
            return first * int(factor**cycle - 1) // (factor - 1)

        def fill(out: Rates, t: Grid) -> Extent:
            return grid.spanning(
                grid.half_cosine(out[where], part - start(cycle), first * factor**cycle, base_lr, low)
                for where, part, cycle in shapes.turns(t, shapes.growing(start, first, factor))
            )

        return formulas.filled(t, fill, lambda: cycles.formula_at(t))
