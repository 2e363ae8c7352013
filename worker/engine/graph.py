"""A whole optimizer step as one CUDA graph: batch, forward, backward, update and bookkeeping in a single launch.

Small networks on a large GPU are bound by launches, not by arithmetic. All that changes from step to step is read on
the device: the place in the epoch from a counter, the images by the epoch's order, the rates from a table.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lrcore.jobs.training_spec import TrainingSpec

from .data import Split

if TYPE_CHECKING:
    from .trainer import Trainer

WARM_UP = 3  # real steps before the capture, in which cuDNN chooses and the optimizer makes its state


def can_capture(spec: TrainingSpec, training: Split) -> bool:
    """Whether every step of the job does the same thing to the same memory."""
    # momentum and weight decay are numbers in the kernels' arguments
    numbers_change = spec.rate_schedule.cycles_momentum or spec.momentum_schedule or spec.weight_decay_schedule
    return (
        training.labels.device.type == "cuda"
        and training.resident
        and spec.optimizer.capturable
        and spec.precision != "float64"  # the kernels take a rate on the device as float32
        and spec.micro_batch_size is None
        and not numbers_change
        and len(training) >= spec.batch_size
    )


class Captured:
    """A step that is captured once it is warm, and replayed from then on.

    Args:
        step: does the same thing to the same memory each time it is called.
        forget: drops the gradients, so that the capture makes them in the graph's own memory.
    """

    def __init__(self, step: Callable[[], None], forget: Callable[[], None], device: torch.device) -> None:
        self._step, self._forget, self._device = step, forget, device
        self._graph: torch.cuda.CUDAGraph | None = None
        self._seen, self._broken = 0, False

    def replay(self) -> bool:
        """Do the step. False if it cannot be done so, because it is not warm yet or cannot be captured."""
        if self._broken:
            return False
        self._seen += 1
        if self._seen <= WARM_UP or not (self._graph or self._capture()):
            return False
        assert self._graph is not None
        self._graph.replay()
        return True

    def _capture(self) -> bool:
        graph, device = torch.cuda.CUDAGraph(), self._device
        stream, random = torch.cuda.current_stream(device), torch.cuda.get_rng_state(device)
        self._forget()
        try:
            with torch.cuda.graph(graph):
                self._step()
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:  # some module waits for the device, which no graph can hold
            torch.cuda.set_stream(stream)  # torch leaves the capture's own one in place
            torch.cuda.set_rng_state(random, device)
            self._forget()
            graph.reset()
            warnings.warn(f"the step cannot be captured, training goes on without a graph: {error}", stacklevel=2)
            self._broken = True
            return False
        self._graph = graph
        return True


class GraphedStep:
    """Captures a step of the run once it is warm, and replays it for every full batch."""

    def __init__(self, run: Trainer) -> None:
        self._run = run
        self._captured, self._next = Captured(self.step, run.zero_grad, run.device), 0
        self._cursor = torch.zeros(1, dtype=torch.int64, device=run.device)
        self._places = torch.arange(run.spec.batch_size, device=run.device)
        self._groups: list[dict[str, Any]] = [g for optimizer in run.optimizers for g in optimizer.param_groups]
        for optimizer in run.optimizers:  # or torch warns in the warm-up
            optimizer._warned_capturable_if_run_uncaptured = True
        for group in self._groups:
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=run.device)
        self._rates = torch.zeros((run.spec.steps_per_epoch, len(self._groups)), device=run.device)

    def begin(self, epoch: int) -> None:
        """Bring the epoch's rates to the device."""
        steps = self._run.spec.steps_per_epoch
        columns, scales = [g["column"] for g in self._groups], [g["scale"] for g in self._groups]
        rows = [self._run.scheduled.lr(epoch, total) for total in range(epoch * steps, (epoch + 1) * steps)]
        rates = [[row[column] * scale for column, scale in zip(columns, scales, strict=True)] for row in rows]
        self._rates.copy_(torch.tensor(rates, dtype=torch.float32))
        self._cursor.zero_()
        self._next = 0

    def replay(self, step: int) -> bool:
        """Do the epoch's step `step`. False if it cannot be done so: not warm yet, or not a full batch."""
        run = self._run
        if (step + 1) * run.spec.batch_size > len(run.data.training):
            return False
        if self._next != step:
            self._cursor.fill_(step)
            self._next = step
        if not self._captured.replay():
            return False
        self._next = step + 1
        return True

    def step(self, *, first: bool = False) -> None:
        """What is captured: the step at the cursor, which then moves on. All tensors stay where they are."""
        run, cursor = self._run, self._cursor
        rates: Tensor = self._rates[cursor][0]
        for i, group in enumerate(self._groups):
            group["lr"].copy_(rates[i])
        places = cursor * run.spec.batch_size + self._places
        images, labels = run.data.training.batch(run.order, places, run.plan)
        loss, hits = run.forward_backward(images, labels, 1.0)
        run.losses.index_copy_(0, cursor, loss.view(1))
        run.hits.index_copy_(0, cursor, hits.view(1))
        run.update(first=first)
        cursor.add_(1)
