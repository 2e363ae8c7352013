"""Schedules around a schedule: warm-up, repetition, scaling, bounds, shift. compose.py has sequence and product."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from lrcore.family import Number, Whole
from lrcore.numerics import cost, formulas, grid
from lrcore.numerics.cost import Load
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Extent, Fill, Grid
from lrcore.schedules import AnySchedule
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import Factor, Fraction, Rate, Rates, Schedule, SignedSteps, StepCount, of_group
from lrcore.schedules.compose import check_nesting, formula_inside


class _Around(Schedule):
    type: str
    schedule: AnySchedule = Field(description="the schedule inside")

    @field_validator("schedule")
    @classmethod
    def _fits(cls, schedule: Schedule) -> Schedule:
        if schedule.metric_driven:
            raise ValueError(f"{schedule.type} is driven by a metric and cannot be inside a {cls.name()}")
        if schedule.length == 0:
            raise ValueError("the schedule inside has no steps left")
        check_nesting(1 + schedule.depth, 1 + schedule.size)
        return schedule

    @property
    def groups(self) -> int | None:
        return self.schedule.groups

    @property
    def depth(self) -> int:
        return 1 + self.schedule.depth

    @property
    def size(self) -> int:
        return 1 + self.schedule.size

    @property
    def listed(self) -> int:
        return self.schedule.listed

    @property
    def own_base_lr(self) -> float | tuple[float, ...] | None:
        return self.schedule.own_base_lr

    @property
    def cycles_momentum(self) -> bool:
        return self.schedule.cycles_momentum

    @property
    def length(self) -> int | None:
        return self.schedule.length

    @property
    def horizon(self) -> int | None:
        return self.schedule.horizon

    @property
    def joins(self) -> tuple[int, ...]:
        return self.schedule.joins

    def relative_to(self, default_lr: float) -> Schedule:
        inside = self.schedule.relative_to(default_lr)
        return self if inside is self.schedule else self.model_copy(update={"schedule": inside})

    def cost(self, load: Load) -> float:
        return cost.formula(load, 2 * cost.ARITHMETIC) + self.schedule.cost(load)

    def fill_momentum(self, out: Rates, t: Grid, group: int) -> None:
        self.schedule.fill_momentum(out, t, group)

    def _formula(self, base_lr: float) -> Value:
        """That of the schedule inside."""
        return formula_inside(self.schedule, base_lr, "schedule")


class WarmUp(_Around):
    """Ramp up for warmup_steps before, over or on the schedule g.

    | mode | the ramp, up to step warmup_steps | from there on |
    |---|---|---|
    | shift | from start * g(0) to g(0) | g(t - warmup_steps) |
    | overlay | from start * g(0) to g(warmup_steps): detectron2's WarmupParamScheduler | g(t) |
    | overlay_to_base | from start * base_lr to base_lr: timm's warmup_prefix=False | g(t) |
    | multiply | from start to 1, times g(t) | g(t) |

    Between its ends, at u = t / warmup_steps, the ramp is linear; constant at its start; cosine, along
    (1 - cos(pi * u)) / 2; exponential, by a constant factor per step; or log, along
    log(1 + t) / log(max(2, warmup_steps)), which reaches its end at step warmup_steps - 1: DeepSpeed's WarmupLR.
    """

    summary = "a warm-up before, over or on any schedule"
    formula = "ramp(t / warmup_steps) for t < warmup_steps, then g; with multiply ramp(t / warmup_steps) * g(t)"
    origin = "timm's warmup_t and warmup_prefix, detectron2's WarmupParamScheduler, DeepSpeed's WarmupLR"
    example = {"type": "WarmUp", "warmup_steps": 5, "schedule": {"type": "CosineAnnealingLR", "T_max": 45}}

    type: Literal["WarmUp"]
    warmup_steps: StepCount
    start: Fraction = Field(0.0, description="factor at step 0")
    shape: Literal["linear", "constant", "cosine", "exponential", "log"] = "linear"
    mode: Literal["shift", "overlay", "overlay_to_base", "multiply"] = "shift"

    @model_validator(mode="after")
    def _exponential_starts_above_zero(self) -> Self:
        if self.shape == "exponential" and self.start == 0:
            raise ValueError("an exponential warm-up cannot start at 0: give start")
        return self

    @property
    def length(self) -> int | None:
        inner = self.schedule.length
        return inner if inner is None or self.mode != "shift" else inner + self.warmup_steps

    @property
    def horizon(self) -> int | None:
        inner = self.schedule.horizon
        return inner if inner is None or self.mode != "shift" else inner + self.warmup_steps

    @property
    def joins(self) -> tuple[int, ...]:
        shift = self.warmup_steps if self.mode == "shift" else 0
        return (self.warmup_steps, *(join + shift for join in self.schedule.joins if join + shift > self.warmup_steps))

    def cost(self, load: Load) -> float:
        steps = self.warmup_steps
        own = cost.formula(load, cost.ARITHMETIC) + cost.formula(load.part(0, steps), cost.POWER + 3 * cost.ARITHMETIC)
        if self.mode == "multiply":
            return own + self.schedule.cost(load)
        shift = steps if self.mode == "shift" else 0
        after = load.part(steps).shifted(-shift)
        ends = [0, steps] if self.mode == "overlay" else [0] if self.mode == "shift" else []
        if load.first >= steps or not ends:
            return own + self.schedule.cost(after)
        calls = load.calls * len(ends)
        return own + self.schedule.cost(Load(ends[0], max(ends[-1], after.last), after.values + calls,
                                             after.calls + calls, load.dense))  # fmt: skip

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        shift = self.warmup_steps if self.mode == "shift" else 0
        ramped = t.before(self.warmup_steps)
        if self.mode == "multiply":
            self.schedule.fill(out, t, base_lr, group)
            self._ramp(out[:ramped], t.part(0, ramped), None)
            return grid.extent(out)
        if ramped:
            self._ramp(out[:ramped], t.part(0, ramped), self._ends(base_lr, group))
        if ramped < t.count:
            self.schedule.fill(out[ramped:], t.part(ramped, t.count) - shift, base_lr, group)
        return grid.extent(out)

    def fill_momentum(self, out: Rates, t: Grid, group: int) -> None:
        if self.mode != "shift":
            return self.schedule.fill_momentum(out, t, group)
        ramped = t.before(self.warmup_steps)
        out[:ramped].fill(np.nan)
        if ramped < t.count:
            self.schedule.fill_momentum(out[ramped:], t.part(ramped, t.count) - self.warmup_steps, group)
        return None

    def _ends(self, base_lr: float, group: int) -> tuple[float, float]:
        """The rates between which the ramp runs, except for multiply."""
        if self.mode == "overlay_to_base":
            own = self.schedule.own_base_lr
            end = base_lr if own is None else of_group(own, group)
            return self.start * end, end
        first = float(self.schedule.rates(Grid(0), base_lr, group)[0])
        if self.mode == "shift":
            return self.start * first, first
        return self.start * first, float(self.schedule.rates(Grid(self.warmup_steps), base_lr, group)[0])

    def _ramp(self, out: Rates, t: Grid, ends: tuple[float, float] | None) -> None:
        """Write the ramp between two rates, or multiply what is there by the one from `start` to 1."""
        low, high = ends or (self.start, 1.0)
        for where, part in t.chunks():
            i = part.floats()
            match self.shape:
                case "linear":
                    ramp = low + (high - low) * (i / self.warmup_steps)
                case "constant":
                    ramp = np.full(len(i), low)
                case "cosine":
                    ramp = low + (high - low) * np.square(np.sin(np.pi / 2 * (i / self.warmup_steps)))
                case "exponential":
                    u = i / self.warmup_steps
                    ramp = np.power(low, 1 - u) * np.power(high, u)
                case "log":
                    ramp = low + (high - low) * (np.log1p(i) / self._whole_log)
            np.multiply(out[where] if ends is None else 1.0, ramp, out=out[where])

    @property
    def _whole_log(self) -> float:
        return math.log(max(2, self.warmup_steps))

    def formula_at(self, t: Node, base_lr: float) -> Value:
        within, steps = self._formula(base_lr), self.warmup_steps
        if self.mode == "multiply":
            ramp = self._ramp_formula(t, self.start, 1.0)
            return formulas.piecewise(t, [steps], [ramp, 1.0]) * formulas.apart(within, t)
        after = formulas.apart(within, t - steps if self.mode == "shift" else t)
        return formulas.piecewise(t, [steps], [self._ramp_formula(t, *self._ends(base_lr, 0)), after])

    def _ramp_formula(self, t: Node, low: float, high: float) -> Value:
        u = t / self.warmup_steps
        match self.shape:
            case "linear":
                return low + (high - low) * u
            case "constant":
                return low
            case "cosine":
                return formulas.half_cosine(u, low, high)
            case "exponential":
                return low * (high / low) ** u if low else low
        return low + (high - low) * (formulas.call("log", 1 + t) / self._whole_log)


class Repeat(_Around):
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


class BaseLR(_Around):
    """g with a base rate of its own, whatever the optimizer's is."""

    summary = "any schedule with its own base rate"
    formula = "g(t), from base_lr"
    origin = "the learning_rate argument of Paddle's schedules, init_value of optax's"
    example = {"type": "BaseLR", "base_lr": 0.3, "schedule": {"type": "StepLR", "step_size": 5}}

    type: Literal["BaseLR"]
    base_lr: Rate

    @property
    def own_base_lr(self) -> float:
        return self.base_lr

    def relative_to(self, default_lr: float) -> Schedule:
        return self  # every group has the same rate

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        return self.schedule.fill(out, t, self.base_lr, group)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self._formula(self.base_lr)


class Scale(_Around):
    """factor times the schedule's rate."""

    summary = "any schedule times a constant"
    formula = "factor * g(t)"
    origin = "timm's lr_scale"
    example = {"type": "Scale", "factor": 0.1, "schedule": {"type": "ExponentialLR", "gamma": 0.9}}

    type: Literal["Scale"]
    factor: Annotated[Number, Field(ge=0)]

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        low, high = self.schedule.fill(out, t, base_lr, group)
        np.multiply(out, self.factor, out=out)
        return low * self.factor, high * self.factor

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return self.factor * self._formula(base_lr)


class Clamp(_Around):
    """min(max, max(min, g(t))): cuts the curve off, where eta_min and its like squeeze it."""

    summary = "any schedule with a floor and a ceiling"
    formula = "min(max, max(min, g(t)))"
    origin = "optax exponential_decay's end_value, min_lr of fairseq's step schedule"
    example = {"type": "Clamp", "min": 0.001, "schedule": {"type": "ExponentialLR", "gamma": 0.9}}

    type: Literal["Clamp"]
    min: Rate = 0.0
    max: Rate | None = None

    @model_validator(mode="after")
    def _room(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max ({self.max:g}) must be at least min ({self.min:g})")
        return self

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        low, high = self.schedule.fill(out, t, base_lr, group)
        np.clip(out, self.min, self.max, out=out)
        top = math.inf if self.max is None else self.max
        bounded = [float(np.minimum(top, np.maximum(self.min, value))) for value in (low, high)]
        return bounded[0], bounded[1]

    def formula_at(self, t: Node, base_lr: float) -> Value:
        bounded = formulas.call("max", self.min, self._formula(base_lr))
        return bounded if self.max is None else formulas.call("min", self.max, bounded)


class Shift(_Around):
    """g(t + by). With a negative `by` g begins late, and its first rate holds until then."""

    summary = "any schedule begun earlier or later"
    formula = "g(max(0, t + by))"
    origin = "optax's transition_begin"
    example = {"type": "Shift", "by": -10, "schedule": {"type": "ExponentialLR", "gamma": 0.9}}

    type: Literal["Shift"]
    by: SignedSteps

    @property
    def length(self) -> int | None:
        inner = self.schedule.length
        return None if inner is None else max(0, inner - self.by)

    @property
    def horizon(self) -> int | None:
        inner = self.schedule.horizon
        return None if inner is None else max(0, inner - self.by)

    @property
    def joins(self) -> tuple[int, ...]:
        return tuple(join - self.by for join in self.schedule.joins if join > self.by)

    def cost(self, load: Load) -> float:
        shifted = load.shifted(self.by)
        return cost.formula(load, cost.COPY) + self.schedule.cost(shifted.also(0) if load.first < -self.by else shifted)

    def fill(self, out: Rates, t: Grid, base_lr: float, group: int) -> Extent:
        early = t.before(-self.by)
        extents = []
        if early:
            extents.append(grid.constant(out[:early], float(self.schedule.rates(Grid(0), base_lr, group)[0])))
        if early < t.count:
            extents.append(self.schedule.fill(out[early:], t.part(early, t.count) + self.by, base_lr, group))
        return grid.spanning(extents) if extents else grid.NOTHING

    def fill_momentum(self, out: Rates, t: Grid, group: int) -> None:
        early = t.before(-self.by)
        if early:
            self.schedule.fill_momentum(out[:1], Grid(0), group)
            out[:early] = out[0]
        self.schedule.fill_momentum(out[early:], t.part(early, t.count) + self.by, group)

    def formula_at(self, t: Node, base_lr: float) -> Value:
        shifted = t + self.by
        return formulas.apart(self._formula(base_lr), formulas.call("max", 0, shifted) if self.by < 0 else shifted)
