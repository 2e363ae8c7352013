"""The fixed rate, what training does without a schedule."""

from __future__ import annotations

from typing import Any, Literal

from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import Schedule


class Constant(Schedule):
    """lr(t) = base_lr."""

    summary = "the same rate at every step"
    formula = "base_lr"
    origin = "the common baseline; optax calls it constant_schedule"
    example = {"type": "Constant"}

    type: Literal["Constant"]

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return base_lr

    def torch_reference(self) -> tuple[str, dict[str, Any]]:
        return "LambdaLR", {"lr_lambda": "1"}
