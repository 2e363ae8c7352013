"""What a caller passes to a training, and what it gets back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from lrcore.jobs.job import Best, Epoch

RUNNING = 50  # steps that the running loss and accuracy are taken over


class Interrupted(Exception):
    """The run was asked to stop between two steps."""


class Diverged(Exception):
    """A loss is no longer a finite number, so that nothing can be learnt any more."""


@dataclass(frozen=True)
class Hooks:
    """Callbacks of the caller. All must return at once.

    Attributes:
        step: called before the first and after each optimizer step with the number of steps done.
        running: called every RUNNING steps with the steps done, and mean loss and accuracy over that many.
        losses: called when an epoch's steps are done, before the test pass, with its number and the loss of each.
        epoch: called after each epoch with its figures and the best epoch so far; for a resumed run,
            also for the epochs before.
        stop: asked before each step and each batch of a test pass; True raises Interrupted. Also asked before a
            checkpoint takes its place, for what it raises: the files may be another process's by now.
        saved: called after each checkpoint that was written.
        preparing: entered while the data are loaded and the model is made, where nobody asks `stop`; may raise
            Interrupted from inside.
        ended: called with the outcome of the run, as soon as that is known; its last checkpoint and its weights are
            written after that.
    """

    step: Callable[[int], None] = lambda step: None
    running: Callable[[int, float, float], None] = lambda step, loss, accuracy: None
    losses: Callable[[int, list[float]], None] = lambda epoch, losses: None
    epoch: Callable[[Epoch, Best], None] = lambda epoch, best: None
    stop: Callable[[], bool] = lambda: False
    saved: Callable[[], None] = lambda: None
    preparing: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
    ended: Callable[[object], None] = lambda outcome: None


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        epochs: all of its epochs.
        best: the best of them.
        model: the model after the last epoch; with ema_decay, the averaged one.
        best_weights: its state_dict after the best epoch.
        together: how many runs were trained side by side, this one counted.
        alone: why it was trained alone although there were others.
    """

    epochs: list[Epoch]
    best: Best
    model: nn.Module
    best_weights: dict[str, Tensor]
    together: int = 1
    alone: str | None = None


Outcome = Result | Exception
