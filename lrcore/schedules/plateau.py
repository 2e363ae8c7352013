"""torch's ReduceLROnPlateau, which follows a metric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from lrcore.family import is_none
from lrcore.numerics.cost import CALL, Load
from lrcore.numerics.grid import Array
from lrcore.schedules._base import Rate, Rates
from lrcore.schedules._metric import MetricSchedule, MetricState

FIRST_BLOCK = 512  # metrics looked at together; then twice as many each time
STEP_COST, CUT_COST = 200.0, 1500.0  # nanoseconds


class ReduceLROnPlateau(MetricSchedule):
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

    type: Literal["ReduceLROnPlateau"]
    initial_lr: Rate | None = Field(
        None, description="the initial rate, in place of the optimizer's", exclude_if=is_none
    )

    @property
    def own_base_lr(self) -> float | None:
        return self.initial_lr

    def cost(self, load: Load) -> float:
        cuts = load.last // (self.patience + 1 + self.cooldown) + 1
        return load.calls * (CALL + load.last * STEP_COST + cuts * CUT_COST)

    def begin(self, base_lr: Iterable[float]) -> Plateau:
        return Plateau(self, [lr if self.initial_lr is None else self.initial_lr for lr in base_lr])

    def follow(self, base_lr: Sequence[float], metrics: Array | Sequence[float]) -> Rates:
        """The same as stepping a `Plateau`, in a tenth of the time or less.

        Metrics after the last cut that can change a rate are not looked at.
        """
        series = np.asarray(metrics, dtype=np.float64)
        row = self.begin(base_lr).lr
        ends, rows = [], [row]
        for cut in _cuts(self, series):
            before, row = row, [self.reduced(lr, group) for group, lr in enumerate(row)]
            if row == before:  # and so it stays
                break
            ends.append(cut + 1)
            rows.append(row)
        out = np.empty((len(row), len(series) + 1))
        for begin, end, rates in zip([0, *ends], [*ends, len(series) + 1], rows, strict=True):
            for line, lr in zip(out, rates, strict=True):
                line[begin:end].fill(lr)
        return out

    def torch_reference(self) -> tuple[str, dict[str, object]]:
        return self.name(), self.model_dump(exclude={"type", "initial_lr"})


class Plateau(MetricState[ReduceLROnPlateau]):
    """The state of a ReduceLROnPlateau."""

    def step(self, metric: float) -> None:
        if self.spec.improves(metric, self.best):
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.cooldown > 0:
            self.cooldown -= 1
            self.bad = 0
        if self.bad > self.spec.patience:
            self.lr = [self.spec.reduced(lr, group) for group, lr in enumerate(self.lr)]
            self.cooldown, self.bad = self.spec.cooldown, 0


def _cuts(spec: ReduceLROnPlateau, series: Array) -> Iterator[int]:
    """The intervals after which the rate is cut: more than `patience` without an improvement or a cooldown."""
    counted = 0  # the intervals from here on may be bad ones
    for before, after in _waits(spec, series):
        counted = max(counted, before + 1)
        while (cut := counted + spec.patience) < after:
            yield cut
            counted = cut + 1 + spec.cooldown


def _waits(spec: ReduceLROnPlateau, series: Array) -> Iterator[tuple[int, int]]:
    """Two intervals that improved on the best metric with more than `patience` between them that did not.

    The series begins and ends as if with an improvement. Metrics are looked at a block at a time.
    """
    sign = 1.0 if spec.mode == "min" else -1.0
    relative = spec.threshold_mode == "rel"
    factor = 1.0 - sign * spec.threshold
    bar = np.inf * factor if relative else np.inf  # of the signed metric, as all below
    least = lowest = np.inf
    last, near = -1, spec.patience + 1
    start, size = 0, FIRST_BLOCK
    while start < len(series):
        block = sign * series[start : start + size]
        least = min(least, np.fmin.reduce(series[start : start + size]))
        if relative and least <= 0:  # below zero the bar moves the wrong way, so that any metric may pass it
            passing = np.arange(len(block))
        else:  # the lowest so far alone can: none of those since the best one has passed the bar
            lowests = np.fmin.accumulate(np.append(lowest, block))  # fmin: NaN is never an improvement
            passing, lowest = np.flatnonzero(block < lowests[:-1]), lowests[-1]
        for at, metric in zip((start + passing).tolist(), block[passing].tolist(), strict=True):
            if metric < bar:
                bar = metric * factor if relative else metric - spec.threshold
                if at - last > near:
                    yield last, at
                last = at
        start, size = start + size, 2 * size
    yield last, len(series)
