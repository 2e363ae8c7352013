"""One run as a model of its own: what is done in a step and in a test pass, with torch's optimizers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrcore.optimizers import Optimizer

from ..checkpoint import load_optimizer_state, optimizer_state
from ..data import DTYPES, Data, Plan, epoch_pieces, permutation, sizes_of, update_in_place
from ..optim import Average, parameter_groups
from .base import ModelSetup, Parts, autocast, copied, exact
from .graph import GraphedStep, can_capture


class SingleModel:
    """The device's side of one run: see Models.

    Attributes:
        graph: captures the steps; None if they are made one by one.
    """

    def __init__(self, members: Sequence[ModelSetup], data: Data, device: torch.device) -> None:
        (member,) = members
        self.spec, self.data, self.device = member.spec, data, device
        self.model, self.scheduled = member.model, member.scheduled
        self._trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        graphed = can_capture(self.spec, data.training)
        implementation = implementation_of(self.spec.optimizer, device, capturable=graphed)
        self.optimizers = self.spec.optimizer.build(parameter_groups(self.model, self.spec.optimizer), **implementation)
        self.groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group in self.groups:
            group["scale"] *= member.factors[group["column"]]
        self.average = Average(self.model, copied(self.model), self.spec.ema_decay) if self.spec.ema_decay else None
        steps = self.spec.steps_per_epoch
        self.losses = torch.zeros((steps, 1), dtype=DTYPES[self.spec.precision], device=device)
        self.hits = torch.zeros((steps, 1), dtype=torch.int64, device=device)
        self._epoch, self._sizes = 0, sizes_of(self.spec)
        self._pieces = epoch_pieces(self.spec)
        self._order = torch.zeros(len(data.training), dtype=torch.int64, device=device)
        self._plan: Plan | None = None
        self._batches: Iterator[tuple[Tensor, Tensor]] = iter(())
        self.graph = GraphedStep(self.optimizers, self.spec, device) if graphed else None
        self._tested = torch.zeros((), dtype=torch.float64, device=device), torch.zeros_like(self.hits[0, 0])

    @property
    def evaluated(self) -> nn.Module:
        """The model that is evaluated and kept: the averaged one, if there is one."""
        return self.average.model if self.average else self.model

    def begin(self, epoch: int, step: int) -> None:
        training, self._epoch = self.data.training, epoch
        self._order.copy_(torch.from_numpy(permutation(len(training), self.spec.seed, epoch)))
        plan = training.transform.plan(len(training), self.spec.seed, epoch, self.device)
        self._plan = update_in_place(self._plan, plan)
        self.model.train()
        if self.graph:
            steps = range(epoch * len(self._sizes), (epoch + 1) * len(self._sizes))
            self.graph.begin([self.scheduled.lr(epoch, total) for total in steps])
        if not training.resident:
            pieces = [piece for batch in self._pieces[step:] for piece in batch]
            self._batches = training.batches(self._order, pieces, self._plan)

    def advance(self, step: int, *, first: bool) -> None:
        whole = self._sizes[step] == self.spec.batch_size
        if not (self.graph and whole and self.graph.replay(step, self.whole_step, self.zero_grad)):
            self.scheduled.write(self.groups, self._epoch, self._epoch * len(self._sizes) + step)
            self._step(step)
            self._update(first=first)

    def _step(self, step: int) -> None:
        """The gradients of one batch, a piece at a time, its loss and its hits."""
        training, size = self.data.training, self._sizes[step]
        self.zero_grad()
        for i, piece in enumerate(self._pieces[step]):
            resident = training.resident
            images, labels = training.batch(self._order, piece, self._plan) if resident else next(self._batches)
            loss, hits = self._forward_backward(images, labels, len(labels) / size)
            self.losses[step] = loss if i == 0 else self.losses[step] + loss
            self.hits[step] = hits if i == 0 else self.hits[step] + hits

    def whole_step(self, *, first: bool = False) -> None:
        """Do what is captured: the step at the graph's cursor, which then moves on. All tensors stay where they are."""
        graph = self.graph
        assert graph is not None
        graph.write()
        images, labels = self.data.training.batch(self._order, graph.places(), self._plan)
        loss, hits = self._forward_backward(images, labels, 1.0)
        self.losses.index_copy_(0, graph.cursor, loss.view(1, 1))
        self.hits.index_copy_(0, graph.cursor, hits.view(1, 1))
        self._update(first=first)
        graph.cursor.add_(1)

    def _forward_backward(self, images: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Add a piece's gradients; its loss times its share of the batch, and how many it has right."""
        with autocast(self.spec, self.device):
            logits = self.model(images)
        loss = F.cross_entropy(exact(self.spec, logits), labels, label_smoothing=self.spec.label_smoothing)
        if share != 1:
            loss = loss * share
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), (logits.detach().argmax(1) == labels).sum()

    def zero_grad(self) -> None:
        """Drop all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def _update(self, *, first: bool) -> None:
        """The optimizers' step with the gradients that are there; the run's first one, or another."""
        if self.spec.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self._trained, self.spec.max_grad_norm, foreach=True)
        for optimizer in self.optimizers:
            optimizer.step()
        if self.average:
            self.average.update(first=first)

    def begin_test(self) -> None:
        self._batches = iter(())  # with its threads and images
        self.evaluated.eval()
        for total in self._tested:
            total.zero_()

    @torch.no_grad()
    def test(self, images: Tensor, labels: Tensor) -> None:
        loss, hits = self._tested
        with autocast(self.spec, self.device):
            logits: Tensor = self.evaluated(images)
        loss += F.cross_entropy(exact(self.spec, logits), labels, reduction="sum")
        hits += (logits.argmax(1) == labels).sum()

    def tested(self, n: int) -> list[tuple[float, float]]:
        loss, hits = self._tested
        return [(loss.item() / n, hits.item() / n)]  # sync point

    def weights(self, row: int) -> dict[str, Tensor]:
        return self.evaluated.state_dict()

    def state(self, row: int) -> Parts:
        parts = {
            "model": self.model.state_dict(),
            "optimizer": optimizer_state(self.optimizers),
            "epoch": {"losses": self.losses[:, 0], "hits": self.hits[:, 0]},
            "random": {"cpu": torch.get_rng_state()},
        }
        if self.device.type == "cuda":
            parts["random"]["cuda"] = torch.cuda.get_rng_state(self.device)
        if self.average:
            parts["average"] = self.average.model.state_dict()
        return parts

    def load(self, row: int, state: Parts) -> None:
        self.model.load_state_dict(state["model"])
        load_optimizer_state(self.optimizers, state.get("optimizer", {}))
        if self.average:
            self.average.model.load_state_dict(state["average"])
        self.losses[:, 0].copy_(state["epoch"]["losses"])
        self.hits[:, 0].copy_(state["epoch"]["hits"])
        torch.set_rng_state(state["random"]["cpu"])
        if self.device.type == "cuda" and "cuda" in state["random"]:
            torch.cuda.set_rng_state(state["random"]["cuda"], self.device)


def implementation_of(optimizer: Optimizer, device: torch.device, *, capturable: bool) -> dict[str, bool]:
    """Which of torch's implementations steps: one kernel, or one over all tensors together; as part of a graph."""
    chosen = {"fused": True} if optimizer.fused and device.type == "cuda" else {"foreach": True}
    if capturable and "capturable" in inspect.signature(getattr(torch.optim, optimizer.name())).parameters:
        chosen["capturable"] = True
    return chosen
