"""The ways to train: one run, runs side by side, and any runs in turn. Each run is the same as if it were alone."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Unpack

from lrcore.errors import SpecError
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.training_spec import TrainingSpec

from .context import RunArguments, RunContext
from .footprint import OutOfMemory, check_fits
from .grouping import groups, incompatibility, why_alone, widths
from .hooks import Hooks, Interrupted, Outcome, Result
from .models.stacked import StackedModels
from .trainer import Trainer
from .training_run import TrainingRun


def train(spec: TrainingSpec, *, hooks: Hooks | None = None, **arguments: Unpack[RunArguments]) -> Result:
    """Train one run, from its checkpoint if there is one.

    A run that is resumed from a checkpoint gives the same figures as one that was never stopped, on the same device; on
    a GPU if the spec says `deterministic`, and not with dropout inside an lstm or gru, of which cuDNN keeps a state of
    its own.

    Raises:
        DataUnavailable: the data set, or pretrained weights, cannot be loaded.
        SpecError: the job names parameters that the model does not have.
        OutOfMemory: the run needs more memory than the device has free; none of it was taken.
        Interrupted: hooks.stop said so; the steps done so far are in the checkpoint.
        Diverged: a loss is not finite.
    """
    outcome = _alone(spec, RunContext(**arguments), hooks or Hooks(), None)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def train_together(
    specs: Sequence[TrainingSpec], *, hooks: Sequence[Hooks] | None = None, **arguments: Unpack[RunArguments]
) -> list[Outcome]:
    """Train runs side by side, from their checkpoint if there is one.

    Args:
        specs: runs for which `incompatibility` returns None.
        hooks: one for each run, all called in the caller's thread.
        arguments: `folder` takes one checkpoint for all runs, and at the end a folder for each, 0, 1, ..., with its
            best and last weights. Resumed runs give the same figures as runs that were never stopped.

    Returns what became of each run: its Result; Diverged; SpecError; or Interrupted. If all are asked to stop, all are
    in the checkpoint, and go on when the same specs are trained again. A run that is asked to stop while others go on
    ends for good; until the epoch's end its share of the work is still done.

    Raises:
        DataUnavailable: the data set cannot be loaded.
        ValueError: the runs cannot train together.
    """
    if reason := incompatibility(specs):
        raise ValueError(reason)
    return _together(specs, RunContext(**arguments), hooks or [Hooks()] * len(specs))


def train_many(
    specs: Sequence[TrainingSpec], *, hooks: Sequence[Hooks] | None = None, **arguments: Unpack[RunArguments]
) -> list[Outcome]:
    """Train any runs, together where they can, it pays and they fit, else one after another.

    Arguments and errors are those of `train_in_turn`.

    Returns what became of each run, as `train_together` does; its Result says with how many it trained.
    """
    outcomes: dict[int, Outcome] = {}
    for group, found in train_in_turn(specs, hooks=hooks, **arguments):
        outcomes |= zip(group, found, strict=True)
    return [outcomes[i] for i in range(len(specs))]


def train_in_turn(
    specs: Sequence[TrainingSpec],
    *,
    hooks: Sequence[Hooks] | None = None,
    rungs: Sequence[int] = (),
    **arguments: Unpack[RunArguments],
) -> Iterator[tuple[list[int], list[Outcome]]]:
    """Train runs as `train_many` does, a group at a time, so that not all weights are in memory at once.

    Args:
        rungs: finished epochs, rising, after which a run that trains alone yields to the others until all such runs
            have come as far and can be compared there. It resumes from its checkpoint, so `folder` is required.
        arguments: `folder` takes a folder for each group of runs, named by the place of its first run in specs.

    Yields the places of a group's runs in specs, and what became of each.

    Raises:
        DataUnavailable: a data set, or pretrained weights, cannot be loaded.
    """
    context, hooks = RunContext(**arguments), hooks or [Hooks()] * len(specs)

    def trained(group: list[int], rung: int | None) -> list[Outcome]:
        first, theirs = group[0], [hooks[i] for i in group]
        own = context.within(str(first))
        if all(hook.stop() for hook in theirs):  # not worth a beginning
            return [Interrupted() for _ in group]
        if len(group) > 1:
            return _together([specs[i] for i in group], own, theirs)
        up_to = theirs[0] if rung is None else _up_to(rung, theirs[0])
        return [_alone_or_error(specs[first], own, up_to, why_alone(first, specs, context.device))]

    found = groups(specs, context.device)
    for rung in (*rungs, None):
        later = []
        for group in found:
            outcomes, alone = trained(group, rung), len(group) == 1
            if alone and rung is not None and isinstance(outcomes[0], Interrupted) and not hooks[group[0]].stop():
                later.append(group)
            else:
                yield group, outcomes
            del outcomes  # with the runs' weights
        found = later


def _up_to(epochs: int, hooks: Hooks) -> Hooks:
    """Hooks of a run that is to stop after so many epochs, as well as when it is asked to."""
    done = 0

    def epoch(report: Epoch, best: Best) -> None:
        nonlocal done
        done = report.epoch + 1
        hooks.epoch(report, best)

    return replace(hooks, epoch=epoch, stop=lambda: hooks.stop() or done >= epochs)


def _alone(spec: TrainingSpec, context: RunContext, hooks: Hooks, why: str | None) -> Outcome:
    """Train one run. Raises OutOfMemory, and what the loading of the data raises."""

    def trained() -> Outcome:
        with hooks.preparing():
            data = context.load(spec)
            check_fits(spec, min(spec.eval_batch_size, data.tested), context.device)
            run = TrainingRun(spec, hooks, context.device, alone=why)
        return run.outcome or Trainer([run], data, context).train()[0]

    with context.session(spec):
        return trained()


def _alone_or_error(spec: TrainingSpec, context: RunContext, hooks: Hooks, why: str | None) -> Outcome:
    """Train one run of several. Raises what the loading of the data raises, but for SpecError."""
    try:
        return _alone(spec, context, hooks, why)
    except Interrupted:  # while it was prepared
        return Interrupted()
    except (OutOfMemory, SpecError) as error:
        hooks.ended(error)
        return error


def _together(specs: Sequence[TrainingSpec], context: RunContext, hooks: Sequence[Hooks]) -> list[Outcome]:
    """Train runs side by side. Raises what the loading of the data raises."""
    first, device = specs[0], context.device

    def trained() -> list[Outcome]:
        with hooks[0].preparing():  # whoever stops one then stops all
            data = context.load(first)
            runs = [TrainingRun(spec, hook, device) for spec, hook in zip(specs, hooks, strict=True)]
        divided = functools.partial(widths, first, device)
        return Trainer(runs, data, context, StackedModels, divided, folders=True).train()

    with context.session(first):
        try:
            return trained()
        except Interrupted:
            return [Interrupted() for _ in specs]
