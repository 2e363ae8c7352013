"""The one schedule that is no function of the step: it reacts to a metric."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from lrcore.family import Integer
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
        if self._improves(metric):
            self.best, self.bad = metric, 0
        else:
            self.bad += 1
        if self.cooldown > 0:
            self.cooldown -= 1
            self.bad = 0
        if self.bad > self.spec.patience:
            self.lr = [self._reduced(lr, of_group(self.spec.min_lr, group)) for group, lr in enumerate(self.lr)]
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

    def _improves(self, metric: float) -> bool:
        s = self.spec
        sign = 1.0 if s.mode == "max" else -1.0
        bar = self.best * (1.0 + sign * s.threshold) if s.threshold_mode == "rel" else self.best + sign * s.threshold
        return metric > bar if s.mode == "max" else metric < bar

    def _reduced(self, lr: float, floor: float) -> float:
        reduced = max(lr * self.spec.factor, floor)
        return reduced if lr - reduced > self.spec.eps else lr


def plateau_curve(spec: ReduceLROnPlateau, base_lr: Iterable[float], metrics: Iterable[float]) -> Rates:
    """Rates of intervals 0 .. len(metrics), shape (groups, len(metrics) + 1)."""
    state = Plateau(spec, base_lr)
    rows = [list(state.lr)]
    for metric in metrics:
        state.step(metric)
        rows.append(state.lr)
    return np.array(rows, dtype=np.float64).T
