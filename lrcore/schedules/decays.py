"""Endless decays that no framework above has: a power of the step, a sigmoid, a sine that cycles."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lrcore.family import Number, Whole
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, NoFormula, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.schedules._base import Factor, Fraction, Rate, Rates, Schedule, StepCount, StepIndex

MAX_LISTED = 1024  # rates of a Chebyshev cycle in a formula


class InversePower(Schedule):
    """base_lr * (1 + gamma * t) ** -power."""

    summary = "falls with a power of the step"
    formula = "base_lr * (1 + gamma * t) ** -power"
    origin = "Caffe's learning-rate policy inv"
    example = {"type": "InversePower", "gamma": 1e-2, "power": 0.75}

    type: Literal["InversePower"]
    gamma: Rate
    power: Rate = 0.75

    def cost(self, load: Load) -> float:
        return cost.formula(load, cost.POWER + 2 * cost.ARITHMETIC)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return base_lr * (1 + self.gamma * t) ** -self.power


class Sigmoid(Schedule):
    """base_lr / (1 + exp(-gamma * (t - stepsize))): falls for a negative gamma, rises for a positive one."""

    summary = "a smooth switch around one step"
    formula = "base_lr / (1 + exp(-gamma * (t - stepsize)))"
    origin = "Caffe's learning-rate policy sigmoid"
    example = {"type": "Sigmoid", "gamma": -0.1, "stepsize": 50}

    type: Literal["Sigmoid"]
    gamma: Annotated[Number, Field(ge=-1000, le=1000)]
    stepsize: StepIndex

    def cost(self, load: Load) -> float:
        return cost.formula(load, cost.EXP + 2 * cost.ARITHMETIC)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        exponent = formulas.call("min", -self.gamma * (t - self.stepsize), 700.0)
        return base_lr / (1 + formulas.call("exp", exponent))


class SineCycle(Schedule):
    """min_lr + (base_lr - min_lr) * decay ** k * sin(pi * (t mod n) / n), n = cycle_steps, k = floor(t / n)."""

    summary = "arches of a sine from the lowest rate up and back, each decay times as high as the one before"
    formula = "min_lr + (base_lr - min_lr) * decay ** floor(t / n) * sin(pi * (t mod n) / n), n = cycle_steps"
    origin = "Smith, Cyclical Learning Rates, arXiv:1506.01186, with a sine for the triangle"
    example = {"type": "SineCycle", "cycle_steps": 20, "min_lr": 0.001}

    type: Literal["SineCycle"]
    cycle_steps: StepCount
    min_lr: Rate = 0.0
    decay: Annotated[Fraction, Field(gt=0)] = 1.0

    def cost(self, load: Load) -> float:
        within = load.folded(self.cycle_steps)
        arch = cost.formula(within, cost.TRIG + 2 * cost.ARITHMETIC)
        return cost.periodic(load, self.cycle_steps) + arch + cost.runs(load, self.cycle_steps)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        length, height = self.cycle_steps, base_lr - self.min_lr
        arch = formulas.periodic(t, length, lambda place: formulas.call("sin", formulas.PI * place / length))
        if self.decay == 1:
            return self.min_lr + height * arch
        return self.min_lr + formulas.power(t // length, self.decay, height) * arch


class Chebyshev(Schedule):
    """base_lr / (c - r * cos((j + 0.5) * pi / T)), c, r = (M + m) / 2, (M - m) / 2, in fractal order j, then again.

    T steps, a power of two, make a cycle. The order interlaces small and large rates: perm(2 T) =
    interlace(perm(T), 2 T - 1 - perm(T)). arXiv:2103.01338. Rates above base_lr are meant.
    """

    summary = "Chebyshev steps in fractal order: small and large rates interlaced"
    formula = "base_lr / ((M + m) / 2 - (M - m) / 2 * cos((perm(T)[t mod T] + 0.5) * pi / T))"
    origin = "Agarwal et al., Acceleration via Fractal Learning Rate Schedules, arXiv:2103.01338"
    example = {"type": "Chebyshev", "log2_steps": 4}

    type: Literal["Chebyshev"]
    log2_steps: Annotated[int, Whole(ge=0, le=20)] = Field(4, description="T is 2 ** log2_steps")
    m: Factor = Field(0.05, description="lower end of the spectrum")
    M: Factor = Field(1.0, description="upper end of the spectrum")

    @property
    def listed(self) -> int:
        return 2 * min(1 << self.log2_steps, MAX_LISTED)

    def cost(self, load: Load) -> float:
        computed = min(load.values, load.calls * (1 << self.log2_steps))
        return cost.formula(load, 3 * cost.COPY) + computed * (cost.TRIG + 4 * cost.COPY * self.log2_steps)

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        total = 2**self.log2_steps
        places = t.integers() % total
        if t.count > total:
            out[:] = self._at(np.arange(total), base_lr)[places]
        else:  # a few rates of a long cycle must not take what the whole cycle takes
            out[:] = self._at(places, base_lr)
        return grid.extent(out)

    def _at(self, places: NDArray[np.int64], base_lr: float) -> Rates:
        """The rates at places of the cycle, in [0, T)."""
        order, total = np.zeros_like(places), 1
        for bit in reversed(range(self.log2_steps)):  # perm(2 T)[2 i] = perm(T)[i], perm(2 T)[2 i + 1] mirrors it
            total *= 2
            order = np.where(places >> bit & 1, total - 1 - order, order)
        middle, radius = (self.M + self.m) / 2, (self.M - self.m) / 2
        rates: Rates = base_lr / (middle - radius * np.cos((order + 0.5) * np.pi / total))
        return rates

    def formula_at(self, t: Node, base_lr: float) -> Value:
        total = 2**self.log2_steps
        if total > MAX_LISTED:
            raise NoFormula(("log2_steps",), f"a Chebyshev cycle of more than {MAX_LISTED} steps is too long to list")
        return formulas.lookup(range(1, total), self.rates(Grid(0, 1, total), base_lr).tolist(), t % total)
