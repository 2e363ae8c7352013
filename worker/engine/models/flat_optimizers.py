"""Optimizers over the parameters of several runs in one flat tensor, each element with its own run's numbers.

A cell is a parameter group of a run: what shares a rate, a momentum and a weight decay. What torch computes from them
in each step is computed here for a whole epoch, in float64 before it begins; the device only multiplies and adds, in
torch's order.

Letters in shapes: p elements of all parameters of all runs, k cells, t steps of an epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrcore.optimizers import Optimizer
from lrcore.optimizers.adam import Adam
from lrcore.optimizers.adamw import AdamW
from lrcore.optimizers.sgd import SGD

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StepValues:
    """The numbers of each cell in the steps of an epoch.

    Attributes:
        first: steps of the runs before the epoch.
        lr, momentum, weight_decay: (t, k); momentum is beta1 where the optimizer has that.
        begun: (k,) step of the run at which momentum is used for the first time.
    """

    first: int
    lr: Floats
    momentum: Floats
    weight_decay: Floats
    begun: NDArray[np.int64]


@dataclass(frozen=True)
class OptimizerTraits:
    """What is never needed in any run and step can be left out.

    Attributes:
        momentum: whether it is ever above 0.
        always_momentum: whether it always is.
        weight_decay: whether it is ever above 0.
    """

    momentum: bool
    always_momentum: bool
    weight_decay: bool


class FlatOptimizer(Protocol):
    """An optimizer.

    Attributes:
        state: by torch's names, each (p,).
        numbers: how many `numbers_of` returns.
    """

    state: dict[str, Tensor]
    numbers: int

    def numbers_of(self, values: StepValues) -> list[Floats]:
        """The numbers that `step` takes, each (t, k)."""
        ...

    def step(self, p: Tensor, grad: Tensor, *numbers: Tensor) -> None:
        """Update p (p,) in place, with a number for each element, or one for all; grad (p,) is used up."""
        ...


class FlatSGD:
    """torch.optim.SGD."""

    numbers = 5

    def __init__(self, runs: Sequence[SGD], like: Tensor, traits: OptimizerTraits) -> None:
        self._traits, self._nesterov, self._maximize = traits, runs[0].nesterov, runs[0].maximize
        self._dampening = np.array([run.dampening for run in runs])
        self.state = {"momentum_buffer": torch.zeros_like(like)} if traits.momentum else {}

    def numbers_of(self, values: StepValues) -> list[Floats]:
        used = values.momentum != 0  # else torch leaves the buffer alone
        steps = values.first + np.arange(len(values.lr))[:, None]
        whole = steps == values.begun  # the first gradient is taken whole
        share = 1 - np.tile(self._dampening, len(values.begun) // len(self._dampening))
        take = np.where(used, np.where(whole, 1.0, share), 0.0)
        return [-values.lr, values.weight_decay, values.momentum, np.where(used, values.momentum, 1.0), take]

    def step(self, p: Tensor, grad: Tensor, *numbers: Tensor) -> None:
        minus_lr, weight_decay, momentum, keep, take = numbers
        if self._maximize:
            grad.neg_()
        if self._traits.weight_decay:
            grad.addcmul_(p, weight_decay)
        if self._traits.momentum:
            buffer = self.state["momentum_buffer"].mul_(keep).addcmul_(grad, take)
            if self._nesterov:
                grad.addcmul_(buffer, momentum)
            else:
                grad = buffer if self._traits.always_momentum else torch.where(momentum != 0, buffer, grad)
        p.addcmul_(grad, minus_lr)


class FlatAdam:
    """torch.optim.Adam and AdamW."""

    numbers = 7

    def __init__(self, runs: Sequence[Adam | AdamW], like: Tensor, traits: OptimizerTraits) -> None:
        self._traits, self._amsgrad, self._maximize = traits, runs[0].amsgrad, runs[0].maximize
        self._decoupled = isinstance(runs[0], AdamW) or runs[0].decoupled_weight_decay
        self._beta2, self._eps = (np.array(values) for values in zip(*((r.betas[1], r.eps) for r in runs), strict=True))
        names = ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if self._amsgrad else []))
        self.state = {name: torch.zeros_like(like) for name in names}

    def numbers_of(self, values: StepValues) -> list[Floats]:
        steps = values.first + 1 + np.arange(len(values.lr))[:, None]
        beta2, eps = (
            np.broadcast_to(np.tile(own, values.lr.shape[1] // len(own)), values.lr.shape)
            for own in (self._beta2, self._eps)
        )
        decay = 1 - values.lr * values.weight_decay if self._decoupled else values.weight_decay
        size = -values.lr / (1 - values.momentum**steps)
        return [decay, 1 - values.momentum, beta2, 1 - beta2, np.sqrt(1 - beta2**steps), eps, size]

    def step(self, p: Tensor, grad: Tensor, *numbers: Tensor) -> None:
        decay, share, beta2, rest, correction, eps, size = numbers
        if self._maximize:
            grad.neg_()
        if self._traits.weight_decay and self._decoupled:
            p.mul_(decay)
        elif self._traits.weight_decay:
            grad.addcmul_(p, decay)
        mean = self.state["exp_avg"].lerp_(grad, share)
        square = self.state["exp_avg_sq"].mul_(beta2).addcmul_(grad * rest, grad)
        if self._amsgrad:
            square = torch.maximum(self.state["max_exp_avg_sq"], square, out=self.state["max_exp_avg_sq"])
        root = square.sqrt().div_(correction).add_(eps)
        p.addcmul_(mean / root, size)


FLAT_OPTIMIZERS: dict[
    type[Optimizer], tuple[Any, tuple[str, ...]]
] = {  # the class, and the flags that all runs must share
    SGD: (FlatSGD, ("nesterov", "maximize")),
    Adam: (FlatAdam, ("amsgrad", "maximize", "decoupled_weight_decay")),
    AdamW: (FlatAdam, ("amsgrad", "maximize")),
}
