"""Noise on a schedule, drawn anew at each step from a generator that is seeded by the step."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lrcore.family import ByShape, Items, Number, Whole
from lrcore.numerics import cost, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, NoFormula, Value
from lrcore.numerics.grid import Extent, Grid
from lrcore.numerics.torch_random import TorchNormals
from lrcore.schedules._base import MAX_STEP, Factor, Rates, StepIndex
from lrcore.schedules.algebra._around import Around

DRAW = 30_000.0  # nanoseconds to seed a generator, and to draw from it until a number is kept
WIDEST = 3.0  # noise_std as a multiple of noise_pct: one number in four is kept
NoiseRange = Annotated[StepIndex | Annotated[tuple[StepIndex, ...], Items(2, least=2)], ByShape()]


class Noise(Around):
    """g(t) * (1 + e) from noise_range_t on, or between its two steps: timm's noise on any schedule.

    e is normal with the deviation noise_std, drawn until it is between -noise_pct and noise_pct, from torch's
    generator seeded by noise_seed + t. The rates are those of timm to the last bits.
    """

    summary = "any schedule with random noise, the same for the same seed"
    formula = "g(t) * (1 + e(t)), e normal and cut off at noise_pct"
    origin = "timm's noise_range_t"
    example = {
        "type": "Noise",
        "noise_range_t": [10, 40],
        "noise_pct": 0.2,
        "noise_std": 0.1,
        "schedule": {"type": "CosineAnnealingLR", "T_max": 50},
    }

    type: Literal["Noise"]
    noise_range_t: NoiseRange = Field(description="the first step with noise, or that and the first one without")
    noise_pct: Annotated[Number, Field(gt=0, le=1)] = 0.67
    noise_std: Factor = 1.0
    noise_seed: Annotated[int, Whole(ge=0, le=MAX_STEP)] = 42

    @model_validator(mode="after")
    def _draws_end(self) -> Self:
        if self.noise_std > WIDEST * self.noise_pct:
            raise ValueError(f"noise_std ({self.noise_std:g}) may be {WIDEST:g} times noise_pct ({self.noise_pct:g})")
        first, last = self._range
        if last is not None and last <= first:
            raise ValueError(f"noise_range_t must rise, but {last} follows {first}")
        return self

    @property
    def _range(self) -> tuple[int, int | None]:
        steps = self.noise_range_t
        return (steps, None) if isinstance(steps, int) else (steps[0], steps[1])

    def cost(self, load: Load) -> float:
        return super().cost(load) + cost.formula(load.part(*self._range), DRAW)

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        self.schedule.fill(out, t, base_lr, group)
        begin, end = self._range
        first, last = t.before(begin), t.count if end is None else t.before(end)
        noisy = out[first:last]
        noisy += noisy * self._noise(t.part(first, last))
        return grid.extent(out)

    def _noise(self, t: Grid) -> Rates:
        normals, seeds = TorchNormals(), (t.integers() + self.noise_seed).tolist()
        drawn = [next(filter(self._is_kept, normals.of(seed))) for seed in seeds]
        return np.array(drawn) * self.noise_std

    def _is_kept(self, normal: float) -> bool:
        return abs(normal * self.noise_std) < self.noise_pct

    def formula_at(self, t: Node, base_lr: float) -> Value:
        raise NoFormula(("noise_range_t",), "noise is no formula of the step: leave it out")
