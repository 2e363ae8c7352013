"""What a run has come to, epoch by epoch: its reports, the best of them, and how long it has not got better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.training_spec import TrainingSpec

from .checkpoint import Position
from .optim import Scheduled

Figures = tuple[float, float]  # mean loss and accuracy


class Diverged(Exception):
    """A loss is no longer a finite number, so that nothing can be learnt any more."""


def finish_epoch(
    spec: TrainingSpec,
    scheduled: Scheduled,
    at: Position,
    figures: tuple[Figures, Figures | None, Figures],
    seconds: float,
) -> tuple[Position, Epoch, Best]:
    """Report the epoch at `at`, and tell a metric-driven schedule. Returns the position after it.

    Args:
        figures: of training, validation (if anything is held out) and test.

    Raises:
        Diverged: a loss is not finite.
    """
    (train_loss, train_accuracy), validation, (test_loss, test_accuracy) = figures
    epoch, total = at.epoch, at.epoch * spec.steps_per_epoch
    lr = scheduled.lr(epoch, total)
    if not all(map(math.isfinite, (train_loss, test_loss, *(validation or ())))):
        raise Diverged(
            f"the loss is not finite in epoch {epoch}, at rate {max(lr):g} (train {train_loss}, test {test_loss}"
            + (f", validation {validation[0]}): " if validation else "): ")
            + "a lower rate or a warm-up may help"
        )
    report = Epoch(
        epoch=epoch,
        lr=list(lr),
        momentum=scheduled.momentum(epoch, total),
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        val_loss=validation and validation[0],
        val_accuracy=validation and validation[1],
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        seconds=seconds,
    )
    loss, accuracy = validation or (test_loss, test_accuracy)
    before = at.best and Best.model_validate(at.best)
    best = before.after(report) if before else Best.of(report)
    scheduled.after_epoch(loss, accuracy)
    after = replace(
        at,
        epoch=epoch + 1,
        step=0,
        seconds=0.0,
        epochs=[*at.epochs, report.model_dump()],
        best=best.model_dump(),
        stale=_stale(spec, at, loss, accuracy),
    )
    return after, report, best


def _stale(spec: TrainingSpec, at: Position, loss: float, accuracy: float) -> tuple[int, float | None]:
    """Epochs without an improvement, and the value to improve on."""
    if (rule := spec.early_stopping) is None:
        return 0, None
    epochs, best = at.stale
    value, sign = (loss, 1) if rule.monitor == "loss" else (accuracy, -1)
    if best is None or sign * value < sign * best - rule.min_delta:
        return 0, value
    return epochs + 1, best


def out_of_patience(spec: TrainingSpec, at: Position) -> bool:
    """Whether early stopping ends the run here."""
    rule = spec.early_stopping
    return rule is not None and at.stale[0] >= rule.patience


def replay_reports(at: Position, report: Callable[[Epoch, Best], None]) -> None:
    """Report the epochs of a resumed run again."""
    best: Best | None = None
    for epoch in map(Epoch.model_validate, at.epochs):
        best = best.after(epoch) if best else Best.of(epoch)
        report(epoch, best)
