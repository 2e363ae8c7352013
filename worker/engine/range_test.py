"""The LR range test: the first steps of a training whose rate rises at every step, and the loss of each.

The losses are checked one by one, so each step waits for the device; there are no evaluation passes. Seeds that
cannot be trained side by side are trained one after another, each until its loss is no longer finite: only when all
have been, their mean says where the test ends.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from lrcore.jobs.range_test import Ending, RangeTestSpec, Watch, end_of, mean_losses

from . import checkpoint as checkpoints
from .checkpoint import Position
from .data import DTYPES, Data, load
from .footprint import check_fits
from .group_trainer import GroupMember, GroupTrainer
from .grouping import groups, widths
from .saver import Saver
from .trainer import Hooks, Interrupted, Trainer, pick_device, torch_state

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


def range_test(
    spec: RangeTestSpec,
    *,
    data_root: Path,
    device: torch.device | None = None,
    hooks: Hooks | None = None,
    folder: Path | None = None,
    memory: int | None = None,
) -> RangeLosses:
    """See the test through. From its checkpoint, if there is one.

    Arguments and errors are those of `train`, but for Diverged: that is what the test looks for. A test that is
    resumed from a checkpoint gives the same losses as one that was never stopped, under the same conditions.
    """
    device, hooks = device or pick_device(), hooks or Hooks()
    chosen = groups([spec.run(seed) for seed in spec.tried], device)
    losses = _losses_before(spec, folder)
    with hooks.preparing():
        data = load(spec.dataset, data_root, device, DTYPES[spec.precision], memory)
        check_fits(spec.run(), 0, device)
    try:
        for group in chosen:
            if part := _part(spec, [spec.tried[i] for i in group if i >= len(losses)]):
                shifted = _shifted(hooks, len(losses) * spec.num_iter, len(part.tried))
                losses += _tested(part, data, device, shifted, folder)
                _remember(spec, losses, folder, hooks)
    finally:  # the next job needs the memory
        if device.type == "cuda":
            del data
            gc.collect()
            torch.cuda.empty_cache()
    n, ended = end_of(spec, losses)
    return RangeLosses([values[:n] for values in losses], ended, max(map(len, chosen)))


def _part(spec: RangeTestSpec, seeds: list[int]) -> RangeTestSpec | None:
    """The test of some of the seeds; None if there are none.

    With others left out, it goes on to the last rate: where the mean of all ends the test is not known yet.
    """
    if tuple(seeds) == spec.tried:
        return spec
    return spec.model_copy(update={"seeds": tuple(seeds), "stop_factor": None}) if seeds else None


def _tested(
    spec: RangeTestSpec, data: Data, device: torch.device, hooks: Hooks, folder: Path | None
) -> list[list[float]]:
    """The losses of seeds that are trained side by side."""
    with torch_state(spec.run(), device):
        if len(spec.tried) > 1:
            return RangeTestGroup(spec, data, device, hooks, folder).test()
        torch.manual_seed(spec.tried[0])
        run = RangeTestTrainer(spec, data, device, hooks, folder)
        try:
            return run.test()
        finally:  # a graph and its run hold each other, and the next seed needs the memory
            run.graph = None
            if device.type == "cuda":
                del run
                gc.collect()


def _shifted(hooks: Hooks, done: int, seeds: int) -> Hooks:
    """Hooks for some seeds, which report the steps of all seeds: `done` steps of other seeds came before."""
    return replace(
        hooks,
        step=lambda step: hooks.step(done + step * seeds),
        running=lambda step, loss, accuracy: hooks.running(done + step * seeds, loss, accuracy),
    )


def _losses_before(spec: RangeTestSpec, folder: Path | None) -> list[list[float]]:
    """Of the seeds that were done before the test was stopped."""
    found = folder and checkpoints.load(folder / SEEDS, checkpoints.key(spec))
    return [run["losses"] for run in found[1].runs] if found else []


def _remember(spec: RangeTestSpec, losses: list[list[float]], folder: Path | None, hooks: Hooks) -> None:
    """Keep the losses of the seeds that are done while others are not."""
    if len(losses) < len(spec.tried):
        position = Position(spec=checkpoints.key(spec), runs=[{"losses": values} for values in losses])
        Saver(folder and folder / SEEDS, hooks.stop, hooks.saved).save(dict, lambda: position)


class RangeTestTrainer(Trainer):
    """A range test of one seed between its beginning and its end."""

    def __init__(self, spec: RangeTestSpec, data: Data, device: torch.device, hooks: Hooks, folder: Path | None):
        super().__init__(spec.run(), data, device, hooks, folder)
        self.at = replace(self.at, spec=checkpoints.key(spec))
        self._test = spec
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["scale"] *= spec.ratios[group["column"]]

    def test(self) -> list[list[float]]:
        """The losses of the seed, in a list, up to the end of the test. Raises Interrupted."""
        self._resume()
        losses = [self.at.losses]
        _advance(self._test, losses, self._begin_pass, self.train_steps)
        self.live.flush()
        self._save()  # the caller may have to come back for what is left to do
        return losses

    def after_step(self, step: int, total: int) -> None:
        self.at.losses.append(self.losses[step].item())  # sync point
        super().after_step(step, total)

    def _begin_pass(self, epoch: int, step: int) -> None:
        """Lay out a pass over the training set, of which `step` steps are done."""
        self.at, self._done = replace(self.at, epoch=epoch, step=step, seconds=0.0), step
        self.begin(epoch)


class RangeTestGroup(GroupTrainer):
    """A range test of several seeds side by side."""

    def __init__(self, spec: RangeTestSpec, data: Data, device: torch.device, hooks: Hooks, folder: Path | None):
        reported: list[tuple[float, float]] = []

        def running(step: int, loss: float, accuracy: float) -> None:
            reported.append((loss, accuracy))
            if len(reported) == len(spec.tried):
                loss, accuracy = (sum(values) / len(reported) for values in zip(*reported, strict=True))
                reported.clear()
                hooks.running(step, loss, accuracy)

        with hooks.preparing():
            shared = Hooks(running=running, stop=hooks.stop, saved=hooks.saved)
            members = [GroupMember(spec.run(seed), shared, device, spec.ratios) for seed in spec.tried]
        for member in members:
            if isinstance(member.outcome, Exception):
                raise member.outcome
        super().__init__(members, data, device, folder, functools.partial(widths, spec.run(), device))
        self._at = replace(self._at, spec=checkpoints.key(spec))
        self._test, self._hooks = spec, hooks

    def test(self) -> list[list[float]]:
        """The losses of each seed up to the end of the test. Raises Interrupted."""
        self._resume()
        losses = [member.at.losses for member in self._members]
        self._hooks.step(len(losses[0]))
        with self.arranged():
            _advance(self._test, losses, self._begin_pass, self.train_steps)
            for _, _, live in self._stacks:
                live.flush()
            self._save()  # the caller may have to come back for what is left to do
        return losses

    def after_step(self, step: int, total: int) -> None:
        found = [loss for stack, _, _ in self._stacks for loss in stack.losses[step].tolist()]  # sync point
        for member, loss in zip(self._members, found, strict=True):
            member.at.losses.append(loss)
        self._hooks.step(total)
        super().after_step(step, total)

    def _stop_if_asked(self) -> None:
        """All seeds stop, or none."""
        if self._hooks.stop():
            self._save()
            raise Interrupted

    def _begin_pass(self, epoch: int, step: int) -> None:
        """Lay out a pass over the training set, of which `step` steps are done."""
        self._at, self._done = replace(self._at, epoch=epoch, step=step, seconds=0.0), step
        self.begin(epoch, step)


def _advance(
    spec: RangeTestSpec,
    losses: list[list[float]],
    begin_pass: Callable[[int, int], None],
    train_steps: Callable[[int, int, int], None],
) -> None:
    """Make steps until the mean of the losses, to which each step adds, ends the test."""
    watch, each, why, begun = Watch(spec), spec.steps_per_epoch, None, None
    for loss in mean_losses(losses):  # of a checkpoint; the last one may have ended the test
        why = watch.after(loss)
    while why is None and len(losses[0]) < spec.num_iter:
        epoch, step = divmod(len(losses[0]), each)
        if epoch != begun:
            begin_pass(epoch, step)
            begun = epoch
        train_steps(epoch, step, step + 1)
        why = watch.after(mean_losses([values[-1:] for values in losses])[0])
