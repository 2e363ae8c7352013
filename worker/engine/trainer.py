"""The epochs of one run, or of runs that train side by side: stops, reports and checkpoints."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch

from . import checkpoint as checkpoints
from .checkpoint import Position
from .context import RunContext
from .data import Data, Split, sizes_of
from .hooks import RUNNING, Interrupted, Outcome
from .live import Live, Running
from .models.base import Figures, Models, ModelSetup, Parts
from .models.single import SingleModel
from .saver import Saver
from .training_run import TrainingRun

log = logging.getLogger("lrserve.engine")

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
LAST = "last.safetensors"

Widths = Callable[[int], list[int]]
MakeModels = Callable[[Sequence[ModelSetup], Data, torch.device], Models]


@dataclass(frozen=True)
class DeviceGroup:
    """Runs that share models on the device."""

    models: Models
    runs: list[TrainingRun]
    live: Live


class Trainer:
    """Trains runs side by side, all at the same step.

    Args:
        make_models: makes the device's side of some runs.
        widths: divides a number of runs: how many go into each device's side.
        folders: whether the weights of each run go into a folder of its own, 0, 1, …
        key: what the checkpoint is of; the runs' own specs if None.
        keeps_losses: whether the loss of every step is read at once, into `position.losses` of each run.
    """

    def __init__(
        self,
        runs: list[TrainingRun],
        data: Data,
        context: RunContext,
        make_models: MakeModels = SingleModel,
        widths: Widths = lambda runs: [1] * runs,
        *,
        folders: bool = False,
        key: str | None = None,
        keeps_losses: bool = False,
    ) -> None:
        self._runs, self._data, self._device, self._folder = runs, data, context.device, context.folder
        self._make_models, self._widths, self._keeps_losses = make_models, widths, keeps_losses
        self._spec, self._folders = runs[0].spec, folders
        self._position = Position(spec=key or checkpoints.key(*(run.spec for run in runs)))
        self._groups: list[DeviceGroup] = []
        self._pool: ThreadPoolExecutor | None = None
        self._epoch_start, self._steps_done = time.perf_counter(), 0  # of the epoch: its clock, its steps
        any_hooks = runs[0].hooks  # the `stop` of every run raises when the lease is lost
        self._saver = Saver(self._folder and self._folder / CHECKPOINT, any_hooks.stop, any_hooks.saved)
        self._sizes = sizes_of(self._spec)

    @property
    def _left(self) -> list[TrainingRun]:
        return [run for run in self._runs if run.outcome is None]

    def train(self) -> list[Outcome]:
        """Train all runs to the end."""
        self.resume()
        with self.arranged(), contextlib.suppress(Interrupted):
            for epoch in range(self._position.epoch, self._spec.epochs):
                if not self._left:
                    break
                self._epoch_start = time.perf_counter() - self._position.seconds
                self.begin(epoch, self._position.step)
                self.train_steps(epoch, self._position.step)
                self._finish_epoch(epoch)
                self._save_if_due()
        for run in self._left:
            run.outcome = Interrupted()
        return self._outcomes()

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        found = None
        if self._folder:
            checkpoints.remove_unfinished(self._folder)
            found = checkpoints.load(self._folder / CHECKPOINT, self._position.spec)
        if found is None:
            for run in self._left:
                run.hooks.step(0)
            return
        parts, self._position = found
        self._steps_done = self._position.step
        done = self._position.epoch * self._spec.steps_per_epoch + self._position.step
        for i, (run, saved) in enumerate(zip(self._runs, self._position.runs, strict=True)):
            own = {part.partition("-")[2]: named for part, named in parts.items() if part.startswith(f"{i}-")}
            run.resume(saved, own, done, len(self._runs))
        log.info("goes on from epoch %d, step %d", self._position.epoch, self._position.step)

    @contextlib.contextmanager
    def arranged(self) -> Iterator[None]:
        """Have the runs on the device for the block, and threads that advance them."""
        self._arrange()
        with contextlib.ExitStack() as leaving:
            if len(self._groups) > 1:
                self._pool = leaving.enter_context(_pool(len(self._groups)))
            yield

    def _arrange(self) -> None:
        """Divide the runs that are left into groups; a group that has lost none stays."""
        left, before = self._left, {tuple(map(id, group.runs)): group for group in self._groups}
        self._groups, begin = [], 0
        for width in self._widths(len(left)) if left else []:
            runs = left[begin : begin + width]
            begin += width
            self._groups.append(before.get(tuple(map(id, runs))) or self._group(runs))

    def _group(self, runs: list[TrainingRun]) -> DeviceGroup:
        models = self._make_models([run.model_setup() for run in runs], self._data, self._device)
        for row, run in enumerate(runs):
            run.attach(models, row)
        return DeviceGroup(models, runs, Live(self._device))

    def _each(self, call: Callable[[Models], None]) -> None:
        """Call with the models of every group, at the same time if there are threads."""
        all_models = [group.models for group in self._groups]

        def share(first: int, step: int) -> None:
            for models in all_models[first::step]:
                call(models)

        if self._pool is None:
            share(0, 1)
        else:  # a task for each thread costs less than one for each group
            threads = self._pool._max_workers
            list(self._pool.map(share, range(threads), [threads] * threads))

    def begin(self, epoch: int, first: int) -> None:
        """Lay out the epoch, of which the steps before the `first` one are done."""
        self._position, self._steps_done = replace(self._position, epoch=epoch, step=first), first
        self._each(lambda models: models.begin(epoch, first))

    def train_steps(self, epoch: int, first: int, end: int | None = None) -> None:
        """Make the epoch's steps from the `first` one on, up to `end` if given. Raises Interrupted."""
        steps = self._spec.steps_per_epoch
        for step in range(first, steps if end is None else end):
            self._stop_if_asked()
            total = epoch * steps + step
            self._each(lambda models, step=step, total=total: models.advance(step, first=total == 0))  # type: ignore[misc]
            self._steps_done = step + 1
            self._after_step(step, total + 1)
            self._save_if_due()

    def _after_step(self, step: int, total: int) -> None:
        """Report the epoch's step `step`, which is the last of `total` that are done."""
        if self._keeps_losses:
            for group in self._groups:
                for run, loss in zip(group.runs, group.models.losses[step].tolist(), strict=True):  # sync point
                    run.position.losses.append(loss)
        for group in self._groups:
            for run in group.runs:
                if not run.stop_requested:
                    run.hooks.step(total)
            self._report_running(group, group.live.after(step, total, group.models.losses, group.models.hits))

    def _report_running(self, group: DeviceGroup, figures: Iterable[Running]) -> None:
        for step, done, losses, hits in figures:
            images = sum(self._sizes[step + 1 - RUNNING : step + 1])
            for run, loss, right in zip(group.runs, losses.mean(0).tolist(), hits.sum(0).tolist(), strict=True):
                if not run.stop_requested:
                    run.hooks.running(done, loss, right / images)

    def _stop_if_asked(self) -> None:
        """Mark who is to stop; Interrupted if nobody is left."""
        left = self._left
        for run in left:
            run.stop_requested = run.stop_requested or run.hooks.stop()
        if all(run.stop_requested for run in left):
            self._save()
            raise Interrupted

    def _finish_epoch(self, epoch: int) -> None:
        """Evaluate, report, and let those go that have ended."""
        trained = self.figures(epoch)
        test = self._evaluate(self._data.test)
        validation = self._evaluate(self._data.validation) if self._data.validation else None
        seconds = time.perf_counter() - self._epoch_start
        if any(run.stop_requested for run in self._left):
            self._stop_if_asked()  # if all are stopped at about the same time, none is to be lost
        training = [run for group in self._groups for run in group.runs]
        for run in training:
            if run.stop_requested:
                run.end(Interrupted())
            else:
                figures = trained[run], validation[run] if validation else None, test[run]
                run.finish_epoch(*figures, seconds, len(self._runs))
        self._steps_done = 0
        self._position = replace(self._position, epoch=epoch + 1, step=0, seconds=0.0)
        if any(run.outcome is not None for run in training):
            self._arrange()

    def figures(self, epoch: int) -> dict[TrainingRun, Figures]:
        """Report the losses of the epoch's steps. Returns each run's mean loss and accuracy."""
        found, images = {}, sum(self._sizes)
        for group in self._groups:
            rows = group.models.losses.t().tolist(), group.models.hits.t().tolist()  # sync point
            self._report_running(group, group.live.rest())
            for run, losses, hits in zip(group.runs, *rows, strict=True):
                if not run.stop_requested:
                    run.hooks.losses(epoch, losses)
                loss = math.fsum(loss * size for loss, size in zip(losses, self._sizes, strict=True)) / images
                found[run] = loss, sum(hits) / images
        return found

    def _evaluate(self, split: Split) -> dict[TrainingRun, Figures]:
        """Mean cross-entropy and accuracy of each run."""
        self._each(lambda models: models.begin_test())
        size, order = self._spec.eval_batch_size, torch.arange(len(split), device=self._device)
        for images, labels in split.batches(order, [slice(at, at + size) for at in range(0, len(split), size)], None):
            self._stop_if_asked()
            self._each(lambda models, batch=(images, labels): models.test(*batch))  # type: ignore[misc]
        return {
            run: figures
            for group in self._groups
            for run, figures in zip(group.runs, group.models.tested(len(split)), strict=True)
        }

    def _outcomes(self) -> list[Outcome]:
        """What the runs came to; the weights are in the folder."""
        outcomes = [run.outcome for run in self._runs if run.outcome is not None]
        if not any(isinstance(outcome, Interrupted) for outcome in outcomes):
            self._save()  # the caller may have to come back for what is left to do
        for i, run in enumerate(self._runs):
            if self._folder and run.last:
                folder = self._folder / str(i) if self._folders else self._folder
                checkpoints.save_weights(folder / BEST, run.best_weights)
                checkpoints.save_weights(folder / LAST, run.last)
        return outcomes

    def finish_early(self) -> None:
        """Report what is left and save, in the middle of an epoch."""
        for group in self._groups:
            self._report_running(group, group.live.rest())
        self._save()

    def _save_if_due(self) -> None:
        if self._saver.due:
            self._save()

    def _save(self) -> None:
        """Write a checkpoint of where all runs stand, if there is to be one."""
        self._saver.save(self._parts, self._positioned)

    def _positioned(self) -> Position:
        self._position = replace(
            self._position,
            step=self._steps_done,
            seconds=time.perf_counter() - self._epoch_start if self._steps_done else 0.0,
            runs=[run.to_json() for run in self._runs],
        )
        return self._position

    def _parts(self) -> Parts:
        """What the checkpoint keeps beside the position."""
        return {f"{i}-{part}": named for i, run in enumerate(self._runs) for part, named in run.tensors().items()}


@contextlib.contextmanager
def _pool(groups: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that share the processor: as many as there are groups, and no more than torch would use for one."""
    before = torch.get_num_threads()
    threads = min(groups, before)
    each = before // threads
    torch.set_num_threads(each)
    try:
        with ThreadPoolExecutor(threads, "runs", initializer=lambda: torch.set_num_threads(each)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
