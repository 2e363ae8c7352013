"""Optimizers over the parameters of several runs in one flat tensor, each element with its own run's numbers.

A cell is a parameter group of a run: what shares a rate, a momentum and a weight decay. Numbers are kept for cells, in
float64 on the device, and spread to the elements when they are used. Torch's arithmetic in torch's order.

Letters in shapes: p elements of all parameters of all runs, k cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from lrcore.optimizers import Optimizer
from lrcore.optimizers.adam import Adam
from lrcore.optimizers.adamw import AdamW
from lrcore.optimizers.sgd import SGD


class Numbers(NamedTuple):
    """Of each cell in a step, (k,) float64; momentum is beta1 where the optimizer has that."""

    lr: Tensor
    momentum: Tensor
    weight_decay: Tensor


@dataclass(frozen=True)
class Cells:
    """Which cell each element belongs to.

    Attributes:
        count: how many there are.
        owner: (p,) int32 on the device.
    """

    count: int
    owner: Tensor

    def spread(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """(k,) to (p,), or to (1,) if all elements share a cell."""
        return values.to(dtype) if self.count == 1 else values.to(dtype).index_select(0, self.owner)


@dataclass(frozen=True)
class Habits:
    """What is never needed in any run and step can be left out.

    Attributes:
        momentum: whether it is ever above 0.
        always_momentum: whether it always is.
        weight_decay: whether it is ever above 0.
    """

    momentum: bool
    always_momentum: bool
    weight_decay: bool


class Rule(Protocol):
    """An optimizer.

    Attributes:
        elements: its state for each element by torch's names, each (p,).
        cells: its state for each cell, each (k,).
    """

    elements: dict[str, Tensor]
    cells: dict[str, Tensor]

    def step(self, p: Tensor, grad: Tensor, now: Numbers) -> None:
        """Update p (p,) in place; grad (p,) is used up."""
        ...


class SGDRule:
    """torch.optim.SGD."""

    def __init__(self, runs: Sequence[SGD], like: Tensor, cells: Cells, habits: Habits) -> None:
        self._cells, self._habits = cells, habits
        self._nesterov, self._maximize = runs[0].nesterov, runs[0].maximize
        self._share = 1 - _of_cells([run.dampening for run in runs], cells, like.device)
        self.elements, self.cells = dict[str, Tensor](), dict[str, Tensor]()
        if habits.momentum:
            self.elements["momentum_buffer"] = torch.zeros_like(like)
            self.cells["begun"] = torch.zeros(cells.count, dtype=torch.float64, device=like.device)

    def step(self, p: Tensor, grad: Tensor, now: Numbers) -> None:
        if self._maximize:
            grad.neg_()
        if self._habits.weight_decay:
            grad.addcmul_(p, self._cells.spread(now.weight_decay, p.dtype))
        if self._habits.momentum:
            grad = self._with_momentum(grad, now.momentum)
        p.addcmul_(grad, self._cells.spread(-now.lr, p.dtype))

    def _with_momentum(self, grad: Tensor, momentum: Tensor) -> Tensor:
        buffer, begun = self.elements["momentum_buffer"], self.cells["begun"]
        used = momentum != 0  # else torch leaves the buffer alone
        keep = torch.where(used, momentum, 1.0)
        take = torch.where(used, torch.where(begun != 0, self._share, 1.0), 0.0)  # the first is taken whole
        buffer.mul_(self._cells.spread(keep, grad.dtype)).addcmul_(grad, self._cells.spread(take, grad.dtype))
        begun.copy_(torch.where(used, 1.0, begun))
        if self._nesterov:
            return grad.addcmul_(buffer, self._cells.spread(momentum, grad.dtype))
        if self._habits.always_momentum:
            return buffer
        return torch.where(self._cells.spread(used, torch.bool), buffer, grad)


class AdamRule:
    """torch.optim.Adam and AdamW."""

    def __init__(self, runs: Sequence[Adam | AdamW], like: Tensor, cells: Cells, habits: Habits) -> None:
        self._cells, self._habits = cells, habits
        self._amsgrad, self._maximize = runs[0].amsgrad, runs[0].maximize
        self._decoupled = isinstance(runs[0], AdamW) or runs[0].decoupled_weight_decay
        self._beta2 = _of_cells([run.betas[1] for run in runs], cells, like.device)
        self._eps = _of_cells([run.eps for run in runs], cells, like.device)
        names = ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if self._amsgrad else []))
        self.elements = {name: torch.zeros_like(like) for name in names}
        self.cells = {"step": torch.zeros(cells.count, dtype=torch.float64, device=like.device)}

    def step(self, p: Tensor, grad: Tensor, now: Numbers) -> None:
        spread, dtype, t = self._cells.spread, p.dtype, self.cells["step"]
        t.add_(1)
        if self._maximize:
            grad.neg_()
        if self._habits.weight_decay and self._decoupled:
            p.mul_(spread(1 - now.lr * now.weight_decay, dtype))
        elif self._habits.weight_decay:
            grad.addcmul_(p, spread(now.weight_decay, dtype))
        mean, square = self.elements["exp_avg"], self.elements["exp_avg_sq"]
        mean.lerp_(grad, spread(1 - now.momentum, dtype))
        square.mul_(spread(self._beta2, dtype)).addcmul_(grad * spread(1 - self._beta2, dtype), grad)
        if self._amsgrad:
            square = torch.maximum(self.elements["max_exp_avg_sq"], square, out=self.elements["max_exp_avg_sq"])
        root = square.sqrt().div_(spread((1 - self._beta2**t).sqrt(), dtype)).add_(spread(self._eps, dtype))
        p.addcmul_(mean / root, spread(-now.lr / (1 - now.momentum**t), dtype))


RULES: dict[type[Optimizer], tuple[Any, tuple[str, ...]]] = {  # the rule, and the flags that all runs must share
    SGD: (SGDRule, ("nesterov", "maximize")),
    Adam: (AdamRule, ("amsgrad", "maximize", "decoupled_weight_decay")),
    AdamW: (AdamRule, ("amsgrad", "maximize")),
}


def _of_cells(values: list[float], cells: Cells, device: torch.device) -> Tensor:
    """A number of each run, for its cells: a group's are beside each other, one a run."""
    return torch.tensor(values, dtype=torch.float64, device=device).repeat(cells.count // len(values))
