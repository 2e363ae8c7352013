"""Train one job: rates from the closed form, data on the device, a report after each epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.spec import JobSpec
from lrcore.schedules.plateau import Plateau, ReduceLROnPlateau
from worker.engine import checkpoint as checkpoints
from worker.engine.data import Split, load


class Interrupted(Exception):
    """The run was asked to stop between two steps."""


class Diverged(Exception):
    """A loss is no longer a finite number, so that nothing can be learnt any more."""


@dataclass(frozen=True)
class Hooks:
    """What the caller wants to hear, and to say.

    Attributes:
        step: called before the first and after each optimizer step with the number of steps done; must return at once.
        epoch: called after each epoch with its figures and the best epoch so far.
        stop: asked before each step; True raises Interrupted.
    """

    step: Callable[[int], None] = lambda step: None
    epoch: Callable[[Epoch, Best], None] = lambda epoch, best: None
    stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class Result:
    """A finished run: its epochs (from the one it was resumed at), the best of all, and the trained model."""

    epochs: list[Epoch]
    best: Best
    model: nn.Module


class Rates:
    """The rate of every interval. A table for all schedules but the metric-driven one."""

    def __init__(self, spec: JobSpec) -> None:
        self._per_step = spec.interval == "step"
        schedule = spec.rate_schedule
        self.plateau: Plateau | None = None
        if isinstance(schedule, ReduceLROnPlateau):
            self.plateau = Plateau(schedule, [spec.optimizer.lr])
        else:
            lr, momentum = spec.rates()
            self._lr = lr.T.tolist()
            self._momentum = None if momentum is None else momentum.T.tolist()

    def at(self, epoch: int, step: int) -> tuple[list[float], list[float] | None]:
        """Rates and momenta, one a parameter group, in force in this step of this epoch."""
        if self.plateau is not None:
            return self.plateau.lr, None
        interval = step if self._per_step else epoch
        return self._lr[interval], None if self._momentum is None else self._momentum[interval]

    def after_epoch(self, test_loss: float, test_accuracy: float) -> None:
        """Tell a metric-driven schedule what the epoch came to."""
        if self.plateau is not None:
            self.plateau.step(test_loss if self.plateau.spec.mode == "min" else test_accuracy)


def train(
    spec: JobSpec,
    *,
    data_root: Path,
    device: torch.device | None = None,
    hooks: Hooks | None = None,
    checkpoint: Path | None = None,
) -> Result:
    """Train the job, from its checkpoint if there is one.

    Args:
        data_root: folder of the data sets.
        device: where to train; the first GPU, or the CPU, if not given.
        checkpoint: file written after each epoch. A run that is taken up from it gives the same figures as one that
            was never stopped, on the same device.

    Raises:
        DataUnavailable: the data set cannot be loaded.
        Interrupted: hooks.stop said so; epochs finished so far are in the checkpoint.
        Diverged: a loss is not finite.
    """
    device, hooks = device or pick_device(), hooks or Hooks()
    training, test = load(spec.dataset, data_root, device)
    with torch.random.fork_rng():
        torch.manual_seed(spec.seed)
        model = spec.model.build(spec.dataset.image_shape, spec.dataset.num_classes)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = spec.optimizer.build(model.parameters())
    rates, first, best = Rates(spec), 0, None
    text = spec.model_dump_json()
    if checkpoint and (position := checkpoints.load(checkpoint, model, optimizer, text)):
        first, best = position.epoch, position.best and Best(epoch=position.best[0], test_accuracy=position.best[1])
        if rates.plateau and position.plateau:
            rates.plateau.load(**position.plateau)

    epochs: list[Epoch] = []
    hooks.step(first * spec.steps_per_epoch)
    for epoch in range(first, spec.epochs):
        report = _train_epoch(spec, epoch, model, optimizer, rates, training, test, hooks)
        if best is None or report.test_accuracy > best.test_accuracy:
            best = Best(epoch=epoch, test_accuracy=report.test_accuracy)
        rates.after_epoch(report.test_loss, report.test_accuracy)
        epochs.append(report)
        hooks.epoch(report, best)
        if checkpoint:  # after the report: a report may be repeated, but must not be missing
            state = rates.plateau.state() if rates.plateau else None
            at = checkpoints.Position(epoch + 1, text, (best.epoch, best.test_accuracy), state)
            checkpoints.save(checkpoint, model, optimizer, at)
    assert best is not None  # a spec has at least one epoch, and a checkpoint has a best one
    return Result(epochs, best, model)


def _train_epoch(
    spec: JobSpec,
    epoch: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rates: Rates,
    training: Split,
    test: Split,
    hooks: Hooks,
) -> Epoch:
    start = time.perf_counter()
    step = epoch * spec.steps_per_epoch
    lr, momentum = rates.at(epoch, step)
    loss_sum, hits = training.images.new_zeros(()), training.labels.new_zeros(())
    model.train()
    for images, labels in training.shuffled(spec.batch_size, spec.seed, epoch):
        if hooks.stop():
            raise Interrupted
        set_rates(optimizer, *rates.at(epoch, step))
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():  # sums stay on the device until the epoch ends
            loss_sum += loss * len(labels)
            hits += (logits.argmax(1) == labels).sum()
        step += 1
        hooks.step(step)
    train_loss, train_accuracy = loss_sum.item() / len(training), hits.item() / len(training)  # sync point
    test_loss, test_accuracy = evaluate(model, test)
    if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
        raise Diverged(
            f"the loss is not finite in epoch {epoch}, at rate {lr[0]:g} (train {train_loss}, test {test_loss}): "
            "a lower rate or a warm-up may help"
        )
    return Epoch(
        epoch=epoch,
        lr=lr,
        momentum=None if momentum is None or any(map(math.isnan, momentum)) else momentum,
        train_loss=train_loss,
        train_accuracy=train_accuracy,
        test_loss=test_loss,
        test_accuracy=test_accuracy,
        seconds=time.perf_counter() - start,
    )


def set_rates(optimizer: torch.optim.Optimizer, lr: list[float], momentum: list[float] | None) -> None:
    """Write the rates, and what is scheduled of the momenta, into the optimizer's parameter groups."""
    for i, group in enumerate(optimizer.param_groups):
        group["lr"] = lr[i]
        if momentum is not None and not math.isnan(momentum[i]):
            if "betas" in group:
                group["betas"] = (momentum[i], *group["betas"][1:])
            else:
                group["momentum"] = momentum[i]


@torch.no_grad()
def evaluate(model: nn.Module, split: Split) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    model.eval()
    loss, hits = split.images.new_zeros(()), split.labels.new_zeros(())
    for images, labels in split.in_order():
        logits: Tensor = model(images)
        loss += F.cross_entropy(logits, labels, reduction="sum")
        hits += (logits.argmax(1) == labels).sum()
    return loss.item() / len(split), hits.item() / len(split)  # sync point


def pick_device() -> torch.device:
    """The first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
