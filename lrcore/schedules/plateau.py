"""The schedules that follow a metric: what they have in common, and torch's ReduceLROnPlateau."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from pydantic import Field

from lrcore.family import Whole, is_none
from lrcore.numerics.cost import CALL, Load
from lrcore.numerics.formulas import Node, NoFormula, Value
from lrcore.numerics.grid import Array
from lrcore.schedules._base import MAX_STEP, GroupRates, Rate, Rates, Schedule, of_group

Count = Annotated[int, Whole(ge=0, le=MAX_STEP)]
FactorBelowOne = Annotated[Rate, Field(lt=1)]
FIRST_BLOCK = 512  # metrics looked at together; then twice as many each time
STEP_COST, CUT_COST = 200.0, 1500.0  # nanoseconds


class MetricSchedule(Schedule):
    """A schedule that is no function of the step: it reacts to the metric after each interval."""

    metric_driven = True
    per_group: ClassVar[tuple[str, ...]] = ("min_lr",)

    type: str
    mode: Literal["min", "max"] = "min"
    factor: FactorBelowOne = 0.1
    patience: Count = 10
    threshold: Rate = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: Count = 0
    min_lr: GroupRates = 0.0
    eps: Rate = 1e-8

    def begin(self, base_lr: Iterable[float]) -> MetricState[Any]:
        """Return the state before the first interval, from one initial rate per parameter group."""
        raise NotImplementedError

    def follow(self, base_lr: Sequence[float], metrics: Array | Sequence[float]) -> Rates:
        """Return the rates of intervals 0 .. len(metrics), shape (groups, len(metrics) + 1)."""
        state, since = self.begin(base_lr), 0
        out = np.empty((len(base_lr), len(metrics) + 1))
        for interval, metric in enumerate(np.asarray(metrics, dtype=np.float64).tolist(), 1):
            before = state.lr
            state.step(metric)
            if state.lr is not before:
                out[:, since:interval] = np.array(before)[:, None]
                since = interval
        out[:, since:] = np.array(state.lr)[:, None]
        return out

    def formula_at(self, t: Node, base_lr: float) -> Value:
        raise self.no_formula()

    def no_formula(self) -> NoFormula:
        """Return the refusal to translate it to a framework whose schedules are functions of the step."""
        return NoFormula(("type",), f"{self.type} follows a metric, not the step: translate it to {self.framework}")

    @property
    def framework(self) -> str:
        """The framework that has it."""
        return self.origin.partition(".")[0]

    @property
    def worst(self) -> float:
        """The metric that any other improves on."""
        return np.inf if self.mode == "min" else -np.inf

    def improves(self, metric: float, best: float) -> bool:
        """Whether a metric is better than the best so far by more than the threshold. NaN never is."""
        sign = 1.0 if self.mode == "max" else -1.0
        bar = best * (1.0 + sign * self.threshold) if self.threshold_mode == "rel" else best + sign * self.threshold
        return metric > bar if self.mode == "max" else metric < bar

    def reduced(self, lr: float, group: int) -> float:
        """A group's rate after one cut."""
        reduced = max(lr * self.factor, of_group(self.min_lr, group))
        return reduced if lr - reduced > self.eps else lr


S = TypeVar("S", bound=MetricSchedule)


class MetricState(Generic[S]):
    """Where a schedule stands: feed it a metric after each interval, read `lr` before the next.

    Attributes:
        lr: rate in force, one per parameter group; a new list after each change.
    """

    def __init__(self, spec: S, base_lr: Iterable[float]) -> None:
        self.spec = spec
        self.lr = list(base_lr)
        self.best = spec.worst
        self.bad = 0
        self.cooldown = 0

    def step(self, metric: float) -> None:
        """Take the metric of the interval just finished."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return what `load` needs to go on from here. JSON, with None for an infinite `best`."""
        best = self.best if np.isfinite(self.best) else None
        return {"lr": self.lr, "best": best, "bad": self.bad, "cooldown": self.cooldown}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`, in a new object."""
        self.lr, self.bad, self.cooldown = list(state["lr"]), state["bad"], state["cooldown"]
        if state["best"] is not None:
            self.best = state["best"]


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
