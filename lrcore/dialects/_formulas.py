"""The formula of every schedule, for frameworks that have no class for it."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Sequence
from functools import reduce, singledispatch
from itertools import accumulate, pairwise

import numpy as np

from lrcore.dialects._base import PI, Node, T, Value, apart, call, in_turn, less, let, lookup, passed, pick, where
from lrcore.errors import CurveError
from lrcore.expression import CONSTANTS, Expression
from lrcore.grid import Grid
from lrcore.schedules import Schedule
from lrcore.schedules import _shapes as shapes
from lrcore.schedules._base import TorchSchedule, of_group
from lrcore.schedules.algebra import BaseLR, Clamp, Repeat, Scale, Shift, WarmUp
from lrcore.schedules.budget import REX, WSD, FlatCosine, SlantedTriangular
from lrcore.schedules.compose import ChainedScheduler, SequentialLR
from lrcore.schedules.constant import Constant
from lrcore.schedules.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from lrcore.schedules.cyclic import CyclicLR
from lrcore.schedules.d2l import CosineScheduler, FactorScheduler, SquareRootScheduler
from lrcore.schedules.decays import Chebyshev, InversePower, Sigmoid, SineCycle
from lrcore.schedules.exponential import ExponentialLR
from lrcore.schedules.factor import ConstantLR, LinearLR, PolynomialLR
from lrcore.schedules.keras import (
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)
from lrcore.schedules.lambda_ import LambdaLR, MultiplicativeLR
from lrcore.schedules.one_cycle import OneCycleLR
from lrcore.schedules.optax import (
    CosineDecaySchedule,
    CosineOnecycleSchedule,
    LinearOnecycleSchedule,
    LinearSchedule,
    OptaxExponentialDecay,
    PiecewiseConstantSchedule,
    PiecewiseInterpolateSchedule,
    PolynomialSchedule,
    SgdrCycle,
    SgdrSchedule,
    WarmupConstantSchedule,
    WarmupCosineDecaySchedule,
    WarmupExponentialDecaySchedule,
)
from lrcore.schedules.paddle import NaturalExpDecay, NoamDecay, PiecewiseDecay
from lrcore.schedules.range_test import ExponentialRangeTest, LinearRangeTest, LRRangeTest
from lrcore.schedules.step import MultiStepLR, StepLR
from lrcore.schedules.swa import SWALR
from lrcore.schedules.timm import (
    CosineLRScheduler,
    MultiStepLRScheduler,
    PolyLRScheduler,
    StepLRScheduler,
    TanhLRScheduler,
    WSDLRScheduler,
)
from lrcore.schedules.transformers import (
    ConstantWithWarmup,
    CosineWarmupWithMinLr,
    CosineWithMinLr,
    CosineWithRestarts,
    InverseSqrt,
    TransformersConstant,
    TransformersCosine,
    TransformersLinear,
    TransformersPolynomial,
    WarmupStableDecay,
)

MAX_CYCLES = 10_000  # cycles that are listed: 20 million steps where they grow as slowly as they may
MAX_LISTED = 1024  # rates of a Chebyshev cycle that are listed


class NoFormula(CurveError):
    """A schedule that cannot be written as a formula of the step."""


def formula(schedule: Schedule, base_lr: float) -> Value:
    """The rate as a function of T.

    Raises:
        NoFormula: there is none. `field` is the path of the part at fault, from the schedule on.
    """
    t = T + (schedule.last_epoch + 1) if isinstance(schedule, TorchSchedule) else T
    return written(schedule, t, base_lr)


def inside(schedule: Schedule, base_lr: float, *path: str | int) -> Value:
    """The formula of a schedule's part. The path is that of its field."""
    try:
        return formula(schedule, base_lr)
    except NoFormula as error:
        raise NoFormula((*path, *error.field), str(error)) from None


@singledispatch
def written(schedule: Schedule, t: Node, lr: float) -> Value:
    """The formula of one class at the step `t`, with `last_epoch` already in it."""
    raise NoFormula(("type",), f"{schedule.type} cannot be written as a formula of the step")


# ---------------------------------------------------------------- shapes


def line(t: Value, length: float, start: float, end: float) -> Value:
    return start + (end - start) * (t / length) if length else end


def line_then_flat(t: Value, length: float, start: float, end: float) -> Value:
    return in_turn(t, [length], [line(t, length, start, end), end])


def half_cosine(u: Value, high: Value, low: Value, exponent: float = 1.0) -> Value:
    """From `high` at u = 0 to `low` at u = 1."""
    return low + (high - low) * ((1 + call("cos", PI * u)) / 2) ** exponent


def polynomial(t: Value, length: float, start: float, end: float, power: float) -> Value:
    if power == 1:
        return line_then_flat(t, length, start, end)
    return (start - end) * (1 - call("min", t, length) / length) ** power + end


def wave(t: Node, length: int, half_waves: float, high: float, low: float) -> Value:
    """Half a wave after another; whole periods are taken off before the cosine, for the digits."""
    turn = t * (int(half_waves) if half_waves == int(half_waves) else half_waves)
    return half_cosine(turn % (2 * length) / length, high, low)


def decay(name: str, u: Value, power: float = 0.5, ratio: float = 0.1) -> Value:
    """The cooldowns of `lrcore.schedules._shapes.decay`."""
    match name:
        case "linear":
            return 1 - u
        case "cosine":
            return half_cosine(u, 1, 0)
        case "1-sqrt":
            return 1 - call("sqrt", u)
        case "power":
            return 1 - u**power
    return (ratio**u - ratio) / (1 - ratio)


def cycles(
    t: Node,
    first: int,
    factor: float,
    shape: Callable[[Value], Value],
    amplitude: Callable[[Value], Value],
    low: float,
    limit: int | None = None,
) -> Value:
    """low + amplitude(cycle) * shape(share of the way) in each cycle, `low` once there were `limit`."""
    if factor == 1:
        u = let("u", t % first / first)
        found = low + amplitude(let("cycle", t // first)) * shape(u)
        return found if limit is None else in_turn(t, [first * limit], [found, low])
    starts = list(_cycle_starts(lambda cycle: shapes.cycle_start(first, factor, cycle), limit))
    begins = [start for start, _ in starts]
    lengths = [first * factor**cycle for _, cycle in starts]
    edges = [math.ceil(begin) for begin in begins[1:]]
    heights = [_height(amplitude, cycle) for _, cycle in starts]
    i = let("i", passed(edges, t))
    u = let("u", (t - pick(begins, i)) / pick(lengths, i))
    found = low + pick(heights, i) * shape(u)
    if limit is None or (factor > 1 and starts[-1][1] + 1 < limit):
        return found
    return in_turn(t, [math.ceil(shapes.cycle_start(first, factor, limit))], [found, low])


def _cycle_starts(start: Callable[[int], float], limit: int | None) -> Iterable[tuple[float, int]]:
    """Where each cycle that holds a step begins, and its number: at most MAX_CYCLES."""
    cycle = 0
    for _ in range(MAX_CYCLES):
        while limit is None or cycle < limit:
            begin, end = start(cycle), start(cycle + 1)
            cycle += 1
            if math.ceil(end) > math.ceil(begin):
                yield begin, cycle - 1
                break
            if end - begin < 1e-9:
                return
        else:
            return
        if end > 2**53:
            return


def _height(amplitude: Callable[[Value], Value], cycle: int) -> float:
    try:
        height = amplitude(cycle)
    except OverflowError:
        return math.inf
    assert not isinstance(height, Node)
    return float(height)


def powers(start: float, base: float, exponents: Iterable[int]) -> list[float]:
    """start * base ** k, infinite where it overflows."""
    with np.errstate(all="ignore"):
        return list(map(float, start * np.power(base, np.array(list(exponents), dtype=np.float64))))


# ---------------------------------------------------------------- torch


@written.register
def _(s: Constant, t: Node, lr: float) -> Value:
    return lr


@written.register
def _(s: ConstantLR, t: Node, lr: float) -> Value:
    return in_turn(t, [s.total_iters], [lr * s.factor, lr])


@written.register
def _(s: LinearLR, t: Node, lr: float) -> Value:
    return line_then_flat(t, s.total_iters, lr * s.start_factor, lr * s.end_factor)


@written.register
def _(s: PolynomialLR, t: Node, lr: float) -> Value:
    return polynomial(t, s.total_iters, lr, 0.0, s.power)


@written.register
def _(s: StepLR, t: Node, lr: float) -> Value:
    return lr * s.gamma ** (t // s.step_size)


@written.register
def _(s: MultiStepLR, t: Node, lr: float) -> Value:
    return lookup(s.milestones, powers(lr, s.gamma, range(len(s.milestones) + 1)), t)


@written.register
def _(s: ExponentialLR, t: Node, lr: float) -> Value:
    return lr * s.gamma**t


@written.register
def _(s: CosineAnnealingLR, t: Node, lr: float) -> Value:
    return wave(t, s.T_max, 1, lr, s.eta_min)


@written.register
def _(s: CosineAnnealingWarmRestarts, t: Node, lr: float) -> Value:
    return cycles(t, s.T_0, s.T_mult, lambda u: half_cosine(u, 1, 0), lambda cycle: lr - s.eta_min, s.eta_min)


@written.register
def _(s: SWALR, t: Node, lr: float) -> Value:
    end = of_group(s.swa_lr, 0)
    if s.anneal_epochs == 0:
        return end
    if s.anneal_strategy == "linear":
        return line_then_flat(t, s.anneal_epochs, lr, end)
    return half_cosine(call("min", t, s.anneal_epochs) / s.anneal_epochs, lr, end)


@written.register
def _(s: CyclicLR, t: Node, lr: float) -> Value:
    low, high = of_group(s.base_lr, 0), of_group(s.max_lr, 0)
    up, down = s.step_size_up, s.step_size_down or s.step_size_up
    place, cycle = let("place", t % (up + down)), t // (up + down)
    share = in_turn(place, [up], [place / up, (up + down - place) / down])
    if s.scale_fn is not None:
        return low + (high - low) * share * apart(expression(s.scale_fn), cycle + 1 if s.scale_mode == "cycle" else t)
    scales: dict[str, Value] = {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": s.gamma**t}
    return low + (high - low) * share * scales[s.mode]


@written.register
def _(s: OneCycleLR, t: Node, lr: float) -> Value:
    total = s.total_steps or (s.epochs or 0) * (s.steps_per_epoch or 0)
    peak, rise = of_group(s.max_lr, 0), s.pct_start * total
    initial = peak / s.div_factor
    rates = [initial, peak, *([initial] if s.three_phase else []), initial / s.final_div_factor]
    knots = [0.0, rise - 1, *([2 * rise - 2] if s.three_phase else []), total - 1.0]
    phases = []
    for (begin, end), (start, stop) in zip(pairwise(knots), pairwise(rates), strict=True):
        u = (t - begin) / (end - begin)
        phases.append(half_cosine(u, start, stop) if s.anneal_strategy == "cos" else start + (stop - start) * u)
    return in_turn(t, [math.floor(knot) + 1 for knot in knots[1:-1]], phases)


@written.register
def _(s: LambdaLR, t: Node, lr: float) -> Value:
    return lr * apart(expression(s.expression(0)), t)


@written.register
def _(s: MultiplicativeLR, t: Node, lr: float) -> Value:
    constant = s.expression(0).constant
    if constant is None or constant <= 0:
        raise NoFormula(("lr_lambda",), "a product of factors that change from step to step has no formula")
    return lr * constant**t


@written.register
def _(s: SequentialLR, t: Node, lr: float) -> Value:
    starts = (0, *s.milestones)
    parts = [inside(part, lr, "schedulers", i) for i, part in enumerate(s.schedulers)]
    turns = [apart(part, t - start) for part, start in zip(parts, starts, strict=True)]
    return in_turn(t, s.milestones, turns)


@written.register
def _(s: ChainedScheduler, t: Node, lr: float) -> Value:
    if lr == 0:
        raise CurveError(("base_lr",), "a ChainedScheduler multiplies fractions of the base rate, so it must not be 0")
    found, *others = [inside(part, lr, "schedulers", i) for i, part in enumerate(s.schedulers)]
    for part in others:
        found = found * (part / lr)
    return found


# ---------------------------------------------------------------- schedules around a schedule


@written.register
def _(s: WarmUp, t: Node, lr: float) -> Value:
    within = inside(s.schedule, lr, "schedule")
    if s.mode == "multiply":
        return in_turn(t, [s.warmup_steps], [_ramp(s, t), 1.0]) * apart(within, t)
    shift = s.warmup_steps if s.mode == "shift" else 0
    target = float(s.schedule.rates(Grid(s.warmup_steps - shift), lr)[0])
    return in_turn(t, [s.warmup_steps], [target * _ramp(s, t), apart(within, (t - shift) if shift else t)])


def _ramp(s: WarmUp, t: Node) -> Value:
    start, u = s.start, t / s.warmup_steps
    match s.shape:
        case "linear":
            return start + (1 - start) * u
        case "constant":
            return start
        case "cosine":
            return half_cosine(u, start, 1)
        case "exponential":
            return start ** (1 - u)
    return start + (1 - start) * (call("log", 1 + t) / math.log1p(s.warmup_steps))


@written.register
def _(s: Repeat, t: Node, lr: float) -> Value:
    within = inside(s.schedule, lr, "schedule")

    def start(cycle: int) -> int:
        return round(shapes.cycle_start(s.cycle_steps, s.growth, cycle))

    if s.growth == 1:
        found = (
            s.decay ** (t // s.cycle_steps) * apart(within, t % s.cycle_steps)
            if s.decay != 1
            else apart(within, t % s.cycle_steps)
        )
    else:
        listed = list(_cycle_starts(start, s.cycles))
        begins, edges = [begin for begin, _ in listed], [int(begin) for begin, _ in listed[1:]]
        heights = powers(1.0, s.decay, (cycle for _, cycle in listed))
        i = let("i", passed(edges, t))
        found = pick(heights, i) * apart(within, t - pick(begins, i))
        if s.cycles is None or listed[-1][1] + 1 < s.cycles:
            return found
    if s.cycles is None:
        return found
    end = start(s.cycles)
    return in_turn(t, [end], [found, float(s.rates(Grid(end - 1), lr)[0])])


@written.register
def _(s: BaseLR, t: Node, lr: float) -> Value:
    return inside(s.schedule, s.base_lr, "schedule")


@written.register
def _(s: Scale, t: Node, lr: float) -> Value:
    return s.factor * inside(s.schedule, lr, "schedule")


@written.register
def _(s: Clamp, t: Node, lr: float) -> Value:
    bounded = call("max", s.min, inside(s.schedule, lr, "schedule"))
    return bounded if s.max is None else call("min", s.max, bounded)


@written.register
def _(s: Shift, t: Node, lr: float) -> Value:
    within = inside(s.schedule, lr, "schedule")
    if s.by < 0:
        return apart(within, call("max", 0, t + s.by))
    return apart(within, t + s.by)


# ---------------------------------------------------------------- one run's decay, endless decays, d2l, range tests


@written.register
def _(s: REX, t: Node, lr: float) -> Value:
    u = let("u", call("min", t, s.total_steps) / s.total_steps)
    return (lr - s.min_lr) * (1 - u) / (1 - u / 2) + s.min_lr


@written.register
def _(s: SlantedTriangular, t: Node, lr: float) -> Value:
    low, cut = lr / s.ratio, int(s.total_steps * s.cut_frac)
    return in_turn(t, [cut], [line(t, cut, low, lr), line_then_flat(t - cut, s.total_steps - cut, lr, low)])


@written.register
def _(s: FlatCosine, t: Node, lr: float) -> Value:
    begin, end = int(s.pct_start * s.total_steps), lr / s.div_final
    falling = half_cosine((t - begin) / (s.total_steps - begin), lr, end)
    return in_turn(t, [begin, s.total_steps], [lr, falling, end])


@written.register
def _(s: WSD, t: Node, lr: float) -> Value:
    begin, low = s.warmup_steps + s.stable_steps, lr * s.min_ratio
    falling = low + (lr - low) * decay(s.cooldown, (t - begin) / s.decay_steps, s.power, s.ratio)
    rising = line(t, s.warmup_steps, lr * s.warmup_start, lr)
    return in_turn(t, [s.warmup_steps, begin, begin + s.decay_steps], [rising, lr, falling, low])


@written.register
def _(s: SquareRootScheduler, t: Node, lr: float) -> Value:
    return s.lr / call("sqrt", t + 1)


@written.register
def _(s: FactorScheduler, t: Node, lr: float) -> Value:
    return call("max", s.stop_factor_lr, s.base_lr * s.factor ** (t + 1))


@written.register
def _(s: CosineScheduler, t: Node, lr: float) -> Value:
    warm, end = s.warmup_steps, s.max_update
    falling = half_cosine((t - warm) / (end - warm), s.base_lr, s.final_lr)
    return in_turn(t, [warm, end], [line(t, warm, s.warmup_begin_lr, s.base_lr), falling, s.final_lr])


@written.register
def _(s: InversePower, t: Node, lr: float) -> Value:
    return lr * (1 + s.gamma * t) ** -s.power


@written.register
def _(s: Sigmoid, t: Node, lr: float) -> Value:
    return lr / (1 + call("exp", call("min", -s.gamma * (t - s.stepsize), 700.0)))


@written.register
def _(s: SineCycle, t: Node, lr: float) -> Value:
    arch = call("sin", PI * (t % s.cycle_steps) / s.cycle_steps)
    height = lr - s.min_lr if s.decay == 1 else (lr - s.min_lr) * s.decay ** (t // s.cycle_steps)
    return s.min_lr + height * arch


@written.register
def _(s: Chebyshev, t: Node, lr: float) -> Value:
    total = 2**s.log2_steps
    if total > MAX_LISTED:
        raise NoFormula(("log2_steps",), f"a Chebyshev cycle of more than {MAX_LISTED} steps is too long to list")
    return lookup(range(1, total), s.rates(Grid(0, 1, total), lr).tolist(), t % total)


@written.register
def _(s: LRRangeTest, t: Node, lr: float) -> Value:
    low, size = s.lr_range_test_min_lr, s.lr_range_test_step_size
    return low + low * s.lr_range_test_step_rate * (t // size if s.lr_range_test_staircase else t / size)


@written.register
def _(s: LinearRangeTest, t: Node, lr: float) -> Value:
    return line_then_flat(t, s.num_iter - 1, s.start_lr, s.end_lr)


@written.register
def _(s: ExponentialRangeTest, t: Node, lr: float) -> Value:
    return s.start_lr * (s.end_lr / s.start_lr) ** (call("min", t, s.num_iter - 1) / (s.num_iter - 1))


# ---------------------------------------------------------------- Keras, Paddle


@written.register
def _(s: CosineDecay, t: Node, lr: float) -> Value:
    warm, initial = s.warmup_steps, s.initial_learning_rate
    peak = initial if s.warmup_target is None else s.warmup_target
    falling = half_cosine(call("min", t - warm, s.decay_steps) / s.decay_steps, peak, s.alpha * peak)
    return in_turn(t, [warm], [line(t, warm, initial, peak), falling])


@written.register
def _(s: CosineDecayRestarts, t: Node, lr: float) -> Value:
    height, low = s.initial_learning_rate * (1 - s.alpha), s.initial_learning_rate * s.alpha
    return cycles(
        t, s.first_decay_steps, s.t_mul, lambda u: half_cosine(u, 1, 0), lambda cycle: height * s.m_mul**cycle, low
    )


@written.register
def _(s: ExponentialDecay, t: Node, lr: float) -> Value:
    return _exponential(t, s.initial_learning_rate, s.decay_steps, s.decay_rate, s.staircase)


def _exponential(t: Value, start: float, per: int, rate: float, staircase: bool) -> Value:
    return start * rate ** (t // per if staircase else t / per)


@written.register
def _(s: InverseTimeDecay, t: Node, lr: float) -> Value:
    return s.initial_learning_rate / (1 + s.decay_rate * (t // s.decay_steps if s.staircase else t / s.decay_steps))


@written.register
def _(s: PiecewiseConstantDecay, t: Node, lr: float) -> Value:
    return lookup([boundary + 1 for boundary in s.boundaries], s.values, t)


@written.register
def _(s: PolynomialDecay, t: Node, lr: float) -> Value:
    start, end = s.initial_learning_rate, s.end_learning_rate
    if not s.cycle:
        return polynomial(t, s.decay_steps, start, end, s.power)
    total = s.decay_steps * call("max", 1, (t + s.decay_steps - 1) // s.decay_steps)  # a quotient may miss a step
    return (1 - t / total) ** s.power * (start - end) + end


@written.register
def _(s: NoamDecay, t: Node, lr: float) -> Value:
    scale = s.learning_rate * s.d_model**-0.5
    rising = line(t, s.warmup_steps, 0.0, scale * s.warmup_steps**-0.5)
    return in_turn(t, [s.warmup_steps], [rising, scale / call("sqrt", t)])


@written.register
def _(s: NaturalExpDecay, t: Node, lr: float) -> Value:
    return s.learning_rate * call("exp", -s.gamma * t)


@written.register
def _(s: PiecewiseDecay, t: Node, lr: float) -> Value:
    return lookup(s.boundaries, s.values, t)


# ---------------------------------------------------------------- optax


def _late(t: Node, begin: int) -> Value:
    return call("max", 0, t - begin) if begin else t


@written.register
def _(s: LinearSchedule, t: Node, lr: float) -> Value:
    return line_then_flat(_late(t, s.transition_begin), s.transition_steps, s.init_value, s.end_value)


@written.register
def _(s: PolynomialSchedule, t: Node, lr: float) -> Value:
    return polynomial(_late(t, s.transition_begin), s.transition_steps, s.init_value, s.end_value, s.power)


@written.register
def _(s: CosineDecaySchedule, t: Node, lr: float) -> Value:
    u = call("min", t, s.decay_steps) / s.decay_steps
    return half_cosine(u, s.init_value, s.alpha * s.init_value, s.exponent)


@written.register
def _(s: OptaxExponentialDecay, t: Node, lr: float) -> Value:
    return _optax_exponential(s, t, s.init_value)


@written.register
def _(s: WarmupExponentialDecaySchedule, t: Node, lr: float) -> Value:
    warm = s.warmup_steps
    falling = _optax_exponential(s, t - warm, s.peak_value)
    return in_turn(t, [warm], [line(t, warm, s.init_value, s.peak_value), falling])


def _optax_exponential(s: OptaxExponentialDecay, t: Node, start: float) -> Value:
    found = _exponential(_late(t, s.transition_begin), start, s.transition_steps, s.decay_rate, s.staircase)
    return found if s.end_value is None else call("max" if s.decay_rate < 1 else "min", found, s.end_value)


def knots(first: float, scales: dict[int, float]) -> tuple[list[int], list[float]]:
    """Boundaries in order, and the rates from the first one on."""
    edges = sorted(scales)
    return edges, list(accumulate((scales[edge] for edge in edges), lambda rate, scale: rate * scale, initial=first))


@written.register
def _(s: PiecewiseConstantSchedule, t: Node, lr: float) -> Value:
    return lookup(*knots(s.init_value, s.boundaries_and_scales), t)


@written.register
def _(s: PiecewiseInterpolateSchedule, t: Node, lr: float) -> Value:
    return _interpolated(t, s.interpolate_type, s.init_value, s.boundaries_and_scales)


@written.register
def _(s: CosineOnecycleSchedule, t: Node, lr: float) -> Value:
    n = s.transition_steps
    scales = {int(s.pct_start * n): s.div_factor, n: 1.0 / (s.div_factor * s.final_div_factor)}
    return _interpolated(t, "cosine", s.peak_value / s.div_factor, scales)


@written.register
def _(s: LinearOnecycleSchedule, t: Node, lr: float) -> Value:
    n = s.transition_steps
    rise, fall = int(s.pct_start * n), int(s.pct_final * n)
    scales = {rise: s.div_factor, fall: 1.0 / s.div_factor, n: 1.0 / s.final_div_factor}
    return _interpolated(t, "linear", s.peak_value / s.div_factor, scales)


def _interpolated(t: Node, kind: str, first: float, scales: dict[int, float]) -> Value:
    edges, rates = knots(first, scales)
    if not edges:
        return first
    starts, ends = [0, *edges], [*edges, edges[-1] + 1]  # after the last knot the rate stays
    lengths = [max(1, end - start) for start, end in zip(starts, ends, strict=True)]
    i = let("i", passed(edges, t))
    u = (t - pick(starts, i)) / pick(lengths, i)
    low, high = let("start", pick(rates, i)), let("end", pick([*rates[1:], rates[-1]], i))
    return half_cosine(u, low, high) if kind == "cosine" else low + (high - low) * u


@written.register
def _(s: WarmupConstantSchedule, t: Node, lr: float) -> Value:
    return line_then_flat(t, s.warmup_steps, s.init_value, s.peak_value)


@written.register
def _(s: WarmupCosineDecaySchedule, t: Node, lr: float) -> Value:
    warm, length = s.warmup_steps, s.decay_steps - s.warmup_steps
    falling = half_cosine(call("min", t - warm, length) / length, s.peak_value, s.end_value, s.exponent)
    return in_turn(t, [warm], [line(t, warm, s.init_value, s.peak_value), falling])


@written.register
def _(s: SgdrSchedule, t: Node, lr: float) -> Value:
    cycles = s.cosine_kwargs
    starts = [0, *accumulate(cycle.decay_steps for cycle in cycles[:-1])]

    i = let("i", passed(starts[1:], t))

    def own(value: Callable[[SgdrCycle], float]) -> Value:
        return pick([value(cycle) for cycle in cycles], i)

    place = let("place", t - pick(starts, i))
    warm, peak = let("warm", own(lambda c: c.warmup_steps)), let("peak", own(lambda c: c.peak_value))
    first, last = let("first", own(lambda c: c.init_value)), let("last", own(lambda c: c.end_value))
    length = let("length", own(lambda c: c.decay_steps - c.warmup_steps))
    exponent = own(lambda c: c.exponent)
    rising = first + (peak - first) * (place / call("max", 1, warm))
    u = call("min", place - warm, length) / length
    falling = last + (peak - last) * ((1 + call("cos", PI * u)) / 2) ** exponent
    return where(less(place, warm), rising, falling)


# ---------------------------------------------------------------- timm


def _timm(s: CosineLRScheduler | TanhLRScheduler | PolyLRScheduler | StepLRScheduler | MultiStepLRScheduler,
          t: Node, lr: float, shape: Callable[[Node], Value]) -> Value:  # fmt: skip
    """A line from warmup_lr_init to the rate, then the shape on its own clock or on this one."""
    warm = s.warmup_t
    after = apart(shape(T), t - warm if s.warmup_prefix and warm else t)
    return in_turn(t, [warm], [line(t, warm, s.warmup_lr_init, lr), after])


def _timm_cycles(s: CosineLRScheduler | TanhLRScheduler | PolyLRScheduler, t: Node, lr: float,
                 unit: Callable[[Value], Value]) -> Value:  # fmt: skip
    def amplitude(cycle: Value) -> Value:
        return lr - s.lr_min if s.cycle_decay == 1 else lr * s.cycle_decay**cycle - s.lr_min

    return cycles(t, s.t_initial, s.cycle_mul, unit, amplitude, s.lr_min, s.cycle_limit)


@written.register
def _(s: CosineLRScheduler, t: Node, lr: float) -> Value:
    return _timm(s, t, lr, lambda t: _timm_cycles(s, t, lr, lambda u: half_cosine(u**s.k_decay, 1, 0)))


@written.register
def _(s: PolyLRScheduler, t: Node, lr: float) -> Value:
    return _timm(s, t, lr, lambda t: _timm_cycles(s, t, lr, lambda u: (1 - u**s.k_decay) ** s.power))


@written.register
def _(s: TanhLRScheduler, t: Node, lr: float) -> Value:
    target = lr
    if s.warmup_t and not s.warmup_prefix:
        at = np.empty(1)
        s.shape(at, Grid(s.warmup_t), lr, 0)
        target = float(at[0])
    shape = _timm_cycles(s, T, lr, lambda u: (1 - call("tanh", s.lb * (1 - u) + s.ub * u)) / 2)
    return _timm(s, t, target, lambda _: shape)


@written.register
def _(s: StepLRScheduler, t: Node, lr: float) -> Value:
    return _timm(s, t, lr, lambda t: lr * s.decay_rate ** (t // s.decay_t))


@written.register
def _(s: MultiStepLRScheduler, t: Node, lr: float) -> Value:
    edges = [max(0, step - 1) for step in s.decay_t]
    rates = powers(lr, s.decay_rate, range(len(edges) + 1))
    return _timm(s, t, lr, lambda t: lookup(edges, rates, t))


@written.register
def _(s: WSDLRScheduler, t: Node, lr: float) -> Value:
    warm, begin, low = s.warmup_t, s.t_initial - s.decay_t, s.lr_min
    stable = _stable(s, t - warm, lr)
    falling = low + (stable - low) * decay(s.decay_fn, (t - warm - begin) / s.decay_t, s.decay_power, s.decay_ratio)
    edges = [warm, warm + begin, warm + s.t_initial]
    return in_turn(t, edges, [line(t, warm, s.warmup_lr_init, lr), stable, falling, low])


def _stable(s: WSDLRScheduler, t: Node, lr: float) -> Value:
    if s.stable_fn == "constant":
        return max(lr, s.lr_min)
    power = 0.5 if s.stable_fn == "rsqrt" else s.stable_power
    return call("max", lr * (1 + t / (s.stable_timescale or s.warmup_t)) ** -power, s.lr_min)


# ---------------------------------------------------------------- transformers


@written.register
def _(s: TransformersConstant, t: Node, lr: float) -> Value:
    return lr


def _warm(steps: int, t: Node, lr: float, after: Value) -> Value:
    return in_turn(t, [steps], [line(t, steps, 0.0, lr), after])


@written.register
def _(s: ConstantWithWarmup, t: Node, lr: float) -> Value:
    return _warm(s.num_warmup_steps, t, lr, lr)


@written.register
def _(s: InverseSqrt, t: Node, lr: float) -> Value:
    scale = s.timescale or s.num_warmup_steps or 10_000
    return _warm(s.num_warmup_steps, t, lr, lr / call("sqrt", (t - s.num_warmup_steps + scale) / scale))


@written.register
def _(s: TransformersLinear, t: Node, lr: float) -> Value:
    warm = s.num_warmup_steps
    return _warm(warm, t, lr, line_then_flat(t - warm, s.num_training_steps - warm, lr, 0.0))


@written.register
def _(s: TransformersCosine, t: Node, lr: float) -> Value:
    warm = s.num_warmup_steps
    return _warm(warm, t, lr, wave(t - warm, s.num_training_steps - warm, 2 * s.num_cycles, lr, 0.0))


@written.register
def _(s: CosineWithRestarts, t: Node, lr: float) -> Value:
    warm, length = s.num_warmup_steps, s.num_training_steps - s.num_warmup_steps
    restarts = half_cosine((t - warm) * s.num_cycles % length / length, lr, 0.0)
    return _warm(warm, t, lr, in_turn(t, [s.num_training_steps], [restarts, 0.0]))


@written.register
def _(s: TransformersPolynomial, t: Node, lr: float) -> Value:
    warm = s.num_warmup_steps
    return _warm(warm, t, lr, polynomial(t - warm, s.num_training_steps - warm, lr, s.lr_end, s.power))


@written.register
def _(s: CosineWithMinLr, t: Node, lr: float) -> Value:
    warm = s.num_warmup_steps
    return _warm(warm, t, lr, wave(t - warm, s.num_training_steps - warm, 2 * s.num_cycles, lr, s.floor(lr)))


@written.register
def _(s: CosineWarmupWithMinLr, t: Node, lr: float) -> Value:
    warm, first = s.num_warmup_steps, s.warmup_lr_rate
    ramp = line(t + 1, warm, 0.0, lr) if first is None else line(t, max(1, warm - 1), first * lr, lr)
    falling = wave(t - (warm - 1), s.num_training_steps - warm, 2 * s.num_cycles, lr, s.floor(lr))
    return in_turn(t, [warm], [ramp, falling])


@written.register
def _(s: WarmupStableDecay, t: Node, lr: float) -> Value:
    warm, last, low = s.num_warmup_steps, s.num_decay_steps, lr * s.min_lr_ratio
    stable = s.num_stable_steps
    begin = warm + (stable if stable is not None else (s.num_training_steps or 0) - warm - last)
    u = t / max(1, warm)
    rise = 1 - call("sqrt", 1 - u) if s.warmup_type == "1-sqrt" else 1 - decay(s.warmup_type, u)
    if s.decay_type == "cosine":
        fall = wave(t - begin, max(1, last), 2 * s.num_cycles, lr, low)
    else:
        fall = low + (lr - low) * decay(s.decay_type, (t - begin) / max(1, last))
    return in_turn(t, [warm, begin, begin + last], [low + (lr - low) * rise, lr, fall, low])


# ---------------------------------------------------------------- expressions of users

BINARY: dict[type[ast.operator], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
}  # fmt: skip
COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


def expression(source: Expression) -> Value:
    """A user's expression as a formula of T: from its syntax tree, never from its text."""
    return _value(ast.parse(source.source.strip(), mode="eval").body)


def _value(node: ast.expr) -> Value:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Name(id=name):
            return PI if name == "pi" else CONSTANTS.get(name, T)
        case ast.BinOp(left=left, op=op, right=right):
            return Node(BINARY[type(op)], (_value(left), _value(right)))
        case ast.UnaryOp(op=op, operand=operand):
            return Node("neg", (_value(operand),)) if isinstance(op, ast.USub) else _value(operand)
        case ast.Compare():
            return where(_condition(node), 1.0, 0.0)
        case ast.IfExp(test=test, body=then, orelse=otherwise):
            return where(_condition(test), _value(then), _value(otherwise))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _called(name, arguments)
    raise ValueError(f"{type(node).__name__} is no part of an expression")


def _called(name: str, arguments: list[ast.expr]) -> Value:
    if name == "where":
        return where(_condition(arguments[0]), _value(arguments[1]), _value(arguments[2]))
    found, *others = map(_value, arguments)
    for value in others:  # min and max take several
        found = call(name, found, value)
    return found if others else call(name, found)


def _condition(node: ast.expr) -> Node:
    if not isinstance(node, ast.Compare):
        return Node("!=", (_value(node), 0))
    values: Sequence[Value] = [_value(node.left), *map(_value, node.comparators)]
    pairs = [Node(COMPARE[type(op)], pair) for op, pair in zip(node.ops, pairwise(values), strict=True)]
    return reduce(lambda a, b: Node("and", (a, b)), pairs)
