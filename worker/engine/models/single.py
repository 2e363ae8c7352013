"""One run as a model of its own: what is done in a step and in a test pass, with torch's optimizers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrcore.optimizers import Optimizer

from ..checkpoint import load_optimizer_state, optimizer_state
from ..data import Data
from ..optim import parameter_groups
from .base import Models, ModelSetup, Parts, autocast, exact
from .graph import GraphedStep, can_capture


class SingleModel(Models):
    """The device's side of one run.

    Attributes:
        graph: captures the steps; None if they are made one by one.
    """

    def __init__(self, members: Sequence[ModelSetup], data: Data, device: torch.device) -> None:
        (member,) = members
        super().__init__(members, member.model, data, device)
        self.scheduled, optimizer = member.scheduled, self.spec.optimizer
        self._trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        graphed = can_capture(self.spec, data.training)
        implementation = implementation_of(optimizer, device, capturable=graphed)
        self.optimizers = optimizer.build(parameter_groups(self.model, optimizer), **implementation)
        self.groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group in self.groups:
            group["scale"] *= member.factors[group["column"]]
        self._epoch = 0
        self.graph = GraphedStep(self.optimizers, self.spec, device) if graphed else None

    def begin(self, epoch: int, step: int) -> None:
        super().begin(epoch, step)
        self._epoch = epoch
        if self.graph:
            steps = range(epoch * len(self._sizes), (epoch + 1) * len(self._sizes))
            self.graph.begin([self.scheduled.lr(epoch, total) for total in steps])

    def advance(self, step: int, *, first: bool) -> None:
        whole = self._sizes[step] == self.spec.batch_size
        if not (self.graph and whole and self.graph.replay(step, self.whole_step, self.zero_grad)):
            self.scheduled.write(self.groups, self._epoch, self._epoch * len(self._sizes) + step)
            self._step(step)
            self._update(first=first)

    def _step(self, step: int) -> None:
        """The gradients of one batch, a piece at a time, its loss and its hits."""
        self.zero_grad()
        for i, (images, labels) in enumerate(self._pieces_of(step)):
            loss, hits = self._forward_backward(images, labels, len(labels) / self._sizes[step])
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

    @torch.no_grad()
    def test(self, images: Tensor, labels: Tensor) -> None:
        loss, hits = self._tested
        with autocast(self.spec, self.device):
            logits: Tensor = self.evaluated(images)
        loss += F.cross_entropy(exact(self.spec, logits), labels, reduction="sum")
        hits += (logits.argmax(1) == labels).sum()

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
