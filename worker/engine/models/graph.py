"""A whole optimizer step as one CUDA graph: batch, forward, backward, update and bookkeeping in a single launch.

Small networks on a large GPU are bound by launches, not by arithmetic. All that changes from step to step is read on
the device: the place in the epoch from a counter, the images by the epoch's order, the rates from a table.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lrcore.jobs.training_spec import TrainingSpec

from ..data import Split

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
    """A step that is captured once it is warm, and replayed from then on."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._graph: torch.cuda.CUDAGraph | None = None
        self._seen, self._broken = 0, False

    def replay(self, step: Callable[[], None], forget: Callable[[], None] = lambda: None) -> bool:
        """Do the step. False if it cannot be done so, because it is not warm yet or cannot be captured.

        Args:
            step: does the same thing to the same memory each time it is called; the same in every call of this.
            forget: drops the gradients, so that the capture makes them in the graph's own memory.
        """
        if self._broken:
            return False
        self._seen += 1
        if self._seen <= WARM_UP or not (self._graph or self._capture(step, forget)):
            return False
        assert self._graph is not None
        self._graph.replay()
        return True

    def _capture(self, step: Callable[[], None], forget: Callable[[], None]) -> bool:
        graph, device = torch.cuda.CUDAGraph(), self._device
        stream, random = torch.cuda.current_stream(device), torch.cuda.get_rng_state(device)
        forget()
        try:
            with torch.cuda.graph(graph):
                step()
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:  # some module waits for the device, which no graph can hold
            torch.cuda.set_stream(stream)  # torch leaves the capture's own one in place
            torch.cuda.set_rng_state(random, device)
            forget()
            graph.reset()
            warnings.warn(f"the step cannot be captured, training goes on without a graph: {error}", stacklevel=2)
            self._broken = True
            return False
        self._graph = graph
        return True


class GraphedStep:
    """What a captured step of one run reads from the device: its place in the epoch, and the rates there.

    Attributes:
        cursor: (1,) int64, the step of the epoch. Whoever makes a step moves it on.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer], spec: TrainingSpec, device: torch.device) -> None:
        self._captured, self._next = Captured(device), 0
        self.cursor = torch.zeros(1, dtype=torch.int64, device=device)
        self._batch = torch.arange(spec.batch_size, device=device)
        self._groups: list[dict[str, Any]] = [g for optimizer in optimizers for g in optimizer.param_groups]
        for optimizer in optimizers:  # or torch warns in the warm-up
            optimizer._warned_capturable_if_run_uncaptured = True
        for group in self._groups:
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float32, device=device)
        self._rates = torch.zeros((spec.steps_per_epoch, len(self._groups)), device=device)

    def begin(self, columns: Sequence[Sequence[float]]) -> None:
        """Bring an epoch's rates to the device: of each step those of the optimizer's columns."""
        rates = [[row[group["column"]] * group["scale"] for group in self._groups] for row in columns]
        self._rates.copy_(torch.tensor(rates, dtype=torch.float32))
        self.cursor.zero_()
        self._next = 0

    def replay(self, step: int, whole_step: Callable[[], None], forget: Callable[[], None]) -> bool:
        """Do the epoch's step `step`, as of Captured.replay. False if it cannot be done so."""
        if self._next != step:
            self.cursor.fill_(step)
            self._next = step
        if not self._captured.replay(whole_step, forget):
            return False
        self._next = step + 1
        return True

    def write(self) -> None:
        """Put the rates of the step at the cursor into torch's groups."""
        rates: Tensor = self._rates[self.cursor][0]
        for i, group in enumerate(self._groups):
            group["lr"].copy_(rates[i])

    def places(self) -> Tensor:
        """Return where in the epoch's order the images of the step at the cursor are, (b,)."""
        return self.cursor * len(self._batch) + self._batch
