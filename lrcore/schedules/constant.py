"""The fixed rate, what training does without a schedule."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from lrcore.schedules._base import Rates, Schedule, Steps


class Constant(Schedule):
    """lr(t) = base_lr."""

    summary = "the same rate at every step"
    formula = "base_lr"
    origin = "the common baseline; optax calls it constant_schedule"
    example = {"type": "Constant"}

    type: Literal["Constant"]

    def rates(self, t: Steps, base_lr: float, group: int = 0) -> Rates:
        return np.full(t.shape, base_lr)

    def torch_reference(self) -> tuple[str, dict[str, Any]]:
        return "LambdaLR", {"lr_lambda": "1"}
