"""One of the runs of a trainer: its model and schedule, its position, and its outcome."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from lrcore.errors import SpecError
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.training_spec import TrainingSpec

from .checkpoint import Position
from .data import epoch_pieces
from .hooks import Diverged, Hooks, Interrupted, Outcome, Result
from .models.base import Figures, Models, ModelSetup, Parts, built, check_pieces
from .optim import Scheduled, parameter_groups


class TrainingRun:
    """A run that a Trainer trains.

    Args:
        ratios: as of a ModelSetup.
        alone: why it is trained alone although there are others.

    Attributes:
        position: its epochs so far.
        outcome: its Result or an error, once it has ended.
        stop_requested: it was asked to stop, and does so at the epoch's end at the latest.
        best_weights: after the best epoch so far.
        last: its weights, once it has succeeded.
    """

    def __init__(
        self,
        spec: TrainingSpec,
        hooks: Hooks,
        device: torch.device,
        ratios: Sequence[float] | None = None,
        alone: str | None = None,
    ) -> None:
        self.spec, self.hooks, self._device, self._ratios, self._alone = spec, hooks, device, ratios, alone
        self.scheduled = Scheduled(spec)
        self.position = Position(spec="")
        self.outcome: Outcome | None = None
        self.stop_requested = False
        self.best_weights: dict[str, Tensor] = {}
        self.last: dict[str, Tensor] = {}
        self._models: Models | None = None
        self._row, self._saved = 0, Parts()
        torch.manual_seed(spec.seed)
        try:
            self.model = built(spec, device)
            parameter_groups(self.model, spec.optimizer)
            check_pieces(spec, self.model, epoch_pieces(spec))
        except SpecError as error:
            self.end(error)

    def end(self, outcome: Outcome) -> None:
        """Record the outcome and report it."""
        if isinstance(outcome, Exception):
            outcome = outcome.with_traceback(None)  # whose frames hold the trainer, and it the run
        self.outcome, self._models, self._saved = outcome, None, {}
        self.hooks.ended(outcome)

    @property
    def is_finished(self) -> bool:
        """Whether it has made all of its epochs, or early stopping ends it."""
        rule = self.spec.early_stopping
        return self.position.epoch == self.spec.epochs or (rule is not None and self.position.stale[0] >= rule.patience)

    def model_setup(self) -> ModelSetup:
        """Return what the device's side needs of it."""
        return ModelSetup(self.spec, self.scheduled, self.model, self._ratios)

    def attach(self, models: Models, row: int) -> None:
        """Continue in that row of these models."""
        if state := self._state():
            models.load(row, state)
        self._models, self._row, self._saved = models, row, {}

    def _state(self) -> Parts:
        return self._models.state(self._row) if self._models else self._saved

    def finish_epoch(
        self, train: Figures, validation: Figures | None, test: Figures, seconds: float, together: int
    ) -> None:
        """Report the epoch, step a metric-driven schedule, and keep the best weights. End if it was the last epoch.

        Args:
            together: how many runs are trained side by side.
        """
        assert self._models is not None
        report = self._report(train, validation, test, seconds)
        if not all(math.isfinite(loss) for loss, _ in (train, test, validation or test)):
            self.end(Diverged(_not_finite(report)))
            return
        loss, accuracy = validation or test
        before = self.position.best and Best.model_validate(self.position.best)
        best = before.after(report) if before else Best.of(report)
        self.scheduled.after_epoch(loss, accuracy)
        self.position = replace(
            self.position,
            epoch=report.epoch + 1,
            epochs=[*self.position.epochs, report.model_dump()],
            best=best.model_dump(),
            stale=self._stale(loss, accuracy),
        )
        weights = self._models.weights(self._row)
        if best.epoch == report.epoch:
            self.best_weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
        self.hooks.epoch(report, best)
        if self.is_finished:
            self._succeed(weights, together)

    def _report(self, train: Figures, validation: Figures | None, test: Figures, seconds: float) -> Epoch:
        epoch, total = self.position.epoch, self.position.epoch * self.spec.steps_per_epoch
        held_out = {"val_loss": validation[0], "val_accuracy": validation[1]} if validation else {}
        return Epoch(
            epoch=epoch,
            lr=list(self.scheduled.lr(epoch, total)),
            momentum=self.scheduled.momentum(epoch, total),
            train_loss=train[0],
            train_accuracy=train[1],
            test_loss=test[0],
            test_accuracy=test[1],
            seconds=seconds,
            **held_out,
        )

    def _stale(self, loss: float, accuracy: float) -> tuple[int, float | None]:
        """Epochs without an improvement, and the value to improve on."""
        if (rule := self.spec.early_stopping) is None:
            return 0, None
        epochs, best = self.position.stale
        value, sign = (loss, 1) if rule.monitor == "loss" else (accuracy, -1)
        if best is None or sign * value < sign * best - rule.min_delta:
            return 0, value
        return epochs + 1, best

    def _succeed(self, weights: dict[str, Tensor], together: int) -> None:
        self.model.load_state_dict(weights)
        self.model.eval().zero_grad(set_to_none=True)
        self.last = self.model.state_dict()
        epochs = [Epoch.model_validate(row) for row in self.position.epochs]
        best = Best.model_validate(self.position.best)
        self.end(Result(epochs, best, self.model, self.best_weights, together, self._alone))

    def to_json(self) -> dict[str, Any]:
        """Return what the checkpoint says of it, beside its tensors."""
        driven = self.scheduled.metric_state
        ended = self.outcome and {"type": type(self.outcome).__name__, "message": str(self.outcome)}
        if isinstance(self.outcome, Result):
            ended = {"type": "Result"}
        return {"at": asdict(replace(self.position, plateau=driven.state() if driven else None)), "ended": ended}

    def tensors(self) -> Parts:
        """Return what the checkpoint keeps of it."""
        return self._state() | {"best": self.best_weights, "last": self.last}

    def resume(self, saved: dict[str, Any], tensors: Parts, done: int, together: int) -> None:
        """Restore what `to_json` and `tensors` returned, after `done` steps of all runs."""
        self.position = Position(**saved["at"])
        if self.scheduled.metric_state and self.position.plateau:
            self.scheduled.metric_state.load(self.position.plateau)
        self.best_weights = {name: tensor.to(self._device) for name, tensor in tensors.pop("best", {}).items()}
        last = tensors.pop("last", {})
        best: Best | None = None
        for epoch in map(Epoch.model_validate, self.position.epochs):
            best = best.after(epoch) if best else Best.of(epoch)
            self.hooks.epoch(epoch, best)
        if saved["ended"] is None or together == 1:  # those that ended earlier made fewer steps
            self.hooks.step(done)
        match saved["ended"]:
            case {"type": "Interrupted"}:
                self.outcome = Interrupted()
            case {"type": "Result"}:
                self._succeed(last, together)
            case {"type": "Diverged", "message": message}:
                self.end(Diverged(message))
            case None if self.is_finished:  # before format 2, a run that was alone kept all it had to its end
                self._succeed(tensors.get("average") or tensors["model"], together)
            case _:
                self._saved = tensors


def _not_finite(report: Epoch) -> str:
    losses = f"train {report.train_loss}, test {report.test_loss}"
    if report.val_loss is not None:
        losses += f", validation {report.val_loss}"
    where = f"in epoch {report.epoch}, at rate {max(report.lr):g}"
    return f"the loss is not finite {where} ({losses}): a lower rate or a warm-up may help"
