"""The anneal towards the rate of stochastic weight averaging. arXiv:1803.05407."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lrcore.numerics import formulas
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import GroupRates, StepIndex, TorchSchedule, of_group


class SWALR(TorchSchedule):
    """lr(t) = swa_lr * a + base_lr * (1 - a), a = u or (1 - cos(pi * u)) / 2, u = min(1, t / anneal_epochs).

    anneal_epochs 0 is swa_lr from the first step.
    """

    summary = "from the base rate to swa_lr in anneal_epochs steps, then flat"
    formula = "swa_lr * a + base_lr * (1 - a), a = (1 - cos(pi * min(1, t / anneal_epochs))) / 2"
    origin = "torch.optim.swa_utils.SWALR"
    example = {"type": "SWALR", "swa_lr": 0.05, "anneal_epochs": 10}
    per_group = ("swa_lr",)

    type: Literal["SWALR"]
    swa_lr: GroupRates = Field(description="the rate annealed to; one, or one a parameter group")
    anneal_epochs: StepIndex = 10
    anneal_strategy: Literal["cos", "linear"] = "cos"

    def formula_at(self, t: Node, base_lr: float) -> Value:
        end, steps = of_group(self.swa_lr, 0), self.anneal_epochs
        if steps == 0:
            return end
        if self.anneal_strategy == "linear":
            return formulas.line_then_flat(t, steps, base_lr, end)
        return shapes.cosine_then_flat(t, steps, base_lr, end)
