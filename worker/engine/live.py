"""Running figures between two epochs, without a step that waits for the device."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor

from .hooks import RUNNING

AHEAD = 64  # steps that may wait in a GPU's queue, so that a stop and the progress are no further away


class Running(NamedTuple):
    """Figures of the last RUNNING steps of r runs.

    Attributes:
        step: the last of them, counted in its epoch.
        done: steps of the run up to then.
        losses, hits: (RUNNING, r), in main memory.
    """

    step: int
    done: int
    losses: Tensor
    hits: Tensor


class Live:
    """The running figures, and a bound on how far a GPU's queue runs ahead. Waits for nothing else."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._waiting: deque[tuple[Running, torch.cuda.Event | None]] = deque()
        self._events: deque[torch.cuda.Event] = deque()

    def after(self, step: int, done: int, losses: Tensor, hits: Tensor) -> list[Running]:
        """Note that the epoch's step `step` was queued; `losses` and `hits` are those of the epoch, (steps, r).

        Returns the figures of this step and of earlier ones that have arrived meanwhile.
        """
        if (step + 1) % RUNNING == 0:
            part = slice(step + 1 - RUNNING, step + 1)
            last = (values[part].to("cpu", non_blocking=True) for values in (losses, hits))
            self._waiting.append((Running(step, done, *last), self._mark()))
        if self._on_gpu and (step + 1) % (AHEAD // 2) == 0:
            event = self._mark()
            assert event is not None
            self._events.append(event)
            if len(self._events) > 2:
                self._events.popleft().synchronize()
        found = []
        while self._waiting and self._over(self._waiting[0][1]):
            found.append(self._waiting.popleft()[0])
        return found

    def rest(self) -> list[Running]:
        """Return what is left, once the device has done everything."""
        found = [running for running, _ in self._waiting]
        self._waiting.clear()
        return found

    @staticmethod
    def _over(event: torch.cuda.Event | None) -> bool:
        return event is None or bool(event.query())  # type: ignore[no-untyped-call]

    def _mark(self) -> torch.cuda.Event | None:
        if not self._on_gpu:
            return None
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        return event
