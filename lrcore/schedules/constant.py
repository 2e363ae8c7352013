"""The fixed rate, what training does without a schedule."""

from __future__ import annotations

from typing import Any, Literal

from lrcore.numerics import grid
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.schedules._base import Rates, Schedule


class Constant(Schedule):
    """lr(t) = base_lr."""

    summary = "the same rate at every step"
    formula = "base_lr"
    origin = "the common baseline; optax calls it constant_schedule"
    example = {"type": "Constant"}

    type: Literal["Constant"]

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return grid.constant(out, base_lr)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return base_lr

    def torch_reference(self) -> tuple[str, dict[str, Any]]:
        return "LambdaLR", {"lr_lambda": "1"}
