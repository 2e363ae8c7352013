"""A schedule again and again, in cycles that may grow and decay."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lrcore.family import Whole
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Fill, Grid
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

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        self._repeat(out, t, lambda o, t: self.schedule.fill(o, t, base_lr, group), self.decay)
        return grid.extent(out)

    def fill_momentum(self, out: Rates, t: Grid, group: int) -> None:
        def momentum(out: Rates, t: Grid) -> Extent:
            self.schedule.fill_momentum(out, t, group)
            return grid.NOTHING

        self._repeat(out, t, momentum, 1.0)

    def _repeat(self, out: Rates, t: Grid, inside: Fill, decay: float) -> None:
        """`inside` in every cycle, times decay ** cycle, and its last value after the last cycle."""
        end = self._start(self.cycles) if self.cycles else t.last + 1
        count = t.before(end)
        if self.growth == 1 and count:
            grid.periodic(out[:count], t.part(0, count), self.cycle_steps, inside)
            if decay != 1:
                grid.times_runs(out[:count], t.part(0, count), self.cycle_steps, lambda cycle: grid.power(cycle, decay))
        elif count:
            find = shapes.growing(self._start, self.cycle_steps, self.growth)
            for where, part, cycle in shapes.turns(t.part(0, count), find):
                inside(out[where], part - self._start(cycle))
                np.multiply(out[where], _power(decay, cycle), out=out[where])
        if count < t.count:
            last = np.empty(1)
            self._repeat(last, Grid(end - 1), inside, decay)
            out[count:] = last[0]

    def _start(self, cycle: int) -> int:
        return round(shapes.cycle_start(self.cycle_steps, self.growth, cycle))

    @property
    def listed(self) -> int:
        own = 0 if self.growth == 1 else 2 * shapes.listed_cycles(self.growth, self.cycles)
        return own + self.schedule.listed

    def formula_at(self, t: Node, base_lr: float) -> Value:
        within = self._formula(base_lr)
        if self.growth == 1:
            height = self.decay ** (t // self.cycle_steps) if self.decay != 1 else 1.0
            found = height * formulas.apart(within, t % self.cycle_steps)
        else:
            turns = list(shapes.cycle_starts(self._start, self.cycles))
            begins = [begin for begin, _ in turns]
            heights = formulas.powers(1.0, self.decay, (cycle for _, cycle in turns))
            i = formulas.let("i", formulas.passed(begins[1:], t))
            found = formulas.pick(heights, i) * formulas.apart(within, t - formulas.pick(begins, i))
            if self.cycles is not None and turns[-1][1] + 1 < self.cycles:
                return found
        if self.cycles is None:
            return found
        end = self._start(self.cycles)
        return formulas.piecewise(t, [end], [found, float(self.rates(Grid(end - 1), base_lr)[0])])

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
