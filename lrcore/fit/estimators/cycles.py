"""Curves that come back: restarts, triangles, waves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lrcore.fit.candidate import Candidate, Spec
from lrcore.fit.estimators.falls import TINY, class_of_timm, warmed
from lrcore.fit.estimators.phases import Turn, turns
from lrcore.fit.numerics import line, wave_length, whole
from lrcore.fit.sampling import Steps
from lrcore.fit.series import Series
from lrcore.fit.tails import SHAPES, Tail, tails
from lrcore.numerics.grid import Array

CYCLED = ("cosine", "cosine k", "power", "power k", "tanh", "line")


def _restarts(y: Array, share: float) -> Steps:
    """Indices of the first rates after jumps up."""
    return np.flatnonzero(np.diff(y) > share * (y.max() - y.min())) + 1


def restarts(series: Series) -> Iterator[Candidate]:
    """Falls that begin again, each as long as the one before or longer by a factor, as high or lower."""
    for turn in [Turn(0, 0, float(series.y[0])), *turns(series)][:5]:
        if turn.begin == turn.warm:
            yield from _restarts_of(series.after(turn.warm), turn, under=False)
            if turn.warm:
                yield from _restarts_of(series.since(turn.warm), turn, under=True)


def _restarts_of(rest: Series, turn: Turn, under: bool) -> Iterator[Candidate]:
    """Restarts after a warm-up, or (`under`) timm's, whose first cycle began with the warm-up."""
    if len(rest) < 5:
        return
    starts = next(
        (found for share in (0.5, 0.2, 0.05) if len(found := _restarts(rest.y, share))), np.zeros(0, np.int64)
    )
    if not len(starts) or len(starts) > len(rest) // 2:
        return
    steps = rest.steps[starts].astype(np.float64)
    first = int(starts[0])
    cycle = Series(rest.steps[:first], rest.y[:first])
    if first < 3:
        return
    shapes = tuple(shape for shape in SHAPES if shape.name in CYCLED)
    near = [tail for tail in tails(cycle, shapes) if tail.error < 0.05]
    for growth, length in _growths(rest, starts, steps):
        for tail in near:
            if under:
                warm = {"warmup_t": turn.warm, "warmup_lr_init": turn.start}
                yield from _timm_cycles(tail, length, growth, _decays(rest, tail, starts), len(starts) + 1, warm)
            else:
                yield from _cycled(rest, tail, length, growth, starts, turn)


def _growths(rest: Series, starts: Steps, steps: Array) -> list[tuple[float, int]]:
    """By how much each cycle may be longer than the one before, and the steps of the first."""
    first, found = whole(steps[0]), list[tuple[float, int]]()
    for growth in (1.0, 2.0, 3.0) if len(steps) > 1 else ():
        cycles = np.cumsum(growth ** np.arange(len(steps)))  # as long as the first, up to each restart
        low, high = int((rest.steps[starts - 1] // cycles).max()) + 1, int((steps // cycles).min())
        found += [(growth, length) for length in {low, high} if low <= high]
    if found:
        return found
    if len(steps) > 1:
        lengths = np.diff(np.append(0, steps))
        exact = float((lengths[-1] / lengths[0]) ** (1 / (len(lengths) - 1)))
        near = [1.0] if abs(exact - 1) < 0.01 else [round(exact, 1), round(exact, 2), exact]
        return [(growth, first) for growth in dict.fromkeys(near)]  # cycles begin at whole steps
    second = rest.after(int(steps[0]))
    if second.flat < len(second) - 1 and second.flat > 3:
        return [(float(second.t[second.flat]) / float(steps[0]), first), (1.0, first)]
    growths = [1.0, 2.0]
    if len(second) > 4:
        growths.append(max(1.0, wave_length(second.t, second.y) / float(steps[0])))
    return [(growth, first) for growth in growths if np.isfinite(growth)]


def _decays(rest: Series, tail: Tail, starts: Steps) -> set[float]:
    """By how much each cycle may be lower than the one before."""
    again, high, low = float(rest.y[starts[0]]), tail.high, max(tail.low, 0.0)
    found = {1.0}
    if high > 0:
        found.add(again / high)
        if high > low and again > low:
            found.add((again - low) / (high - low))
    return found


def _cycled(rest: Series, tail: Tail, length: int, growth: float, starts: Steps, turn: Turn) -> Iterator[Candidate]:
    high, low, decays = tail.high, max(tail.low, 0.0), _decays(rest, tail, starts)
    heights = rest.y[starts]
    if tail.shape == "cosine":
        times = [round(growth)] if abs(growth - round(growth)) < 0.02 else sorted({1, 2, max(1, round(growth))})
        for factor in times if abs(heights[0] - high) < 0.1 * high else ():
            spec = {"type": "CosineAnnealingWarmRestarts", "T_0": length, "T_mult": factor, "eta_min": low}
            yield from warmed(Candidate(spec, high), turn)
        for decay in decays if high > 0 and not turn.warm else ():
            spec = {"type": "CosineDecayRestarts", "initial_learning_rate": high, "first_decay_steps": length}
            yield Candidate(spec | {"t_mul": max(growth, 1.0), "m_mul": decay, "alpha": min(low / high, 1.0)})
        if growth == 1.0 and low < 1e-3 * high:
            yield from _equal_restarts(rest, high, float(length), turn, starts)
    if tail.shape in ("line", "power") and not turn.warm:
        spec = {"type": "PolynomialDecay", "initial_learning_rate": high, "end_learning_rate": low, "cycle": True}
        own = {"power": tail.exponents[0]} if tail.shape == "power" else {}
        yield Candidate(spec | {"decay_steps": max(1, length - rest.gap)} | own)
    warm = {"warmup_t": turn.warm, "warmup_lr_init": turn.start, "warmup_prefix": True} if turn.warm else {}
    yield from _timm_cycles(tail, length, growth, decays, len(starts) + 1, warm)


def _equal_restarts(rest: Series, high: float, first: float, turn: Turn, starts: Steps) -> Iterator[Candidate]:
    """transformers', which end with the run."""
    gaps = rest.steps[starts]
    period = float(np.median(np.diff(gaps))) if len(gaps) > 1 else first
    if len(gaps) > 2:
        _, period = line(np.arange(len(gaps), dtype=np.float64), gaps.astype(np.float64))
    ended = rest.flat < len(rest) - 2
    last = float(rest.t[rest.flat]) if ended else float(rest.t[-1])
    for cycles in sorted({len(gaps) + 1, max(1, round(last / period))}):
        for end in {whole(last), rest.end, whole(cycles * period)}:
            run = {"num_warmup_steps": turn.warm, "num_training_steps": turn.warm + end, "num_cycles": cycles}
            yield Candidate({"type": "cosine_with_restarts", **run}, high)


def _timm_cycles(
    tail: Tail, length: int, growth: float, decays: set[float], limit: int, warm: Spec
) -> Iterator[Candidate]:
    found, low = class_of_timm(tail), max(tail.low, TINY * tail.high)
    if found is None or not 0.01 <= growth <= 1000:
        return
    name, own = found
    for decay in decays:
        spec = {"t_initial": length, "lr_min": low, "cycle_mul": growth, "cycle_decay": decay, "cycle_limit": limit}
        yield Candidate({"type": name, **spec, **own, **warm}, tail.high)


def _lowest_turn(y: Array) -> int | None:
    """The index of the first rate after which the rate rises again; None if it does not."""
    starts = np.append(0, np.flatnonzero(np.diff(y)) + 1)
    runs = y[starts]
    turns = np.flatnonzero((runs[1:-1] < runs[:-2]) & (runs[1:-1] < runs[2:])) + 1
    return int(starts[turns[0]] + starts[turns[0] + 1] - 1) // 2 if len(turns) else None


def triangles(series: Series) -> Iterator[Candidate]:
    """Lines up and down, again and again, whose heights may shrink."""
    y, n, s = series.y, len(series), series.t
    height = y - y[0]
    cycle = _lowest_turn(y)
    peak = int(height[:cycle].argmax())
    if not 0 < peak < n - 1:
        return
    if cycle is None:
        ups = {float(s[peak])}
        downs = [height[peak] * (s[-1] - s[peak]) / (y[peak] - y[-1])] if y[peak] > y[-1] else []
    else:
        ups, downs = {float(s[peak])}, [float(s[cycle] - s[peak])]
    for up in ups:
        for down in downs:
            up_steps, down_steps = whole(up), whole(down)
            spec = {"type": "CyclicLR", "base_lr": float(y[0]), "cycle_momentum": False}
            for mode in ("triangular", "triangular2"):
                yield _sides(spec | {"max_lr": float(y[peak]), "mode": mode}, up_steps, down_steps)
            yield from _shrinking(series, height, peak, spec, up_steps + down_steps)


def _shrinking(series: Series, height: Array, peak: int, spec: Spec, cycle: int) -> Iterator[Candidate]:
    """Triangles under a geometric series."""
    s, n = series.steps, len(series)
    later = int(np.searchsorted(s, s[peak] + cycle))
    if later < n and height[later] > 0:
        gamma = float((height[later] / height[peak]) ** (1 / (s[later] - s[peak])))
    else:
        gamma = (
            float((height[2] / height[1] / (s[2] / s[1])) ** (1 / (s[2] - s[1]))) if n > 2 and height[1] > 0 else 1.0
        )
    if not 0 < gamma < np.inf:
        return
    first = s <= cycle
    undone = height[first] / gamma ** s[first]
    up = max(1, int(s[int(undone.argmax())]))
    top = {"max_lr": float(spec["base_lr"] + undone.max()), "mode": "exp_range", "gamma": gamma}
    yield _sides(spec | top, up, max(1, cycle - up))


def _sides(spec: Spec, up: int, down: int) -> Candidate:
    sides = {"step_size_up": up}
    return Candidate(spec | sides | ({"step_size_down": down} if down != up else {}))


def waves(series: Series) -> Iterator[Candidate]:
    """Cosines on and on, after a warm-up or from step 0."""
    for turn in [Turn(0, 0, float(series.y[0])), *turns(series)][:5]:
        rest = series.after(turn.warm)
        if turn.warm != turn.begin or len(rest) < 6 or rest.steps[0] > rest.gap:
            continue
        length = _half_wave(rest)
        high, low = float(rest.y.max()), float(rest.y.min())
        if not (length > 0 and np.isfinite(length)):
            continue
        spec = {"type": "CosineAnnealingLR", "T_max": whole(length), "eta_min": low}
        yield from warmed(Candidate(spec, float(rest.y[0])), turn)
        run = whole(float(rest.t[-1]) + rest.gap)
        lengths = {"num_warmup_steps": turn.warm, "num_training_steps": turn.warm + run}
        if turn.warm == 0 or turn.start < 1e-6 * high:
            cycles = {"num_cycles": run / length / 2}
            yield Candidate({"type": "cosine", **lengths, **cycles}, high)
            yield Candidate({"type": "cosine_with_min_lr", **lengths, **cycles, "min_lr": low}, high)
        elif turn.warm:
            lengths = {"num_warmup_steps": turn.warm + 1, "num_training_steps": turn.warm + 1 + run}
            cycles = {"num_cycles": run / length / 2, "min_lr": low}
            spec = {"type": "cosine_warmup_with_min_lr", **lengths, **cycles}
            yield Candidate(spec, high)
            yield Candidate(spec | {"warmup_lr_rate": turn.start / high}, high)


def _half_wave(rest: Series) -> float:
    """Steps of half a wave: from the first rate to the first low, or by regression."""
    y, t = rest.y, rest.t
    falling = np.flatnonzero(np.diff(y) > 0)
    low = int(falling[0]) if len(falling) else len(y) - 1
    gaps = np.diff(t)
    if len(gaps) and gaps.min() == gaps.max():
        return wave_length(t[: 2 * low + 1], y[: 2 * low + 1]) if low > 2 else float(t[low])
    return float(t[low])


def arches(series: Series) -> Iterator[Candidate]:
    """Half sines, again and again."""
    y, t = series.y, series.t
    low = float(y[0])
    back = np.flatnonzero(y[1:] <= low + 1e-6 * series.scale) + 1
    turn = _lowest_turn(y)
    lengths = {int(t[i]) for i in ([int(back[0])] if len(back) else []) + ([turn] if turn else [])}
    lengths.add(whole(2 * float(t[int(y.argmax())])))
    for length in lengths:
        if length < 1:
            continue
        first = t < length
        base = float(y[first].max())
        second = y[(t >= length) & (t < 2 * length)]
        decay = (
            float(np.clip((second.max() - low) / (base - low), 1e-6, 1.0)) if len(second) > 1 and base > low else 1.0
        )
        for ratio in {decay, 1.0}:
            yield Candidate({"type": "SineCycle", "cycle_steps": length, "min_lr": low, "decay": ratio}, base)


def fractal(series: Series) -> Iterator[Candidate]:
    """Chebyshev's steps: each rate comes back after a power of two."""
    y, s = series.y, series.steps
    turning = np.diff(y[:-1]) * np.diff(y[1:]) < 0
    if len(y) < 4 or np.mean(turning) < 0.3 or y.min() <= 0:
        return
    for bits in range(1, 13):
        total = 1 << bits
        middle, slope = line(_chebyshev(bits)[s % total], 1 / y)  # 1 / rate = middle - radius * cos
        radius = -slope
        if middle > abs(radius):
            base = 1 / (middle + radius)
            yield Candidate({"type": "Chebyshev", "log2_steps": bits, "m": (middle - radius) * base}, base)


def _chebyshev(bits: int) -> Array:
    """Cosines of a cycle of 2 ** bits steps in fractal order."""
    order = np.zeros(1, dtype=np.int64)
    for bit in range(bits):
        total = 2 << bit
        order = np.stack([order, total - 1 - order], axis=1).ravel()
    return np.cos((order + 0.5) * np.pi / len(order))


ESTIMATORS = (restarts, triangles, waves, arches, fractal)
