"""From a job's optimizer and schedules to torch's parameter groups, and the values they have at each interval."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrcore.errors import SpecError
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.optimizers import Optimizer
from lrcore.schedules import Rates
from lrcore.schedules.plateau import MetricSchedule, MetricState
from lrcore.torch_lr import write_momentum, write_number

NAMES_SHOWN = 20


def freeze(model: nn.Module, patterns: tuple[str, ...]) -> None:
    """Train no parameter whose name matches. Raises SpecError if a pattern matches none, or if none is left."""
    names = [name for name, _ in model.named_parameters()]
    for i, pattern in enumerate(patterns):
        _must_match(f"model.freeze.{i}", pattern, names)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(fnmatchcase(name, pattern) for pattern in patterns))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise SpecError("model.freeze leaves no parameter to train")


def parameter_groups(model: nn.Module, spec: Optimizer) -> list[dict[str, Any]]:
    """Torch's groups: parameters that share a column of the optimizer, a scale of the rate and a weight decay.

    Each has, beside torch's keys, its `column`, its `scale` (the group's rate is the column's times that) and
    `decays` (whether the column's weight decay acts on it).

    Raises:
        SpecError: a pattern matches no parameter.
    """
    names = [name for name, _ in model.named_parameters()]
    for i, group in enumerate(spec.param_groups):
        _must_match(f"optimizer.param_groups.{i}.params", group.params, names)
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    found: dict[tuple[int, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            depth = len(layers) - 1 - layers.index(name.rpartition(".")[0])
            scale = 1.0 if spec.layer_decay is None else spec.layer_decay**depth
            decays = spec.decay_norm_and_bias or parameter.ndim > 1
            key = (spec.column(name, tuple(parameter.shape)), scale, decays)
            found.setdefault(key, []).append(parameter)
    columns = {column for column, _, _ in found}
    for i, group in enumerate(spec.param_groups):
        if i + 1 not in columns:
            raise SpecError(
                f"optimizer.param_groups.{i}.params: nothing is left for {group.params!r}: what it names is frozen, "
                f"named by a pattern before it, or none of what {spec.type} trains itself"
            )
    lrs, weight_decays = spec.base_lrs, spec.weight_decays
    return [
        {
            "params": parameters,
            "lr": lrs[column] * scale,
            "weight_decay": weight_decays[column] if decays else 0.0,
            "column": column,
            "scale": scale,
            "decays": decays,
        }
        for (column, scale, decays), parameters in sorted(found.items(), key=lambda item: (item[0][0], -item[0][1]))
    ]


def _must_match(field: str, pattern: str, names: list[str]) -> None:
    if not any(fnmatchcase(name, pattern) for name in names):
        shown = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
        raise SpecError(f"{field}: no parameter of the model has a name like {pattern!r}; there are {shown}")


class Scheduled:
    """The optimizer's scheduled values at every interval: from tables, or from a state machine for the metric-driven.

    Attributes:
        metric_state: the state machine, or None.
    """

    def __init__(self, spec: TrainingSpec) -> None:
        self._per_step, self._optimizer = spec.interval == "step", spec.optimizer
        tables, schedule = spec.tables(), spec.rate_schedule
        self.metric_state: MetricState[Any] | None = None
        if isinstance(schedule, MetricSchedule):
            self.metric_state = schedule.begin(spec.optimizer.base_lrs)
        self._lr = None if tables.lr is None else tables.lr.T
        self._momentum = None if tables.momentum is None else _held(tables.momentum, spec.optimizer.base_momenta).T
        self._weight_decay = None if tables.weight_decay is None else tables.weight_decay.T

    def lr(self, epoch: int, step: int) -> list[float]:
        """Rate of each column in this step of this epoch."""
        if self._lr is None:
            assert self.metric_state is not None
            return self.metric_state.lr
        rates: list[float] = self._lr[step if self._per_step else epoch].tolist()
        return rates

    def momentum(self, epoch: int, step: int) -> list[float] | None:
        """Momentum or beta1 of each column; None if it is not scheduled there."""
        if self._momentum is None:
            return None
        values: list[float] = self._momentum[step if self._per_step else epoch].tolist()
        return None if any(map(math.isnan, values)) else values

    def weight_decay(self, epoch: int, step: int) -> list[float] | None:
        """Weight decay of each column; None if it is not scheduled."""
        if self._weight_decay is None:
            return None
        values: list[float] = self._weight_decay[step if self._per_step else epoch].tolist()
        return values

    def tables(self) -> tuple[Rates, Rates, Rates]:
        """Rate, momentum and weight decay at each interval, (intervals, columns); (1, columns) if they stay as now."""
        optimizer = self._optimizer
        lr = np.array([self.metric_state.lr]) if self.metric_state else self._lr
        momentum, decay = self._momentum, self._weight_decay
        if momentum is None:
            momentum = np.array([optimizer.base_momenta or (0.0,) * len(optimizer.base_lrs)])
        if decay is None:
            decay = np.array([optimizer.weight_decays])
        assert lr is not None
        return lr, momentum, decay

    def write(self, groups: Iterable[dict[str, Any]], epoch: int, step: int) -> None:
        """Put the values in force in this step of this epoch into torch's groups, as `parameter_groups` made them."""
        lr, momenta, decays = self.lr(epoch, step), self.momentum(epoch, step), self.weight_decay(epoch, step)
        for group in groups:
            column = group["column"]
            write_number(group, "lr", lr[column] * group["scale"])
            if momenta is not None:
                write_momentum(group, momenta[column])
            if decays is not None and group["decays"]:
                group["weight_decay"] = decays[column]

    def after_epoch(self, loss: float, accuracy: float) -> None:
        """Tell a metric-driven schedule what the epoch came to."""
        if self.metric_state is not None:
            self.metric_state.step(loss if self.metric_state.spec.mode == "min" else accuracy)


def _held(momentum: Rates, base: tuple[float, ...] | None) -> Rates:
    """Momentum that a schedule leaves alone stays as it was set last, as in torch; at first it is the optimizer's."""
    if base is None:
        return momentum
    given = ~np.isnan(momentum)
    last = np.maximum.accumulate(np.where(given, np.arange(momentum.shape[1]), -1), axis=1)
    return np.where(last >= 0, np.take_along_axis(momentum, np.maximum(last, 0), axis=1), np.array(base)[:, None])


class Average:
    """An exponential moving average of a model's weights and buffers, begun with the first step's.

    Attributes:
        model: the averaged model.
    """

    def __init__(self, model: nn.Module, averaged: nn.Module, decay: float) -> None:
        self.model, self._decay = averaged.requires_grad_(False), decay
        self._sources, self._floats = self._tensors(model), self._tensors(averaged)
        self._counts = [
            (mine, theirs)
            for mine, theirs in zip(averaged.buffers(), model.buffers(), strict=True)
            if not mine.is_floating_point()
        ]

    @staticmethod
    def _tensors(model: nn.Module) -> list[Tensor]:
        return [t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()]

    @torch.no_grad()
    def update(self, *, first: bool) -> None:
        """Take in the weights after an optimizer step; after the first, begin with them."""
        weight = 1.0 if first else 1 - self._decay
        torch._foreach_lerp_(self._floats, [tensor.detach() for tensor in self._sources], weight)
        for mine, theirs in self._counts:
            mine.copy_(theirs)
