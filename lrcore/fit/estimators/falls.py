"""Curves that fall (or rise) once, with a linear warm-up and a plateau before, or without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lrcore.fit.candidate import Candidate, Spec
from lrcore.fit.estimators.phases import Turn, turns
from lrcore.fit.numerics import geometric, whole
from lrcore.fit.series import EXACT, Series
from lrcore.fit.tails import SHAPES, Tail, tails

TINY = 1e-6  # of the highest rate: a lowest rate that may still become 0 or more
NEAR = 0.15  # the largest error of a tail that is worth a candidate
UNDER = ("cosine", "cosine k", "power", "power k", "tanh")  # shapes that timm begins under the warm-up


def falling(series: Series) -> Iterator[Candidate]:
    """A fall from step 0, after a warm-up, or after a plateau."""
    for turn in turns(series):
        rest = series.after(turn.begin)
        found = False  # whether nothing is left to explain
        for tail in tails(rest):
            if tail.error < NEAR:
                for same in _extended(rest, tail):
                    yield from _written(same, turn)
            found = found or tail.error <= max(EXACT, series.resolution)
        if found and len(rest) > 8:
            return
    yield from _under_a_warm_up(series)


def _extended(rest: Series, tail: Tail) -> Iterator[Tail]:
    """The tail; one that looks the same at any length, and has not ended, as one that ends with the log, or at 0."""
    height = tail.high - tail.low
    if tail.shape == "tanh" and 0 < rest.flat < len(rest) - 1:  # it jumps at its end, which no slope leads to
        length, (lower, upper) = float(rest.t[rest.flat]), tail.exponents
        tail = replace(tail, length=length, exponents=(lower, (lower + upper) * length / tail.length - lower))
    if tail.shape not in ("line", "root") or rest.flat != len(rest) - 1 or height <= 0:
        yield tail
        return
    power = tail.exponents[0] if tail.exponents else 1.0
    for length in (float(rest.end), tail.length * (tail.high / height) ** (1 / power)):
        yield replace(tail, length=length, low=max(tail.high - height * (length / tail.length) ** power, 0.0))


def _under_a_warm_up(series: Series) -> Iterator[Candidate]:
    """timm's shapes that count from step 0, with a warm-up over their beginning."""
    shapes = tuple(shape for shape in SHAPES if shape.name in UNDER)
    for turn in turns(series):
        rest = series.since(turn.warm)
        if turn.warm > 0 and turn.warm == turn.begin and len(rest) > 3:
            for tail in tails(rest, shapes):
                if tail.error < NEAR:
                    warm = {"warmup_t": turn.warm, "warmup_lr_init": turn.start}
                    yield from _timm(tail, warm)


def _written(tail: Tail, turn: Turn) -> Iterator[Candidate]:
    """The specs of a tail after its warm-up and its plateau."""
    if turn.begin > turn.warm or turn.warm > 0:
        yield from _after_a_plateau(tail, turn)
    if turn.begin == turn.warm:
        for schedule, base in _alone(tail):
            yield from warmed(Candidate(schedule, base), turn)
        if turn.warm:
            yield from _named(tail, turn)
    elif turn.warm == 0:
        yield from _late(tail, turn.begin)
    if tail.shape == "line" and turn.begin == 0 and tail.high <= 1e-6 * tail.low:
        yield Candidate({"type": "constant_with_warmup", "num_warmup_steps": whole(tail.length)}, tail.low)


def warmed(candidate: Candidate, turn: Turn) -> Iterator[Candidate]:
    """The candidate after a line up to its base rate, or up to less, cut off by its end."""
    base, warm, start = candidate.base_lr, turn.warm, turn.start
    if warm == 0:
        yield candidate
    elif start <= 1e-9 * (base or start):
        yield Candidate({"type": "WarmUp", "warmup_steps": warm, "schedule": candidate.schedule}, base)
    if base is None or not 1e-9 * base < start <= base or warm == 0:
        return
    lines = [{"type": "LinearLR", "start_factor": start / base, "total_iters": warm}]
    if start < turn.reached < 0.999 * base:
        longer = whole(warm * (base - start) / (turn.reached - start))
        lines += [lines[0] | {"end_factor": turn.reached / base}, lines[0] | {"total_iters": longer}]
    for first in lines:
        parts = {"schedulers": [first, candidate.schedule], "milestones": [warm]}
        yield Candidate({"type": "SequentialLR", **parts}, base)


def optax_decay(turn: Turn, base: float, decay: Spec) -> Candidate:
    """optax's exponential decay from a rate, after its own warm-up if there is one."""
    if turn.warm:
        warm = {"init_value": turn.start, "peak_value": base, "warmup_steps": turn.warm}
        return Candidate({"type": "warmup_exponential_decay_schedule", **warm, **decay})
    return Candidate({"type": "exponential_decay", "init_value": base, **decay})


Alone = Iterator[tuple[Spec, float | None]]


def _alone(tail: Tail) -> Alone:
    """Schedules that are the tail from step 0 on, with their base rates."""
    high, low, length = tail.high, max(tail.low, 0.0), whole(tail.length)
    if high <= 0:
        return
    match tail.shape:
        case "line":
            yield from _line(high, low, length)
        case "cosine":
            yield from _cosine(high, low, length)
        case "wave":
            yield from _wave(tail, high, low, length)
        case "rex":
            yield {"type": "REX", "total_steps": length, "min_lr": low}, high
        case "exponential":
            yield {"type": "ExponentialLR", "gamma": float(np.exp(-1 / tail.length))}, high
        case _:
            yield from _bent(tail, high, low, length)


def _bent(tail: Tail, high: float, low: float, length: int) -> Alone:
    """Those of shapes with exponents."""
    first = tail.exponents[0]
    match tail.shape:
        case "power":
            yield _polynomial(high, low, length, first), None
        case "power to 0":
            yield {"type": "PolynomialLR", "total_iters": length, "power": first}, high
        case "inverse":
            yield {"type": "InversePower", "gamma": 1 / tail.length, "power": first}, high
        case "cosine power":
            spec = {"type": "cosine_decay_schedule", "init_value": high, "decay_steps": length}
            yield spec | {"alpha": min(low / high, 1.0), "exponent": first}, None
        case "sigmoid" | "swelling":
            sign = -1 if tail.shape == "sigmoid" else 1
            middle = max(0, round(first * tail.length))
            yield {"type": "Sigmoid", "gamma": sign / tail.length, "stepsize": middle}, high
        case _:
            for candidate in _timm(tail, {}):
                yield candidate.schedule, candidate.base_lr


def _line(high: float, low: float, length: int) -> Alone:
    spec = {"type": "LinearLR", "total_iters": length}
    if low < high:
        yield spec | {"start_factor": 1.0, "end_factor": low / high}, high
    elif high > 1e-9 * low:
        yield spec | {"start_factor": high / low}, low
    if low < 1e-3 * high:
        yield {"type": "PolynomialLR", "total_iters": length}, high
    yield _polynomial(high, low, length, 1.0), None


def _cosine(high: float, low: float, length: int) -> Alone:
    if low < high:
        yield {"type": "CosineScheduler", "max_update": length, "base_lr": high, "final_lr": low}, None
        yield {"type": "CosineAnnealingLR", "T_max": length, "eta_min": low}, high
    yield {"type": "SWALR", "swa_lr": low, "anneal_epochs": length}, high


def _wave(tail: Tail, high: float, low: float, length: int) -> Alone:
    yield {"type": "CosineAnnealingLR", "T_max": length, "eta_min": low}, high
    if low < 1e-2 * high:
        seen = min(1.0, (1 - low / high) ** 0.5)
        yield {"type": "CosineAnnealingLR", "T_max": whole(tail.length / seen)}, high


def _polynomial(high: float, low: float, length: int, power: float) -> Spec:
    spec = {"type": "polynomial_schedule", "init_value": high, "end_value": low}
    return spec | {"transition_steps": length, "power": power}


def class_of_timm(tail: Tail) -> tuple[str, Spec] | None:
    """timm's class for a shape, and the arguments that are its exponents; None if timm has none."""
    x = tail.exponents
    match tail.shape:
        case "cosine":
            return "CosineLRScheduler", {}
        case "cosine k":
            return "CosineLRScheduler", {"k_decay": x[0]}
        case "line":
            return "PolyLRScheduler", {"power": 1.0}
        case "power":
            return "PolyLRScheduler", {"power": x[0]}
        case "power k":
            return "PolyLRScheduler", {"power": x[0], "k_decay": x[1]}
        case "tanh":
            return "TanhLRScheduler", {"lb": -x[0], "ub": x[1]}
    return None


def _timm(tail: Tail, warm: Spec) -> Iterator[Candidate]:
    if found := class_of_timm(tail):
        cycle = {"t_initial": whole(tail.length), "lr_min": max(tail.low, TINY * tail.high)}
        yield Candidate({"type": found[0], **cycle, **warm, **found[1]}, tail.high)


def _named(tail: Tail, turn: Turn) -> Iterator[Candidate]:
    """What frameworks have for the tail after a warm-up."""
    high, low, warm, x = tail.high, max(tail.low, 0.0), turn.warm, tail.exponents
    if turn.start <= 1e-6 * high:
        yield from _of_transformers(tail, warm, high, low)
    match tail.shape:
        case "cosine" | "wave" if low < high:
            spec = {"type": "CosineScheduler", "max_update": warm + whole(tail.length), "base_lr": high}
            yield Candidate(spec | {"final_lr": low, "warmup_steps": warm, "warmup_begin_lr": turn.start})
        case "cosine power":
            spec = {"type": "warmup_cosine_decay_schedule", "init_value": turn.start, "peak_value": high}
            lengths = {"warmup_steps": warm, "decay_steps": warm + whole(tail.length)}
            yield Candidate(spec | lengths | {"end_value": low, "exponent": x[0]})
        case "exponential":
            yield optax_decay(turn, high, {"transition_steps": 1, "decay_rate": float(np.exp(-1 / tail.length))})
        case "cosine k" | "power k" | "tanh" | "power":
            yield from _timm(tail, {"warmup_t": warm, "warmup_lr_init": turn.start, "warmup_prefix": True})


def _of_transformers(tail: Tail, warm: int, high: float, low: float) -> Iterator[Candidate]:
    """Those whose warm-up begins at 0."""
    run = {"num_warmup_steps": warm, "num_training_steps": warm + whole(tail.length)}
    if tail.shape == "inverse":
        spec = {"type": "inverse_sqrt", "num_warmup_steps": warm}
        yield Candidate(spec, high)
        yield Candidate(spec | {"timescale": whole(tail.length)}, high)
    if not low < high:
        return
    match tail.shape:
        case "line":
            yield Candidate({"type": "linear", **run}, high)
            yield Candidate({"type": "polynomial", **run, "lr_end": low}, high)
        case "cosine" | "wave":
            yield Candidate({"type": "cosine", **run}, high)
            yield Candidate({"type": "cosine_with_min_lr", **run, "min_lr": low}, high)
        case "power":
            yield Candidate({"type": "polynomial", **run, "lr_end": low, "power": tail.exponents[0]}, high)


COOLDOWNS = {"line": "linear", "cosine": "cosine", "root": "power", "exp": "exp"}


def _after_a_plateau(tail: Tail, turn: Turn) -> Iterator[Candidate]:
    high, low = tail.high, max(tail.low, 0.0)
    if not (tail.shape in COOLDOWNS and 0 <= low < high):
        return
    stable = turn.begin - turn.warm
    if stable or tail.shape in ("root", "exp"):
        yield from _wsd(tail, turn, stable)
    if turn.warm and abs(turn.start - low) <= 1e-2 * high:
        decays = {"line": "linear", "cosine": "cosine", "root": "1-sqrt"}
        lengths = {"num_warmup_steps": turn.warm, "num_stable_steps": stable, "num_decay_steps": whole(tail.length)}
        for ramp in ("linear", "cosine", "1-sqrt") if tail.shape in decays else ():
            if stable or ramp != "linear" or tail.shape == "root":
                kinds = {"warmup_type": ramp, "decay_type": decays[tail.shape], "min_lr_ratio": low / high}
                yield Candidate({"type": "warmup_stable_decay", **lengths, **kinds}, high)


def _wsd(tail: Tail, turn: Turn, stable: int) -> Iterator[Candidate]:
    high, low = tail.high, max(tail.low, 0.0)
    start = min(turn.start / high, 1.0) if turn.warm else 0.0
    spec = {"type": "WSD", "warmup_steps": turn.warm, "stable_steps": stable, "decay_steps": whole(tail.length)}
    spec |= {"cooldown": COOLDOWNS[tail.shape], "min_ratio": low / high, "warmup_start": start}
    if tail.shape == "root":
        if abs(tail.exponents[0] - 0.5) < 0.1:
            yield Candidate(spec | {"cooldown": "1-sqrt"}, high)
        spec |= {"power": tail.exponents[0]}
    if tail.shape == "exp":
        spec |= {"ratio": min(tail.exponents[0], 0.999)}
    yield Candidate(spec, high)


def _late(tail: Tail, begin: int) -> Iterator[Candidate]:
    """optax's schedules that begin late."""
    high, low, length = tail.high, max(tail.low, 0.0), whole(tail.length)
    late = {"init_value": high, "transition_begin": begin}
    match tail.shape:
        case "line":
            yield Candidate({"type": "linear_schedule", **late, "end_value": low, "transition_steps": length})
        case "power":
            yield Candidate(_polynomial(high, low, length, tail.exponents[0]) | {"transition_begin": begin})
        case "exponential":
            rate = {"transition_steps": 1, "decay_rate": float(np.exp(-1 / tail.length))}
            yield Candidate({"type": "exponential_decay", **late, **rate})


def bounded(series: Series) -> Iterator[Candidate]:
    """Geometric series that stop at a floor or a ceiling, late or after a warm-up."""
    y, n = series.y, len(series)
    for turn in [Turn(0, 0, float(y[0])), *turns(series)]:
        first = int(np.searchsorted(series.steps, turn.begin))
        end = series.flat if first + 2 < series.flat < n - 1 else n
        if end - first < 3 or not (y[first:end] > 0).all():
            continue
        base, rate = geometric(series.t[first:end] - turn.begin, y[first:end])
        floor = float(y[-1]) if end < n else None
        if turn.begin == 0:
            stop = floor if floor is not None else min(1e-7, float(y.min()))
            spec = {"type": "FactorScheduler", "factor": rate, "stop_factor_lr": stop, "base_lr": base / rate}
            yield Candidate(spec)
            if floor is not None and rate > 1 and base < floor:
                length = round(np.log(floor / base) / np.log(rate)) + 1
                for steps in (length, length + 1):
                    yield Candidate(
                        {"type": "ExponentialRangeTest", "start_lr": base, "end_lr": floor, "num_iter": max(2, steps)}
                    )
            if rate > 1 and floor is None:
                span = int(series.steps[-1])
                yield Candidate(
                    {
                        "type": "ExponentialRangeTest",
                        "start_lr": base,
                        "end_lr": base * rate**span,
                        "num_iter": span + 1,
                    }
                )
        bound = {} if floor is None else {"end_value": floor}
        late = {"transition_begin": turn.begin - turn.warm}
        yield optax_decay(turn, base, {**late, "transition_steps": 1, "decay_rate": rate, **bound})


def exponential(series: Series) -> Iterator[Candidate]:
    """A geometric series from step 0 on."""
    if series.y.min() < series.y.max():
        base, gamma = geometric(series.t, series.y)
        yield Candidate({"type": "ExponentialLR", "gamma": gamma}, base)


def square_root(series: Series) -> Iterator[Candidate]:
    """d2l's."""
    yield Candidate({"type": "SquareRootScheduler", "lr": float(series.y[0] * np.sqrt(series.t[0] + 1))})


ESTIMATORS = (falling, exponential, bounded, square_root)
