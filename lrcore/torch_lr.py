"""A spec as a torch LRScheduler, for people's own training loops. The one module of lrcore that imports torch.

    scheduler = SpecLR(optimizer, {"type": "WSD", "warmup_steps": 100, "stable_steps": 800, "decay_steps": 100})
    for batch in batches:
        ...
        optimizer.step()
        scheduler.step()

The rates are those of `lrcore.curve.sample`, bit for bit, and a function of the count of steps alone: a scheduler made
with `last_epoch=n - 1`, or one whose `state_dict` was loaded, goes on exactly where the other one stopped, and rates
that somebody else wrote into the optimizer in between do not matter.
"""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrcore.curve import table
from lrcore.errors import CurveError
from lrcore.grid import Grid
from lrcore.lengths import resolved
from lrcore.schedules import AnySchedule, Schedule

BLOCK = 1024  # rates computed at once: a step costs a look into a list

_SCHEDULE: TypeAdapter[Schedule] = TypeAdapter(AnySchedule)


class SpecLR(LRScheduler):
    """Sets the rate, and the momentum or beta1 where the schedule cycles it, of every parameter group.

    The base rate of a group is its `initial_lr`, which is its rate when its first scheduler is made; a schedule that
    brings its own takes that.

    Args:
        optimizer: whose groups are scheduled.
        schedule: the spec, or its JSON as a dict.
        last_epoch: index of the last finished step; -1 starts from the beginning.
        total_steps: steps of the run, for lengths in percent.
        steps_per_epoch: for lengths in epochs.

    Raises:
        pydantic.ValidationError: the spec is none.
        CurveError: it follows a metric, it is for another number of groups, or a step has no rate.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Schedule | dict[str, Any],
        last_epoch: int = -1,
        *,
        total_steps: int | None = None,
        steps_per_epoch: int | None = None,
    ) -> None:
        if isinstance(schedule, dict):
            schedule = _SCHEDULE.validate_python(resolved(schedule, total_steps, steps_per_epoch))
        groups = len(optimizer.param_groups)
        if schedule.metric_driven:
            raise CurveError(("schedule",), f"{schedule.type} follows a metric: use torch's own")
        if schedule.groups not in (None, groups):
            raise CurveError(("schedule",), f"the schedule is for {schedule.groups} parameter groups, not {groups}")
        self.schedule = schedule
        self._first = 0
        self._lr: list[list[float]] = []
        self._momentum: list[list[float]] | None = None
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float | Any]:
        """Rates of the present step, one a parameter group."""
        return list(self._at(self.last_epoch)[0])

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next step, or to the one given."""
        super().step(epoch)
        self._set_momentum()

    def _get_closed_form_lr(self) -> list[float | Any]:
        return self.get_lr()

    def state_dict(self) -> dict[str, Any]:
        """The count of steps: the rest is in the spec and the optimizer."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`, and set the optimizer's rates, which torch's own schedulers leave."""
        self.last_epoch = int(state_dict["last_epoch"])
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate
        self._set_momentum()

    def _set_momentum(self) -> None:
        _, momentum = self._at(self.last_epoch)
        if momentum is not None:
            for group, value in zip(self.optimizer.param_groups, momentum, strict=True):
                _set_momentum(group, value)

    def _at(self, step: int) -> tuple[list[float], list[float] | None]:
        length = self.schedule.length
        if length is not None and step >= length:
            raise CurveError(("schedule",), f"the schedule ends after {length} steps")
        if not self._first <= step < self._first + len(self._lr):
            count = BLOCK if length is None else min(BLOCK, length - step)
            curve = table(self.schedule, self._bases(), Grid(step, 1, count))
            self._first, self._lr = step, curve.lr.T.tolist()
            self._momentum = None if curve.momentum is None else curve.momentum.T.tolist()
        row = step - self._first
        return self._lr[row], None if self._momentum is None else self._momentum[row]

    def _bases(self) -> tuple[float, ...]:
        own = self.schedule.own_base_lr
        if own is None:
            return tuple(float(base) for base in self.base_lrs)
        return own if isinstance(own, tuple) else (own,) * len(self.base_lrs)


def _set_momentum(group: dict[str, Any], value: float) -> None:
    if value != value:  # NaN: left to the optimizer
        return
    if "betas" in group:
        group["betas"] = (value, *group["betas"][1:])
    elif "momentum" in group:
        group["momentum"] = value
