"""Triangular cycles. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv:1506.01186."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lrcore.expressions.expression import CycleExpression
from lrcore.family import Flag, is_none
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, T, Value
from lrcore.schedules._base import (
    Factor,
    GroupMomenta,
    GroupRates,
    StepCount,
    TorchSchedule,
    of_group,
)


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
    base_lr: GroupRates = Field(description="the lower end; one, or one a parameter group")
    max_lr: GroupRates = Field(description="the upper end; one, or one a parameter group")
    step_size_up: StepCount = 2000
    step_size_down: StepCount | None = Field(None, description="as long as step_size_up if left out")
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    gamma: Factor = 1.0
    scale_fn: CycleExpression | None = Field(None, description="expression in x, instead of mode", exclude_if=is_none)
    scale_mode: Literal["cycle", "iterations"] = Field("cycle", description="whether x is the cycle or the step")
    cycle_momentum: Flag = True
    base_momentum: GroupMomenta = 0.8
    max_momentum: GroupMomenta = 0.9

    @property
    def own_base_lr(self) -> float | tuple[float, ...]:
        return self.base_lr

    @property
    def size(self) -> int:
        return 1 if self.scale_fn is None else self.scale_fn.size

    def closed_cost(self, load: Load) -> float:
        length = self.step_size_up + (self.step_size_down or self.step_size_up)
        lines = cost.periodic(load, length) + cost.plain(load.folded(length))
        if self.scale_fn is None:
            return lines + cost.powers(load) + cost.runs(load, length, cost.POWER)
        values = load.values if self.scale_mode == "iterations" else load.runs(length)
        own = self.scale_fn.cost(values, load.calls + load.values // grid.PIECE)
        return lines + cost.runs(load, length, 0.0) + own

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self._cycle(t, of_group(self.base_lr, 0), of_group(self.max_lr, 0))

    def momentum_at(self, t: Node) -> Value:
        return self._cycle(t, of_group(self.max_momentum, 0), of_group(self.base_momentum, 0))

    @property
    def cycles_momentum(self) -> bool:
        return self.cycle_momentum

    def _cycle(self, t: Node, edge: float, middle: float) -> Value:
        """From `edge` to `middle` and back in every cycle."""
        up, down = self.step_size_up, self.step_size_down or self.step_size_up

        def triangles(edge: float, middle: float) -> Value:
            rise, fall = formulas.line(T, up, edge, middle), formulas.line(T - up, down, middle, edge)
            return formulas.apart(formulas.piecewise(T, [up], [rise, fall]), t % (up + down))

        def lines() -> Value:
            place = formulas.let("place", t % (up + down))
            return (middle - edge) * formulas.piecewise(place, [up], [place / up, (up + down - place) / down])

        scale = self._scale(t, up + down)
        if self.scale_fn is None and (self.mode == "triangular" or (self.mode == "exp_range" and self.gamma == 1)):
            return formulas.written(triangles(edge, middle), lambda: edge + lines() * scale)
        return edge + formulas.written(triangles(0.0, middle - edge), lines) * scale

    def _scale(self, t: Node, cycle: int) -> Value:
        """What the cycles are multiplied by."""
        if (function := self.scale_fn) is not None:
            if self.scale_mode == "iterations":
                return formulas.apart(function.as_formula(), t)
            return formulas.stairs(t, cycle, lambda number: formulas.apart(function.as_formula(), number + 1))
        if self.mode == "triangular2":
            return formulas.power(t // cycle, 0.5)
        return formulas.power(t, self.gamma) if self.mode == "exp_range" else 1.0

    def torch_reference(self) -> tuple[str, dict[str, Any]]:
        return self.name(), self.model_dump(exclude={"type"}, exclude_none=True)
