"""The one schedule that is no function of the step: it reacts to a metric."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lrcore import grid
from lrcore.family import Integer
from lrcore.grid import Array, Grid
from lrcore.schedules._base import MAX_STEP, GroupRates, Rate, Rates, Schedule, of_group

Count = Annotated[Integer, Field(ge=0, le=MAX_STEP)]
STEP_WORK = 40  # a step in Python, in units of a simple formula over arrays


class ReduceLROnPlateau(Schedule):
    """Multiplies the rate by factor when the metric has not improved for more than patience intervals.

    A value improves on the best so far if it is below best * (1 - threshold) (mode min, rel), best - threshold (min,
    abs), above best * (1 + threshold) (max, rel) or best + threshold (max, abs). After a reduction, cooldown
    intervals are not counted. The rate never falls below min_lr, and not by less than eps. The metric of interval t
    is known after it, so that it acts on the rate of interval t + 1. Its curve takes `metrics`; a job drives it with
    its own test loss (mode min) or test accuracy (mode max).
    """

    summary = "cuts the rate when a metric stops improving"
    formula = "lr * factor after more than patience intervals without a new best metric"
    origin = "torch.optim.lr_scheduler.ReduceLROnPlateau"
    example = {"type": "ReduceLROnPlateau", "mode": "min", "factor": 0.5, "patience": 5}
    metric_driven = True
    per_group = ("min_lr",)

    type: Literal["ReduceLROnPlateau"]
    mode: Literal["min", "max"] = "min"
    factor: Annotated[Rate, Field(lt=1)] = 0.1
    patience: Count = 10
    threshold: Rate = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: Count = 0
    min_lr: Rate | GroupRates = 0.0
    eps: Rate = 1e-8

    def work(self, last: int, values: int) -> int:
        return max(last, values) * STEP_WORK

    def torch_reference(self) -> tuple[str, dict[str, object]]:
        return self.name(), self.model_dump(exclude={"type"})


class Plateau:
    """The state of a ReduceLROnPlateau: feed it a metric after each interval, read `lr` before the next.

    Attributes:
        lr: rate in force, one a parameter group.
    """

    def __init__(self, spec: ReduceLROnPlateau, base_lr: Iterable[float]) -> None:
        self.spec = spec
        self.lr = list(base_lr)
        self.best = np.inf if spec.mode == "min" else -np.inf
        self.bad = 0
        self.cooldown = 0

    def step(self, metric: float) -> None:
        """Take the metric of the interval just finished. NaN is never an improvement."""
        if self.improves(metric):
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.cooldown > 0:
            self.cooldown -= 1
            self.bad = 0
        if self.bad > self.spec.patience:
            self.lr = [self.reduced(lr, group) for group, lr in enumerate(self.lr)]
            self.cooldown, self.bad = self.spec.cooldown, 0

    def state(self) -> dict[str, object]:
        """Everything that `load` needs to go on from here. JSON, but for an infinite `best`, which is None."""
        best = self.best if np.isfinite(self.best) else None
        return {"lr": self.lr, "best": best, "bad": self.bad, "cooldown": self.cooldown}

    def load(self, lr: list[float], best: float | None, bad: int, cooldown: int) -> None:
        """Go on from a `state`."""
        self.lr, self.bad, self.cooldown = list(lr), bad, cooldown
        if best is not None:
            self.best = best

    def improves(self, metric: float) -> bool:
        """Whether a metric is better than the best so far by more than the threshold."""
        s = self.spec
        sign = 1.0 if s.mode == "max" else -1.0
        bar = self.best * (1.0 + sign * s.threshold) if s.threshold_mode == "rel" else self.best + sign * s.threshold
        return metric > bar if s.mode == "max" else metric < bar

    def reduced(self, lr: float, group: int) -> float:
        """A group's rate after one cut."""
        reduced = max(lr * self.spec.factor, of_group(self.spec.min_lr, group))
        return reduced if lr - reduced > self.spec.eps else lr


def plateau_curve(spec: ReduceLROnPlateau, base_lr: Sequence[float], metrics: Array | Sequence[float]) -> Rates:
    """Rates of intervals 0 .. len(metrics), shape (groups, len(metrics) + 1).

    The same as stepping a `Plateau`, in time that grows with the number of improvements and cuts, not of intervals.
    """
    series = np.asarray(metrics, dtype=np.float64)
    count = len(series)
    ends, state = [], Plateau(spec, base_lr)
    rows = [list(state.lr)]
    for cut in _cuts(spec, _improvements(spec, series), count):
        before = state.lr
        state.lr = [state.reduced(lr, group) for group, lr in enumerate(before)]
        if state.lr == before:  # and so it stays
            break
        ends.append(cut + 1)
        rows.append(list(state.lr))
    out = np.empty((len(rows[0]), count + 1))
    for group, line in enumerate(out):
        grid.runs(line, Grid(0, 1, count + 1), ends, [row[group] for row in rows])
    return out


def _improvements(spec: ReduceLROnPlateau, series: Array) -> NDArray[np.int64]:
    """The intervals whose metric is a new best one."""
    sign = 1.0 if spec.mode == "min" else -1.0
    falling = np.where(np.isnan(series), np.inf, sign * series)  # NaN is never an improvement
    if spec.threshold_mode == "rel" and np.nanmin(series, initial=np.inf) <= 0:
        return _stepped_improvements(spec, series)  # a relative threshold moves the bar the wrong way below zero
    lowest = np.minimum.accumulate(falling)
    records = np.flatnonzero(np.concatenate([falling[:1] < np.inf, falling[1:] < lowest[:-1]]))
    values = falling[records]
    bars = values * (1 - sign * spec.threshold) if spec.threshold_mode == "rel" else values - spec.threshold
    held = np.flatnonzero(values[1:] >= bars[:-1]) + 1  # records that are none against the record before them
    taken: list[NDArray[np.int64]] = []
    at = 0
    while at < len(records):
        next_held = int(np.searchsorted(held, at, side="right"))
        end = int(held[next_held]) if next_held < len(held) else len(records)
        taken.append(records[at:end])
        # the first record below the bar of the last one taken
        at = end + int(np.searchsorted(-values[end:], -bars[end - 1], side="right"))
    return np.concatenate(taken) if taken else records


def _stepped_improvements(spec: ReduceLROnPlateau, series: Array) -> NDArray[np.int64]:
    state, found = Plateau(spec, [0.0]), []
    for i, metric in enumerate(series.tolist()):
        if state.improves(metric):
            state.best = metric
            found.append(i)
    return np.array(found, dtype=np.int64)


def _cuts(spec: ReduceLROnPlateau, improvements: NDArray[np.int64], count: int) -> Iterator[int]:
    """The intervals after which the rate is cut: more than `patience` without an improvement or a cooldown."""
    patience = spec.patience
    quiet = np.append(np.diff(improvements), count - improvements[-1:]) > patience + 1
    waits = np.append(improvements[quiet], count)
    counted = 0  # the intervals from here on may be bad ones
    nexts = improvements.tolist()
    while True:
        cut = counted + patience
        i = bisect_left(nexts, counted)
        if i < len(nexts) and nexts[i] <= cut:  # improved in time: go to the next long wait
            j = int(np.searchsorted(waits, nexts[i]))
            counted = int(waits[j]) + 1
            continue
        if cut >= count:
            return
        yield cut
        counted = cut + 1 + spec.cooldown
