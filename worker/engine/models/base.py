"""The model of a run as it is trained, and what a trainer asks of the device's side of runs."""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lrcore.errors import SpecError
from lrcore.jobs.training_spec import TrainingSpec

from ..data import DTYPES, Batch, Data, Plan, epoch_pieces, permutation, side_by_side, sizes_of, update_in_place
from ..optim import Average, Scheduled, freeze

Figures = tuple[float, float]  # mean loss and accuracy
Parts = dict[str, dict[str, Tensor]]  # of what a run needs to go on: tensors by name


@dataclass(frozen=True)
class ModelSetup:
    """What the device's side needs of a run.

    Attributes:
        model: as it is before its first step. A SingleModel trains it in place, StackedModels copy it.
        ratios: what each of the optimizer's columns has its scheduled rate multiplied by; None: nothing.
    """

    spec: TrainingSpec
    scheduled: Scheduled
    model: nn.Module
    ratios: Sequence[float] | None = None

    @property
    def factors(self) -> Sequence[float]:
        """The ratios, one for each column."""
        return self.ratios or [1.0] * len(self.spec.optimizer.base_lrs)


class Models(ABC):
    """The device's side of r runs, all of which stand at the same step.

    Args:
        members: the runs.
        model: of all of them.

    Attributes:
        evaluated: the model that is evaluated and kept: the averaged one, if there is one.
        losses, hits: (steps, r) of the epoch's steps so far: mean over the batch, and how many were right.
    """

    def __init__(self, members: Sequence[ModelSetup], model: nn.Module, data: Data, device: torch.device) -> None:
        self.members, self.model, self.data, self.device = members, model, data, device
        self.spec = spec = members[0].spec
        self.average = Average(model, copied(model), spec.ema_decay) if spec.ema_decay else None
        self.evaluated = self.average.model if self.average else model
        runs, steps = len(members), spec.steps_per_epoch
        self.losses = torch.zeros((steps, runs), dtype=DTYPES[spec.precision], device=device)
        self.hits = torch.zeros((steps, runs), dtype=torch.int64, device=device)
        self._tested = torch.zeros(runs, dtype=torch.float64, device=device), torch.zeros_like(self.hits[0])
        self._sizes = sizes_of(spec)
        self._pieces = [[slice(at.start * runs, at.stop * runs) for at in batch] for batch in epoch_pieces(spec)]
        self._order = torch.zeros(len(data.training) * runs, dtype=torch.int64, device=device)
        self._plan: Plan | None = None
        self._batches: Iterator[Batch] = iter(())

    def begin(self, epoch: int, step: int) -> None:
        """Lay out the epoch's orders, plans and rates, in the memory that a graph reads, and stand before `step`."""
        training, seeds = self.data.training, [member.spec.seed for member in self.members]
        orders = np.stack([permutation(len(training), seed, epoch) for seed in seeds], axis=1)
        self._order.copy_(torch.from_numpy(orders).flatten())
        plans = [training.transform.plan(len(training), seed, epoch, self.device) for seed in seeds]
        self._plan = update_in_place(self._plan, side_by_side(plans))
        self.model.train()
        if not training.resident:
            pieces = [piece for batch in self._pieces[step:] for piece in batch]
            self._batches = training.batches(self._order, pieces, self._plan)

    def _pieces_of(self, step: int) -> Iterator[Batch]:
        """The batch of a step, a piece at a time: that of each run beside the others', image by image."""
        training = self.data.training
        for piece in self._pieces[step]:
            yield training.batch(self._order, piece, self._plan) if training.resident else next(self._batches)

    @abstractmethod
    def advance(self, step: int, *, first: bool) -> None:
        """Do the epoch's step, the runs' very first one or another."""

    def begin_test(self) -> None:
        """Stand before a test pass."""
        self._batches = iter(())  # with its threads and images
        self.evaluated.eval()
        for total in self._tested:
            total.zero_()

    @abstractmethod
    def test(self, images: Tensor, labels: Tensor) -> None:
        """Take in a batch of a test pass, the same for all runs: (b, c, h, w), (b,)."""

    def tested(self, n: int) -> list[Figures]:
        """Return mean cross-entropy and accuracy of each run over the n images of the test pass."""
        total, hits = (values.tolist() for values in self._tested)  # sync point
        return [(loss / n, right / n) for loss, right in zip(total, hits, strict=True)]

    @abstractmethod
    def weights(self, row: int) -> dict[str, Tensor]:
        """Return what a run's own model would have as state_dict, for evaluation; views."""

    @abstractmethod
    def state(self, row: int) -> Parts:
        """Return everything a run needs to go on, in models of the same kind; views."""

    @abstractmethod
    def load(self, row: int, state: Parts) -> None:
        """Put back what `state` gave."""


def autocast(spec: TrainingSpec, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """What the model is called in."""
    if spec.precision != "bfloat16":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def exact(spec: TrainingSpec, logits: Tensor) -> Tensor:
    """Logits as the loss is computed from them."""
    return logits.float() if spec.precision == "bfloat16" else logits


def built(spec: TrainingSpec, device: torch.device) -> nn.Module:
    """The job's model as it is trained: on the device, in channels_last. Draws from torch's global generator."""
    model = spec.model.build(spec.dataset.image_shape, spec.dataset.num_classes)
    model.to(device, DTYPES[spec.precision], memory_format=torch.channels_last)  # type: ignore[call-overload]
    freeze(model, spec.model.freeze)
    return model


def check_pieces(spec: TrainingSpec, model: nn.Module, pieces: list[list[slice]]) -> None:
    """Refuse a batch of one image for a model that normalizes over the batch, before it comes. Raises SpecError."""
    if not any(piece.stop - piece.start == 1 for batch in pieces for piece in batch):
        return
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
        images = next(model.parameters()).new_zeros((1, *spec.dataset.image_shape))
        refusal = None
        try:
            with torch.no_grad():
                copied(model).train()(images)
        except ValueError as error:
            refusal = str(error)
        if refusal:  # raised here, it does not hold the other error, whose frames hold the model
            last = pieces[-1]
            field = "batch_size" if last[-1].stop - last[0].start == 1 else "micro_batch_size"
            message = f"{field}: a piece of one image cannot be normalized; another size or drop_last would do"
            raise SpecError(f"{message} ({refusal})")


def copied(model: nn.Module) -> nn.Module:
    """A copy with its own weights."""
    copy_of_it = copy.deepcopy(model)
    for module in copy_of_it.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()  # cuDNN wants them in one piece, which a copy is not
    return copy_of_it
