"""Triangular cycles. Smith, Cyclical Learning Rates for Training Neural Networks, arXiv:1506.01186."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from pydantic import Field

from lrcore.expressions.expression import CycleExpression
from lrcore.family import Flag, is_none
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.schedules._base import (
    Factor,
    GroupMomenta,
    GroupRates,
    Rates,
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

    def closed_form(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return self._cycle(out, t, of_group(self.base_lr, group), of_group(self.max_lr, group))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        low, high = of_group(self.base_lr, 0), of_group(self.max_lr, 0)
        up, down = self.step_size_up, self.step_size_down or self.step_size_up
        place, cycle = formulas.let("place", t % (up + down)), t // (up + down)
        share = formulas.piecewise(place, [up], [place / up, (up + down - place) / down])
        if self.scale_fn is not None:
            x = cycle + 1 if self.scale_mode == "cycle" else t
            return low + (high - low) * share * formulas.apart(self.scale_fn.as_formula(), x)
        scales: dict[str, Value] = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": self.gamma**t}
        return low + (high - low) * share * scales[self.mode]

    @property
    def cycles_momentum(self) -> bool:
        return self.cycle_momentum

    def fill_momentum(self, out: Rates, t: Grid, group: int) -> None:
        t = t + (self.last_epoch + 1)
        self._cycle(out, t, of_group(self.max_momentum, group), of_group(self.base_momentum, group))

    def _cycle(self, out: Rates, t: Grid, edge: float, middle: float) -> Extent:
        """From `edge` to `middle` and back in every cycle."""
        up, down = self.step_size_up, self.step_size_down or self.step_size_up
        if self.scale_fn is None and (self.mode == "triangular" or (self.mode == "exp_range" and self.gamma == 1)):
            return triangles(out, t, up, down, edge, middle)
        triangles(out, t, up, down, 0.0, middle - edge)
        extents = []
        for where, part in t.chunks():
            values = out[where]
            np.multiply(values, self._scale(part, up + down), out=values)
            np.add(values, edge, out=values)
            extents.append(grid.extent(values))
        return grid.spanning(extents)

    def _scale(self, t: Grid, cycle: int) -> Rates:
        scale = np.empty(t.count)
        if self.scale_fn is not None and self.scale_mode == "iterations":
            grid.elementwise(scale, t, self.scale_fn)
        elif self.scale_fn is not None:
            function = self.scale_fn
            grid.even_runs(scale, t, cycle, lambda number: function(number + 1))
        elif self.mode == "triangular2":
            grid.even_runs(scale, t, cycle, lambda number: np.ldexp(1.0, -np.minimum(number, 2000)))
        else:
            grid.powers(scale, t, self.gamma)
        return scale

    def torch_reference(self) -> tuple[str, dict[str, Any]]:
        return self.name(), self.model_dump(exclude={"type"}, exclude_none=True)


def triangles(out: Rates, t: Grid, up: int, down: int, edge: float, middle: float) -> Extent:
    """Lines from `edge` to `middle` in `up` steps and back in `down`, again and again."""
    lines = (lambda o, t: grid.line(o, t, up, edge, middle), lambda o, t: grid.line(o, t - up, down, middle, edge))
    return grid.periodic(out, t, up + down, lambda o, t: grid.piecewise(o, t, (up,), lines))
