"""What the schedules that follow a metric have in common: their fields, and how they are driven."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
from pydantic import Field

from lrcore.family import Whole
from lrcore.numerics.formulas import Node, NoFormula, Value
from lrcore.numerics.grid import Array
from lrcore.schedules._base import MAX_STEP, GroupRates, Rate, Rates, Schedule, of_group

Count = Annotated[int, Whole(ge=0, le=MAX_STEP)]
FactorBelowOne = Annotated[Rate, Field(lt=1)]


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
