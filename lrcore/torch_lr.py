"""A spec as a torch LRScheduler, for people's own training loops. The one module of lrcore that imports torch.

    scheduler = SpecLR(optimizer, {"type": "WSD", "warmup_steps": 100, "stable_steps": 800, "decay_steps": 100})
    for batch in batches:
        ...
        optimizer.step()
        scheduler.step()

It takes the place of any class of torch.optim.lr_scheduler: tests/parity/torch_cases.toml lists the cases of torch's
own tests, with the reason for each that does not pass. The rates are those of `lrcore.curve.sample`, bit for bit. A
scheduler made with `last_epoch=n - 1`, or one whose `state_dict` was loaded, continues exactly where the other stopped.

When something else has changed an optimizer's rate, such as a second scheduler, it depends on the schedule what happens
next, as it does in torch: the types in SCALING scale the rate in force, the others set their own.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter
from torch._compile import _disable_dynamo
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lrcore.dialects._foreign import in_own_names
from lrcore.errors import CurveError
from lrcore.numerics.lengths import RunLength, SharesOf
from lrcore.numerics.rate_table import RateTable, Values, rates_between
from lrcore.schedules import AnySchedule, Schedule
from lrcore.schedules._base import TorchSchedule, of_group
from lrcore.schedules.cosine import CosineAnnealingWarmRestarts

# Torch's classes that compute a rate from the one in force, with the field of the rate that they approach, 0 if None
SCALING = {
    "ConstantLR": None,
    "CosineAnnealingLR": "eta_min",
    "ExponentialLR": None,
    "LinearLR": None,
    "MultiplicativeLR": None,
    "MultiStepLR": None,
    "PolynomialLR": None,
    "StepLR": None,
    "SWALR": "swa_lr",
}

_SCHEDULE: TypeAdapter[Schedule] = TypeAdapter(AnySchedule, config=ConfigDict(title="schedule"))


class SpecLR(LRScheduler):
    """Sets the rate, and the momentum or beta1 where the schedule cycles it, of every parameter group.

    The base rate of a group is its `initial_lr`, which is its rate when its first scheduler is made. A schedule with
    base rates of its own (OneCycleLR, CyclicLR) uses those.

    Args:
        optimizer: whose groups are scheduled.
        schedule: the spec, or its JSON as a dict.
        last_epoch: index of the last finished step; -1 starts from the beginning.
        total_steps: steps of the run, for lengths in percent.
        steps_per_epoch: for lengths in epochs.

    Attributes:
        total_steps: steps that the schedule has a rate for; missing if it has no end.

    Raises:
        pydantic.ValidationError: the spec is not valid.
        CurveError: it follows a metric, is for another number of groups, cycles a momentum that the optimizer does not
            have, or has no rate for the first step.
        KeyError: `last_epoch` is given, but a group has no `initial_lr`.
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
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if isinstance(schedule, dict):
            with SharesOf(RunLength(total_steps, steps_per_epoch)):
                schedule = _SCHEDULE.validate_python(in_own_names(schedule))
        _check_fit(schedule, optimizer)
        self.schedule = schedule
        if schedule.length is not None:
            self.total_steps = schedule.length
        self._fraction = 0.0
        own = _own_base_lrs(schedule, len(optimizer.param_groups))
        if own is not None and last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, own, strict=True):
                group.setdefault("initial_lr", lr)
        self._own: RateTable | None = None
        self._shape: RateTable | None = None
        super().__init__(optimizer, last_epoch)
        self.base_lrs = list(self._bases())

    def __getattr__(self, name: str) -> Any:
        """The parameters of torch's schedules, under the names that torch's classes have them, such as `T_max`."""
        schedule = self.__dict__.get("schedule")
        if isinstance(schedule, TorchSchedule) and name in type(schedule).model_fields:
            return getattr(schedule, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def get_lr(self) -> list[float | Any]:
        """Return the schedule's rates at the present step; within `step`, the rates that it will set."""
        if not self._get_lr_called_within_step:
            return list(self._values(self.last_epoch)[0])
        before, (lr, momentum) = self._at(self.last_epoch - 1)[0], self._values(self.last_epoch)
        _set_momentum(self.optimizer, momentum)
        resumed = self._step_count == 1 and self.last_epoch > 0
        if self.schedule.type not in SCALING or resumed:
            return list(lr)
        return [self._scaled(group, *rates) for group, rates in enumerate(zip(before, lr, strict=True))]

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next step, or to the one given.

        A step without a rate keeps the one in force. So a run may end with the schedule, and only the step after
        fails.

        Args:
            epoch: deprecated in torch, except for CosineAnnealingWarmRestarts, which takes fractions, too.

        Raises:
            CurveError: the schedule has no rate for the step before this one, or none at a fraction of a step.
        """
        if epoch is None:
            super().step()
            return
        whole = math.floor(epoch)
        restarts = isinstance(self.schedule, CosineAnnealingWarmRestarts)
        if whole != epoch and not restarts:
            raise CurveError(
                ("epoch",),
                f"{self.schedule.type} has rates at whole steps only, not at {float(epoch):g}: "
                "give its lengths in batches, and call step() after each batch",
            )
        self._fraction = float(epoch) - whole
        if restarts:
            self._update_lr(whole)
        else:
            super().step(whole)

    @_disable_dynamo  # else compiled anew for each rate; torch.compiler.disable would load the compiler at once
    def _update_lr(self, epoch: int | None = None) -> None:
        super()._update_lr(epoch)

    def _get_closed_form_lr(self) -> list[float | Any]:
        lr, momentum = self._values(self.last_epoch)
        _set_momentum(self.optimizer, momentum)
        return list(lr)

    def state_dict(self) -> dict[str, Any]:
        """Return the count of steps and the base rates.

        The schedule is not among them: a run may continue with another one. `changed_lrs` are the optimizer's rates if
        they are not the schedule's, because another scheduler changed them.
        """
        in_force = [float(group["lr"]) for group in self.optimizer.param_groups]
        own = map(_stored, self.get_lr(), self.optimizer.param_groups)
        return {
            "last_epoch": self.last_epoch,
            "fraction": self._fraction,
            "base_lrs": list(self.base_lrs),
            "changed_lrs": None if in_force == list(own) else in_force,
            "_step_count": self._step_count,
            "_last_lr": list(self._last_lr),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a `state_dict` of this class, or of torch's class for the same schedule.

        Unlike torch's classes it sets the optimizer's rates, so that the optimizer's own state need not be loaded. If
        it is, the order does not matter.

        Raises:
            CurveError: the schedule ends before that step.
        """
        groups = self.optimizer.param_groups
        self.last_epoch = int(state_dict["last_epoch"])
        self._fraction = float(state_dict.get("fraction", 0.0))
        self._step_count = int(state_dict.get("_step_count", self.last_epoch + 1))
        saved = state_dict.get("base_lrs")
        self.base_lrs = [group.get("initial_lr", group["lr"]) for group in groups] if saved is None else list(saved)
        lr, momentum = self._values(self.last_epoch)
        changed = state_dict.get("changed_lrs")
        for group, value in zip(groups, changed or lr, strict=False):
            write_number(group, "lr", value)
        _set_momentum(self.optimizer, momentum)
        self._last_lr = list(state_dict["_last_lr"]) if changed else [_copied(group["lr"]) for group in groups]

    def _values(self, step: int) -> Values:
        """Rates and momenta at a step; those of the step before if it has none."""
        try:
            return self._at(step)
        except CurveError:
            if step < 1:
                raise
            return self._at(step - 1)

    def _at(self, step: int) -> Values:
        bases = self._bases()
        if step < 0:
            return list(bases), None
        if self._fraction and isinstance(self.schedule, CosineAnnealingWarmRestarts):
            return rates_between(self.schedule, bases, step, self._fraction), None
        if self._own is None or self._own.bases != bases:
            self._own = RateTable(self.schedule, bases)
        return self._own.at(step)

    def _bases(self) -> tuple[float, ...]:
        groups = self.optimizer.param_groups
        own = _own_base_lrs(self.schedule, len(self.base_lrs))
        if own is None and self.schedule.groups is None and self.schedule.type in SCALING:
            self.base_lrs += [float(group["lr"]) for group in groups[len(self.base_lrs) :]]  # scaled from now on
        if len(self.base_lrs) != len(groups):
            raise CurveError(
                ("optimizer",),
                f"the optimizer has {len(groups)} parameter groups, not {len(self.base_lrs)} as before: after "
                f"add_param_group, give the new group an initial_lr and make a new SpecLR with last_epoch=n - 1, "
                f"where n counts the calls of step()",
            )
        return tuple(map(float, self.base_lrs)) if own is None else own

    def _scaled(self, group: int, before: float, lr: float) -> float:
        """The rate of one group: the schedule's `lr`, or if `before` is no longer in force, what torch computes.

        That is floor + (rate - floor) * s(t) / s(t - 1), where s is the schedule from 1 down to a floor of 0.
        """
        in_force = float(self.optimizer.param_groups[group]["lr"])
        if in_force == _stored(before, self.optimizer.param_groups[group]):
            return lr
        field = SCALING[self.schedule.type]
        if self._shape is None or len(self._shape.bases) != len(self.base_lrs):
            floorless = self.schedule if field is None else self.schedule.model_copy(update={field: 0.0})
            self._shape = RateTable(floorless, (1.0,) * len(self.base_lrs))
        past = self._shape.at(self.last_epoch - 1)[0][group] if self.last_epoch else 1.0
        if past == 0:
            return lr
        floor = 0.0 if field is None else of_group(getattr(self.schedule, field), group)
        return floor + (in_force - floor) * self._shape.at(self.last_epoch)[0][group] / past


def _check_fit(schedule: Schedule, optimizer: Optimizer) -> None:
    """Raise CurveError if an optimizer cannot follow a schedule."""
    groups = len(optimizer.param_groups)
    if schedule.metric_driven:
        raise CurveError(("schedule",), f"{schedule.type} follows a metric: use {schedule.origin}")
    if schedule.groups not in (None, groups):
        lists = ", ".join(field for field in schedule.per_group if isinstance(getattr(schedule, field), tuple))
        found = f" ({lists})" if lists else ""
        raise CurveError(("schedule",), f"the schedule is for {schedule.groups} parameter groups{found}, not {groups}")
    if schedule.cycles_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
        message = (
            f"{schedule.type} cycles momentum, but {type(optimizer).__name__} has none: set cycle_momentum to false"
        )
        raise CurveError(("schedule",), message)


def _own_base_lrs(schedule: Schedule, groups: int) -> tuple[float, ...] | None:
    own = schedule.own_base_lr
    return own if own is None or isinstance(own, tuple) else (own,) * groups


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value


def _stored(value: float, group: dict[str, Any]) -> float:
    """A rate as a parameter group holds it, which may be in single precision."""
    lr = group["lr"]
    return float(torch.tensor(value, dtype=lr.dtype)) if isinstance(lr, torch.Tensor) else value


def write_number(group: dict[str, Any], key: str, value: float) -> None:
    """Set a number of a parameter group. A Tensor stays the same one, or compiled code would keep the old number."""
    if isinstance(group[key], torch.Tensor):
        group[key].fill_(value)
    else:
        group[key] = value


def write_momentum(group: dict[str, Any], value: float) -> None:
    """Set momentum, or beta1, of a parameter group. NaN leaves it alone."""
    if value != value:
        return
    if "betas" not in group:
        write_number(group, "momentum", value)
    elif isinstance(group["betas"][0], torch.Tensor):
        group["betas"][0].fill_(value)
    else:
        group["betas"] = (value, *group["betas"][1:])


def _set_momentum(optimizer: Optimizer, values: list[float] | None) -> None:
    for group, value in zip(optimizer.param_groups, values or (), strict=False):
        write_momentum(group, value)
