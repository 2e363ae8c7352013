"""A schedule again and again, in cycles that may grow and decay."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lrcore.family import Whole
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formula_values import value_at, write
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import Factor, Rates, StepCount
from lrcore.schedules.algebra._around import Around


class Repeat(Around):
    """g from its own step 0 in every cycle. Cycle i has cycle_steps * growth ** i steps, and decay ** i of the rate.

    Cycles begin at whole steps, rounded where growth makes them broken.
    After `cycles` cycles the last rate of the last one holds.
    """

    summary = "any schedule again and again, with cycles that may grow and decay"
    formula = "decay ** i * g(t - start of cycle i)"
    origin = "timm's cycle_decay, Keras' m_mul, for any schedule"
    example = {
        "type": "Repeat",
        "cycle_steps": 10,
        "decay": 0.5,
        "schedule": {"type": "CosineAnnealingLR", "T_max": 10},
    }

    type: Literal["Repeat"]
    cycle_steps: StepCount = Field(description="steps of the first cycle")
    decay: Factor = Field(1.0, description="factor of the rate from cycle to cycle")
    growth: Annotated[Factor, Field(ge=1, le=1000)] = Field(1.0, description="factor of the length")
    cycles: Annotated[int, Whole(ge=1, le=10**6)] | None = Field(None, description="endless if left out")

    @model_validator(mode="after")
    def _cycles_have_rates(self) -> Self:
        if 1 < self.growth < shapes.FASTEST:
            raise ValueError(f"growth must be 1 or at least {shapes.FASTEST}")
        inner = self.schedule.length
        if inner is not None and (self.growth > 1 or self.cycle_steps > inner):
            raise ValueError(f"the schedule inside has {inner} steps, fewer than the longest cycle")
        return self

    @property
    def length(self) -> None:
        return None

    @property
    def horizon(self) -> int | None:
        return None if self.cycles is None else self._start(self.cycles)

    @property
    def joins(self) -> tuple[int, ...]:
        return ()  # jumps are what it is for

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self._repeated(t, self._formula(base_lr), self.decay)

    def momentum_at(self, t: Node) -> Value:
        return self._repeated(t, super().momentum_at(t), 1.0)

    def _repeated(self, t: Node, within: Value, decay: float) -> Value:
        """`within` in every cycle, times decay ** cycle, and its last value after the last cycle."""
        if self.growth == 1:
            height = formulas.power(t // self.cycle_steps, decay) if decay != 1 else 1.0
            cycling = height * formulas.apart(within, t % self.cycle_steps)
            return self._ended(t, cycling, cycling)

        def fill(out: Rates, t: Grid) -> Extent:
            for where, part, cycle in shapes.turns(t, shapes.growing(self._start, self.cycle_steps, self.growth)):
                write(within, values := out[where], part - self._start(cycle))
                np.multiply(values, _power(decay, cycle), out=values)
            return grid.extent(out)

        growing = formulas.filled(t, fill)
        return formulas.written(self._ended(t, growing, growing), lambda: self._listed(t, within, decay, growing))

    def _ended(self, t: Node, found: Value, cycling: Value) -> Value:
        if self.cycles is None:
            return found
        end = self._start(self.cycles)
        return formulas.piecewise(t, [end], [found, formulas.later(lambda: value_at(cycling, end - 1))])

    def _listed(self, t: Node, within: Value, decay: float, cycling: Value) -> Value:
        turns = list(shapes.cycle_starts(self._start, self.cycles))
        begins = [begin for begin, _ in turns]
        i = formulas.let("i", formulas.passed(begins[1:], t))
        heights = formulas.powers(1.0, decay, (cycle for _, cycle in turns))
        found = formulas.pick(heights, i) * formulas.apart(within, t - formulas.pick(begins, i))
        return found if self.cycles is not None and turns[-1][1] + 1 < self.cycles else self._ended(t, found, cycling)

    def _start(self, cycle: int) -> int:
        return round(shapes.cycle_start(self.cycle_steps, self.growth, cycle))

    @property
    def listed(self) -> int:
        own = 0 if self.growth == 1 else 2 * shapes.listed_cycles(self.growth, self.cycles)
        return own + self.schedule.listed

    def cost(self, load: Load) -> float:
        end = self._start(self.cycles) if self.cycles else None
        load = (
            load
            if end is None or load.last < end
            else Load(min(load.first, end - 1), end - 1, load.values, 2 * load.calls, load.dense)
        )
        own = cost.formula(load, 2 * cost.ARITHMETIC)
        if self.growth == 1:
            decay = cost.runs(load, self.cycle_steps) if self.decay != 1 else 0.0
            within = load.folded(self.cycle_steps)
            return own + cost.periodic(load, self.cycle_steps) + decay + self.schedule.cost(within)
        met = shapes.cycles_met(load, self.cycle_steps, self.growth)
        cut = load.cut(met)
        longest = math.ceil(self.cycle_steps + load.last * (1 - 1 / self.growth))
        within = Load(0, min(load.last, longest), cut.values, cut.calls, cut.dense)
        return own + cut.calls * cost.CALL + self.schedule.cost(within)


def _power(base: float, exponent: int) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf
