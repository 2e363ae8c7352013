"""The schedulers of OLMo-core that no other framework has, by its names and arguments; t counts steps."""

from __future__ import annotations

from itertools import accumulate
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lrcore.family import Items, Number
from lrcore.numerics import cost, formulas
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.schedules._base import MAX_STEP, Factor, Fraction, Rate, Schedule, StepCount, StepIndex

MAX_PERIODS = 1000


class PowerLR(Schedule):
    """A line to base_lr, then base_lr * (t / warmup) ** b, then a line to decay_min_lr in the last decay steps.

    OLMo-core has no rate after t_max; here the last one holds.
    """

    summary = "warm-up, then falling with a power of the step, then a line down"
    formula = "base_lr * (t / warmup) ** b between the two lines"
    origin = "OLMo-core, olmo_core.optim.PowerLR"
    example = {"type": "PowerLR", "warmup": 10, "decay": 10, "t_max": 100}

    type: Literal["PowerLR"]
    t_max: StepCount = Field(description="steps of the run")
    warmup: StepCount = Field(description="steps of the linear warm-up")
    decay: StepIndex = Field(description="steps of the linear decay at the end; 10% is OLMo-core's default")
    b: Annotated[Number, Field(ge=-10, lt=0)] = -0.51
    warmup_min_lr: Rate = 0.0
    decay_min_lr: Rate = 0.0

    @model_validator(mode="after")
    def _phases_fit(self) -> Self:
        if self.warmup + self.decay > self.t_max:
            raise ValueError(f"warmup and decay ({self.warmup} + {self.decay}) must be at most t_max ({self.t_max})")
        return self

    @property
    def horizon(self) -> int | None:
        return self.t_max if self.decay else None

    def cost(self, load: Load) -> float:
        return cost.formula(load, cost.POWER + 10 * cost.ARITHMETIC)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        warm, begin = self.warmup, self.t_max - self.decay
        rising = formulas.line(t, warm, self.warmup_min_lr, base_lr)
        falling = base_lr * (formulas.call("max", t, warm) / warm) ** self.b
        if not self.decay:
            return formulas.piecewise(t, [warm], [rising, falling])
        line = formulas.line_then_flat(t - begin, self.decay, base_lr * (begin / warm) ** self.b, self.decay_min_lr)
        return formulas.piecewise(t, [warm, begin], [rising, falling, line])


class WSDS(Schedule):
    """Periods of a stable rate that each end in a line down to decay_min_lr; the first one begins with a warm-up.

    The last step of a period has the lowest rate, and the step after it the stable rate of the next period, which is
    base_lr times its multiplier. After the last period decay_min_lr holds. arXiv:2410.05192.
    """

    summary = "warm-up, then periods that are stable and end in a decay, for checkpoints along the way"
    formula = "decay_min_lr + (base_lr * multiplier - decay_min_lr) * min(1, (end - t) / decay) in each period"
    origin = "OLMo-core, olmo_core.optim.WSDS"
    example = {"type": "WSDS", "period_lengths": [40, 60], "warmup": 5, "decay_fraction": 0.25}

    type: Literal["WSDS"]
    period_lengths: Annotated[tuple[StepCount, ...], Items(MAX_PERIODS, least=1)]
    period_lr_multipliers: Annotated[tuple[Factor, ...], Items(MAX_PERIODS)] = Field((), description="1 if left out")
    warmup: StepIndex = Field(description="steps of the linear warm-up, which are part of the first period")
    decay: StepCount | None = Field(None, description="steps of each decay")
    decay_fraction: Annotated[Fraction, Field(gt=0)] | None = Field(None, description="the same as a share of a period")
    warmup_min_lr: Rate = 0.0
    decay_min_lr: Rate = 0.0

    @model_validator(mode="after")
    def _periods_hold_their_phases(self) -> Self:
        if (self.decay is None) == (self.decay_fraction is None):
            raise ValueError("give either decay or decay_fraction")
        multipliers, periods = self.period_lr_multipliers, self.period_lengths
        if multipliers and len(multipliers) != len(periods):
            raise ValueError(f"{len(periods)} periods need {len(periods)} period_lr_multipliers")
        if sum(periods) > MAX_STEP:
            raise ValueError(f"the periods may have {MAX_STEP} steps together")
        for i, (length, decay) in enumerate(zip(periods, self._decays, strict=True)):
            warm = self.warmup if i == 0 else 0
            if decay < 1:
                raise ValueError(f"period {i} has no step to decay in: make it longer, or decay_fraction larger")
            if warm + decay > length:
                raise ValueError(f"period {i} has {length} steps, fewer than its phases have ({warm + decay})")
        return self

    @property
    def _decays(self) -> list[int]:
        """Steps of each decay. A half is rounded to the even number, as Python does."""
        share = self.decay_fraction
        return [round(share * length) if share is not None else self.decay or 0 for length in self.period_lengths]

    @property
    def horizon(self) -> int | None:
        return sum(self.period_lengths)

    @property
    def listed(self) -> int:
        return 3 * len(self.period_lengths)

    def cost(self, load: Load) -> float:
        return cost.listed(load, 3 * len(self.period_lengths)) + cost.formula(load, 12 * cost.ARITHMETIC)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        low, ends = self.decay_min_lr, list(accumulate(self.period_lengths))
        period = formulas.let("period", formulas.passed(ends[:-1], t - 1))
        peaks = [base_lr * each for each in self.period_lr_multipliers or [1.0] * len(ends)]
        left = (formulas.pick(ends, period) - t) / formulas.pick(self._decays, period)
        falling = low + (formulas.pick(peaks, period) - low) * formulas.call("min", left, 1.0)
        rising = formulas.line(t, self.warmup, self.warmup_min_lr, peaks[0])
        return formulas.piecewise(t, [self.warmup, ends[-1]], [rising, falling, low])
