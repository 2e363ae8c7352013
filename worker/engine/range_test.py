"""The LR range test: the first steps of a training whose rate rises at every step, and the loss of each.

The losses are looked at one by one, so each step waits for the device; there are no evaluation passes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from lrcore import __version__
from lrcore.jobs.range_test import Ending, RangeTestSpec, Watch
from worker.engine.data import Data
from worker.engine.loop import Hooks, Run, pick_device, seen_through


def range_test(
    spec: RangeTestSpec,
    *,
    data_root: Path,
    device: torch.device | None = None,
    hooks: Hooks | None = None,
    folder: Path | None = None,
    memory: int | None = None,
) -> tuple[list[float], Ending]:
    """The loss of each step up to the end of the test, and why it ended. From its checkpoint, if there is one.

    Arguments and errors are those of `loop.train`, but for Diverged: that is what the test looks for. A test that is
    taken up from a checkpoint gives the same losses as one that was never stopped, under the same conditions.
    """
    device, hooks = device or pick_device(), hooks or Hooks()

    def make(data: Data) -> RangeRun:
        return RangeRun(spec, data, device, hooks, folder)

    return seen_through(make, RangeRun.test, spec.run(), data_root, device, hooks, memory)


class RangeRun(Run):
    """A range test between its beginning and its end."""

    def __init__(self, spec: RangeTestSpec, data: Data, device: torch.device, hooks: Hooks, folder: Path | None):
        super().__init__(spec.run(), data, device, hooks, folder)
        self.at = replace(self.at, spec=f"{__version__} {spec.kind} {spec.model_dump_json()}")
        self._test = spec
        for group in (group for optimizer in self.optimizers for group in optimizer.param_groups):
            group["scale"] *= spec.ratios[group["column"]]

    def test(self) -> tuple[list[float], Ending]:
        """See the test through. Raises Interrupted."""
        self._take_up()
        watch, losses, each = Watch(self._test), self.at.losses, self.spec.steps_per_epoch
        why, begun = None, None
        for loss in losses:  # of a checkpoint; the last one may have ended the test
            why = watch.after(loss)
        while why is None and len(losses) < self._test.num_iter:
            epoch, step = divmod(len(losses), each)
            if epoch != begun:
                self._begin_pass(epoch, step)
                begun = epoch
            self.train_steps(epoch, step, step + 1)
            why = watch.after(losses[-1])
        self.live.flush()
        if self.folder:
            self._save()  # the caller may have to come back for what is left to do
        return list(losses), why or "num_iter"

    def after_step(self, step: int, total: int) -> None:
        self.at.losses.append(self.losses[step].item())  # sync point
        super().after_step(step, total)

    def _begin_pass(self, epoch: int, step: int) -> None:
        """Lay out a pass over the training set, of which `step` steps are done."""
        self.at, self._done = replace(self.at, epoch=epoch, step=step, seconds=0.0), step
        self.begin(epoch)
