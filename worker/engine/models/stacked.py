"""Several runs as one stacked network: what is done in a step and in a test pass. Knows nothing of epochs and reports.

All that changes from step to step is read on the device, and nothing is read back from it: a step can be captured.

Letters in shapes: r runs, n images of an epoch, b images of a batch, p elements of all trained parameters of all runs,
g parameter groups of a run, k = g * r cells: a group's are beside each other, one a run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..data import Batch, Data
from ..optim import parameter_groups
from .base import Models, ModelSetup, Parts, autocast, exact
from .flat_optimizers import FLAT_OPTIMIZERS, FlatOptimizer, Floats, OptimizerTraits, StepValues
from .graph import Captured
from .stacked_layers import memory_order, model_order, stack_modules


class StackedModels(Models):
    """The device's side of some runs."""

    def __init__(self, members: Sequence[ModelSetup], data: Data, device: torch.device) -> None:
        super().__init__(members, stack_modules([member.model for member in members]), data, device)
        self._flatten()
        runs, steps, dtype = len(members), self.spec.steps_per_epoch, self.losses.dtype
        self._numbers = torch.zeros((steps, self._optimizer.numbers, self._cells), dtype=dtype, device=device)
        self._cursor = torch.zeros(1, dtype=torch.int64, device=device)
        self._places = torch.arange(self.spec.batch_size * runs, device=device)
        limits = [member.spec.max_grad_norm or math.inf for member in members]
        self._limits = torch.tensor(limits, dtype=dtype, device=device) if min(limits) < math.inf else None
        captures = device.type == "cuda" and self._at_cursor(self._sizes[0])
        self._captured = Captured(device) if captures else None

    def _flatten(self) -> None:
        """Put all trained parameters into one tensor, and make the optimizer for it."""
        runs = len(self.members)
        self._parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        places = [_places(member) for member in self.members]
        self._groups = list(dict.fromkeys(tuple(place[name] for place in places) for name in self._parameters))
        self._flat = torch.cat([memory_order(p.detach()).flatten() for p in self._parameters.values()])
        owners, begin = [], 0
        for name, p in self._parameters.items():
            p.data = self._block(self._flat, begin, p)
            group = self._groups.index(tuple(place[name] for place in places))
            owners.append((group * runs + torch.arange(runs)).repeat_interleave(p.numel() // runs))
            begin += p.numel()
        self._cells = len(self._groups) * runs
        self._owner = torch.cat(owners).to(self.device, torch.int32)  # (p,), the cell of each
        make, _ = FLAT_OPTIMIZERS[type(self.spec.optimizer)]
        self._optimizer: FlatOptimizer = make(
            [member.spec.optimizer for member in self.members], self._flat, self._traits()
        )

    @staticmethod
    def _block(flat: Tensor, begin: int, like: Tensor) -> Tensor:
        return model_order(flat[begin : begin + like.numel()].view(memory_order(like).shape))

    def _traits(self) -> OptimizerTraits:
        tables = [member.scheduled.tables() for member in self.members]
        momenta, decays = [table[1] for table in tables], [table[2] for table in tables]
        return OptimizerTraits(
            momentum=any((values > 0).any() for values in momenta),
            always_momentum=all((values > 0).all() for values in momenta),
            weight_decay=any((values > 0).any() for values in decays),
        )

    def begin(self, epoch: int, step: int) -> None:
        super().begin(epoch, step)
        self._numbers.copy_(torch.from_numpy(self._numbers_of(epoch)))
        self._cursor.fill_(step)

    def _numbers_of(self, epoch: int) -> Floats:
        """What the optimizer takes for each cell in each step of the epoch, (steps, numbers, k)."""
        steps, runs = self.spec.steps_per_epoch, len(self.members)
        length = steps if self.spec.interval == "step" else 1
        found, begun = np.empty((3, steps, self._cells)), np.empty(self._cells, dtype=np.int64)
        for i, member in enumerate(self.members):
            tables = member.scheduled.tables()
            first = (tables[1] != 0).argmax(axis=0) * (steps // length)
            for j, group in enumerate(self._groups):
                column, scale, decays = group[i]
                begun[j * runs + i] = first[column]
                for table, factor, values in zip(tables, (scale, 1.0, float(decays)), found, strict=True):
                    part = table if len(table) == 1 else table[epoch * length : (epoch + 1) * length]
                    values[:, j * runs + i] = part[:, column] * factor
        return np.stack(
            self._optimizer.numbers_of(StepValues(epoch * steps, found[0], found[1], found[2], begun)), axis=1
        )

    def _at_cursor(self, size: int) -> bool:
        """Whether a step over so many images is like most others."""
        whole = size == self.spec.batch_size and self.spec.micro_batch_size is None
        return whole and self.data.training.resident

    def advance(self, step: int, *, first: bool) -> None:
        if not self._at_cursor(self._sizes[step]):
            self._step(self._pieces_of(step), self._sizes[step], first=first)
        elif not (self._captured and self._captured.replay(self._whole_step)):
            self._whole_step(first=first)

    def _whole_step(self, *, first: bool = False) -> None:
        """What is captured: the step at the cursor."""
        places = self._cursor * len(self._places) + self._places
        self._step([self.data.training.batch(self._order, places, self._plan)], self.spec.batch_size, first=first)

    def _beside_each_other(self, batch: Batch) -> Batch:
        """Images (b * r, c, h, w) and labels (b * r,) as the stacked network takes them: (b, r * c, h, w), (r, b)."""
        images, labels = batch
        runs = len(self.members)
        if runs > 1:
            pixels = images.permute(0, 2, 3, 1).view(-1, runs, *images.shape[2:], images.shape[1])  # (b, r, h, w, c)
            images = pixels.permute(0, 2, 3, 1, 4).flatten(3).permute(0, 3, 1, 2)
        return images, labels.view(-1, runs).t()

    def _step(self, batches: Iterable[Batch], size: int, *, first: bool) -> None:
        """Loss, hits and update of a batch, a piece at a time. The cursor then moves on."""
        found = [self._gradients(*self._beside_each_other(batch), size) for batch in batches]
        self.losses.index_copy_(0, self._cursor, torch.stack([loss for loss, _, _ in found]).sum(0, keepdim=True))
        self.hits.index_copy_(0, self._cursor, torch.stack([hits for _, hits, _ in found]).sum(0, keepdim=True))
        grads = list(found[0][2])
        for _, _, more in found[1:]:
            torch._foreach_add_(grads, more)
        self._update(grads)
        if self.average:
            self.average.update(first=first)
        self._cursor.add_(1)

    def _gradients(self, images: Tensor, labels: Tensor, size: int) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Loss and hits of each run over a piece of a batch of that size, and the gradients."""
        with autocast(self.spec, self.device):
            logits = self.model(images)  # (r, b, classes)
        smoothing = self.spec.label_smoothing
        flat = exact(self.spec, logits).flatten(0, 1)
        losses = F.cross_entropy(flat, labels.flatten(), reduction="none", label_smoothing=smoothing)
        loss = losses.view(labels.shape).sum(1) / size
        grads = torch.autograd.grad(loss.sum(), list(self._parameters.values()))
        return loss.detach(), (logits.detach().argmax(2) == labels).sum(1), grads

    @torch.no_grad()
    def _update(self, grads: list[Tensor]) -> None:
        grad = torch.cat([memory_order(g).flatten() for g in grads])
        if self._limits is not None:
            norms = [torch.linalg.vector_norm(g, dim=tuple(range(1, g.ndim))) for g in grads]
            norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
            factor = torch.where(self._limits.isinf(), 1.0, (self._limits / (norm + 1e-6)).clamp(max=1.0))
            grad.mul_(self._spread(factor.repeat(len(self._groups))[None])[0])
        self._optimizer.step(self._flat, grad, *self._spread(self._numbers.index_select(0, self._cursor)[0]))

    def _spread(self, values: Tensor) -> Tensor:
        """Numbers of the cells, (m, k), as numbers of the elements, (m, p); (m, 1) if there is but one cell."""
        return values if self._cells == 1 else values.index_select(1, self._owner)

    @torch.no_grad()
    def test(self, images: Tensor, labels: Tensor) -> None:
        runs = len(self.members)
        if runs > 1:
            images = images.repeat(1, runs, 1, 1).contiguous(memory_format=torch.channels_last)
        with autocast(self.spec, self.device):
            logits = self.evaluated(images)
        labels = labels.expand(runs, -1)
        loss = F.cross_entropy(exact(self.spec, logits).flatten(0, 1), labels.flatten(), reduction="none")
        total, hits = self._tested
        total += loss.view(runs, -1).sum(1)
        hits += (logits.argmax(2) == labels).sum(1)

    def weights(self, row: int) -> dict[str, Tensor]:
        return {name: tensor[row] for name, tensor in self.evaluated.state_dict().items()}

    def state(self, row: int) -> Parts:
        return {part: {name: t[row] for name, t in named.items()} for part, named in self._stacked().items()}

    def load(self, row: int, state: Parts) -> None:
        for part, named in self._stacked().items():
            for name, tensor in named.items():
                tensor[row].copy_(state[part][name])

    def _stacked(self) -> Parts:
        """All that changes in training, each tensor with the runs first."""
        optimizer, begin = {}, 0
        for name, p in self._parameters.items():
            for key, flat in self._optimizer.state.items():
                optimizer[f"{name}.{key}"] = self._block(flat, begin, p)
            begin += p.numel()
        parts = {"model": self.model.state_dict(), "optimizer": optimizer}
        if self.average:
            parts["average"] = self.average.model.state_dict()
        parts["epoch"] = {"losses": self.losses.t(), "hits": self.hits.t()}
        return parts


Place = tuple[int, float, bool]  # column, scale, and whether weight decay acts


def _places(member: ModelSetup) -> dict[str, Place]:
    """Where the trained parameters of a run belong, by name. Raises SpecError as parameter_groups does."""
    names = {parameter: name for name, parameter in member.model.named_parameters()}
    return {
        names[parameter]: (group["column"], group["scale"] * member.factors[group["column"]], group["decays"])
        for group in parameter_groups(member.model, member.spec.optimizer)
        for parameter in group["params"]
    }
