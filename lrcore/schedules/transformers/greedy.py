"""transformers' GreedyLR, which follows a metric up and down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from lrcore.family import Flag, Whole
from lrcore.numerics.cost import CALL, Load
from lrcore.schedules._base import Factor, GroupRates, Rate, of_group
from lrcore.schedules.plateau import Count, MetricSchedule, MetricState

# nanoseconds: of a step, of a change of the rate, of a place in a full window
STEP_COST, CHANGE_COST, WINDOW_COST = 1500.0, 6000.0, 0.5


class GreedyLR(MetricSchedule):
    """Raises the rate while a metric improves, and cuts it when the metric stops.

    The rate is divided by factor, up to max_lr, after more than patience improvements in a row, and multiplied by
    factor, down to min_lr, after more than patience intervals in a row without one; never by eps or less. A value
    improves on the best so far as in ReduceLROnPlateau. The metrics of cooldown intervals after a cut, and of warmup
    intervals after a rise, are not compared. With smooth, the mean of the last window_size metrics stands for each.
    A cut that leaves every group at min_lr or below counts, even if it changes nothing: after reset_start of them
    without a rise, the initial rates are restored and the best metric is forgotten. A rate below min_lr is never cut;
    with the default of 0.001, this includes the usual rates of fine-tuning. The metric of interval t is known after
    it, so that it acts on the rate of interval t + 1. Its curve takes `metrics`; a job drives it with its own test
    loss (mode min) or test accuracy (mode max).
    """

    summary = "raises the rate while a metric improves, and cuts it when the metric stops"
    formula = "lr / factor after more than patience new best metrics in a row, lr * factor after as many others"
    origin = "transformers.get_scheduler('greedy')"
    example = {"type": "greedy", "factor": 0.8, "patience": 2}
    per_group = ("min_lr", "max_lr")

    type: Literal["greedy"]
    factor: Annotated[Factor, Field(lt=1)] = 0.95
    threshold: Rate = 1e-6
    threshold_mode: Literal["rel", "abs"] = "abs"
    min_lr: GroupRates = 1e-3
    warmup: Count = Field(0, description="intervals after a rise whose metrics are not compared")
    max_lr: GroupRates = 1.0
    smooth: Flag = Field(False, description="compare the mean of the last window_size metrics")
    window_size: Annotated[int, Whole(ge=1, le=10_000)] = 50
    reset_start: Count = Field(500, description="cuts at the lowest rate until the schedule starts anew")

    def begin(self, base_lr: Iterable[float]) -> Greedy:
        return Greedy(self, base_lr)

    def cost(self, load: Load) -> float:
        changes = load.last // (self.patience + 1 + min(self.cooldown, self.warmup)) + 1
        step = STEP_COST + WINDOW_COST * self.smooth * self.window_size
        return load.calls * (CALL + load.last * step + changes * CHANGE_COST)

    def raised(self, lr: float, group: int) -> float:
        """A group's rate after one rise."""
        raised = min(lr / self.factor, of_group(self.max_lr, group))
        return raised if raised - lr > self.eps else lr


class Greedy(MetricState[GreedyLR]):
    """The state of a GreedyLR. It adds and resets in the order of transformers, to the last bit."""

    def __init__(self, spec: GreedyLR, base_lr: Iterable[float]) -> None:
        super().__init__(spec, base_lr)
        self.initial = self.lr
        self.good = 0
        self.cuts_left = spec.reset_start
        self.window: list[float] = []
        self.total = 0.0

    def step(self, metric: float) -> None:
        if self.spec.smooth:
            metric = self._mean_with(metric)
        if self.cooldown > 0:  # after a rise as well
            self.cooldown -= 1
            return
        if self.spec.improves(metric, self.best):
            self.best, self.bad, self.good = metric, 0, self.good + 1
        else:
            self.bad, self.good = self.bad + 1, 0
        if self.good > self.spec.patience:
            self.lr = [self.spec.raised(lr, group) for group, lr in enumerate(self.lr)]
            self.cooldown, self.good, self.cuts_left = self.spec.warmup, 0, self.spec.reset_start
        elif self.bad > self.spec.patience:
            self._cut()
            self.cooldown, self.bad = self.spec.cooldown, 0

    def _mean_with(self, metric: float) -> float:
        self.window.append(metric)
        self.total += metric
        if len(self.window) > self.spec.window_size:
            self.total -= self.window.pop(0)
        return self.total / len(self.window)

    def _cut(self) -> None:
        self.lr = [self.spec.reduced(lr, group) for group, lr in enumerate(self.lr)]
        if all(lr <= of_group(self.spec.min_lr, group) for group, lr in enumerate(self.lr)):
            self.cuts_left -= 1
            if self.cuts_left <= 0:
                vars(self).update(vars(self.spec.begin(self.initial)))

    def state(self) -> dict[str, Any]:
        return super().state() | {
            "good": self.good,
            "cuts_left": self.cuts_left,
            "window": list(self.window),
            "total": self.total,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        super().load(state)
        self.good, self.cuts_left = state["good"], state["cuts_left"]
        self.window, self.total = list(state["window"]), state["total"]
