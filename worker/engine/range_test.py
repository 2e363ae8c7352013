"""The LR range test: the first steps of a training whose rate rises at every step, and the loss of each.

The losses are checked one by one, so each step waits for the device; there are no evaluation passes. Seeds that
cannot be trained side by side are trained one after another, each until its loss is no longer finite: only when all
have been, their mean says where the test ends.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

from lrcore.jobs.range_test import Ending, RangeTestSpec, Watch, end_of, mean_losses

from . import checkpoint as checkpoints
from .checkpoint import Position
from .context import RunArguments, RunContext
from .data import Data
from .footprint import check_fits
from .grouping import groups, widths
from .hooks import Hooks
from .models.single import SingleModel
from .models.stacked import StackedModels
from .saver import Saver
from .trainer import Trainer
from .training_run import TrainingRun

SEEDS = "seeds.safetensors"  # losses of the seeds that are done, without a tensor


@dataclass(frozen=True)
class RangeLosses:
    """A range test that is done.

    Attributes:
        losses: of each seed at each step up to the end of the test.
        ended: why it ended.
        together: how many seeds at most were trained side by side.
    """

    losses: list[list[float]]
    ended: Ending
    together: int


def range_test(spec: RangeTestSpec, *, hooks: Hooks | None = None, **arguments: Unpack[RunArguments]) -> RangeLosses:
    """Run the test, from its checkpoint if there is one.

    Arguments and errors are those of `train`, but for Diverged: that is what the test looks for. A test that is
    resumed from a checkpoint gives the same losses as one that was never stopped, under the same conditions.
    """
    context, hooks = RunContext(**arguments), hooks or Hooks()
    chosen = groups([spec.run(seed) for seed in spec.tried], context.device)
    with context.session(spec.run()):
        losses = _losses(spec, chosen, context, hooks)
    n, ended = end_of(spec, losses)
    return RangeLosses([values[:n] for values in losses], ended, max(map(len, chosen)))


def _losses(spec: RangeTestSpec, chosen: list[list[int]], context: RunContext, hooks: Hooks) -> list[list[float]]:
    """The losses of all seeds, of which those of a group are trained side by side. Raises Interrupted."""
    before = context.folder and checkpoints.load(context.folder / SEEDS, checkpoints.key(spec))
    losses = [run["losses"] for run in before[1].runs] if before else []
    with hooks.preparing():
        data = context.load(spec.run())
        check_fits(spec.run(), 0, context.device)
    for group in chosen:
        if part := _part(spec, [spec.tried[i] for i in group if i >= len(losses)]):
            losses += _tested(part, data, context, _shifted(hooks, len(losses) * spec.num_iter, len(part.tried)))
            _remember(spec, losses, context.folder, hooks)
    return losses


def _part(spec: RangeTestSpec, seeds: list[int]) -> RangeTestSpec | None:
    """The test of some of the seeds; None if there are none.

    With others left out, it goes on to the last rate: where the mean of all ends the test is not known yet.
    """
    if tuple(seeds) == spec.tried:
        return spec
    return spec.model_copy(update={"seeds": tuple(seeds), "stop_factor": None}) if seeds else None


def _tested(spec: RangeTestSpec, data: Data, context: RunContext, hooks: Hooks) -> list[list[float]]:
    """The losses of seeds that are trained side by side, up to the end of the test. Raises Interrupted."""
    runs = _runs(spec, context, hooks)
    make = StackedModels if len(runs) > 1 else SingleModel
    divided = functools.partial(widths, spec.run(), context.device)
    trainer = Trainer(runs, data, context, make, divided, key=checkpoints.key(spec), keeps_losses=True)
    trainer.resume()
    losses = [run.position.losses for run in runs]
    watch, each, why, begun = Watch(spec), spec.steps_per_epoch, None, None
    for loss in mean_losses(losses):  # of a checkpoint; the last one may have ended the test
        why = watch.after(loss)
    with trainer.arranged():
        while why is None and len(losses[0]) < spec.num_iter:
            epoch, step = divmod(len(losses[0]), each)
            if epoch != begun:
                trainer.begin(epoch, step)
                begun = epoch
            trainer.train_steps(epoch, step, step + 1)
            why = watch.after(mean_losses([values[-1:] for values in losses])[0])
        trainer.finish_early()
    return losses


def _runs(spec: RangeTestSpec, context: RunContext, hooks: Hooks) -> list[TrainingRun]:
    """The runs of a test's seeds. Raises SpecError."""
    stopped, reported = False, list[tuple[float, float]]()

    def stop() -> bool:  # all seeds stop, or none
        nonlocal stopped
        stopped = hooks.stop() or stopped
        return stopped

    def running(step: int, loss: float, accuracy: float) -> None:
        reported.append((loss, accuracy))
        if len(reported) == len(spec.tried):
            loss, accuracy = (sum(values) / len(reported) for values in zip(*reported, strict=True))
            reported.clear()
            hooks.running(step, loss, accuracy)

    shared = Hooks(running=running, stop=stop, saved=hooks.saved)
    with hooks.preparing():
        first, *others = spec.tried
        runs = [TrainingRun(spec.run(first), replace(shared, step=hooks.step), context.device, spec.ratios)]
        runs += [TrainingRun(spec.run(seed), shared, context.device, spec.ratios) for seed in others]
    for run in runs:
        if isinstance(run.outcome, Exception):
            raise run.outcome
    return runs


def _shifted(hooks: Hooks, done: int, seeds: int) -> Hooks:
    """Hooks for some seeds, which report the steps of all seeds: `done` steps of other seeds came before."""
    return replace(
        hooks,
        step=lambda step: hooks.step(done + step * seeds),
        running=lambda step, loss, accuracy: hooks.running(done + step * seeds, loss, accuracy),
    )


def _remember(spec: RangeTestSpec, losses: list[list[float]], folder: Path | None, hooks: Hooks) -> None:
    """Keep the losses of the seeds that are done while others are not."""
    if len(losses) < len(spec.tried):
        position = Position(spec=checkpoints.key(spec), runs=[{"losses": values} for values in losses])
        Saver(folder and folder / SEEDS, hooks.stop, hooks.saved).save(dict, lambda: position)
