"""Triangular cycles. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv:1506.01186."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from lrcore.expression import CycleExpression
from lrcore.family import Flag
from lrcore.schedules._base import Factor, Fraction, GroupRates, Rate, Rates, StepCount, Steps, TorchSchedule, of_group

Momentum = Annotated[Fraction, Field(lt=1)]


class CyclicLR(TorchSchedule):
    """lr(t) = base_lr + (max_lr - base_lr) * s(t) * scale(t).

    s rises from 0 to 1 in step_size_up steps and falls back in step_size_down. scale is 1 (triangular),
    0.5 ** cycle (triangular2), gamma ** t (exp_range), or scale_fn of the cycle, counted from 1, or of the step.
    With cycle_momentum, momentum moves the other way: max_momentum - (max_momentum - base_momentum) * s * scale.
    The schedule brings its own base_lr, which takes the place of the optimizer's.
    """

    summary = "straight lines up and down between base_lr and max_lr, momentum against them"
    formula = "base_lr + (max_lr - base_lr) * s(t) * scale(t)"
    origin = "torch.optim.lr_scheduler.CyclicLR"
    example = {"type": "CyclicLR", "base_lr": 1e-5, "max_lr": 1e-2, "step_size_up": 5, "mode": "triangular2"}
    per_group = ("base_lr", "max_lr", "base_momentum", "max_momentum")

    type: Literal["CyclicLR"]
    base_lr: Rate | GroupRates = Field(description="the lower end; one, or one a parameter group")
    max_lr: Rate | GroupRates = Field(description="the upper end; one, or one a parameter group")
    step_size_up: StepCount = 2000
    step_size_down: StepCount | None = Field(None, description="as long as step_size_up if left out")
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    gamma: Factor = 1.0
    scale_fn: CycleExpression | None = Field(
        None, description="expression in x, instead of mode", exclude_if=lambda value: value is None
    )
    scale_mode: Literal["cycle", "iterations"] = Field("cycle", description="whether x is the cycle or the step")
    cycle_momentum: Flag = True
    base_momentum: Momentum | tuple[Momentum, ...] = 0.8
    max_momentum: Momentum | tuple[Momentum, ...] = 0.9

    @property
    def own_base_lr(self) -> float | tuple[float, ...]:
        return self.base_lr

    @property
    def size(self) -> int:
        return 1 if self.scale_fn is None else self.scale_fn.size

    def closed_form(self, t: Steps, base_lr: float, group: int) -> Rates:
        low, high = of_group(self.base_lr, group), of_group(self.max_lr, group)
        return low + (high - low) * self._height(t)

    def momentum(self, t: Steps, group: int = 0) -> Rates | None:
        if not self.cycle_momentum:
            return None
        low, high = of_group(self.base_momentum, group), of_group(self.max_momentum, group)
        return high - (high - low) * self._height(t + (self.last_epoch + 1))

    def _height(self, t: Steps) -> Rates:
        """Share of the way from the lower to the upper end."""
        up = self.step_size_up
        down = self.step_size_down or up
        cycle, x = np.divmod(t, up + down)
        height: Rates = np.where(x <= up, x / up, (up + down - x) / down)
        if self.scale_fn is not None:
            return height * self.scale_fn(cycle + 1 if self.scale_mode == "cycle" else t)
        if self.mode == "triangular2":
            return height * 0.5**cycle
        if self.mode == "exp_range":
            return height * self.gamma**t
        return height

    def torch_reference(self) -> tuple[str, dict[str, Any]]:
        return self.name(), self.model_dump(exclude={"type"}, exclude_none=True)
