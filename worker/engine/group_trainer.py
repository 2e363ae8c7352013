"""The epochs of runs that train together: stops, reports, checkpoints and what each run comes to."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lrcore.errors import SpecError
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.training_spec import TrainingSpec

from . import checkpoint as checkpoints
from .checkpoint import Position
from .data import Data, Split
from .optim import Scheduled, parameter_groups
from .record import Diverged, Figures, finish_epoch, out_of_patience, replay_reports
from .saver import Saver
from .stacked_models import Parts, StackedModels, StackMember
from .trainer import (
    BEST,
    CHECKPOINT,
    LAST,
    RUNNING,
    Hooks,
    Interrupted,
    Live,
    Result,
    built,
    check_pieces,
    pieces_of,
    sizes_of,
)

log = logging.getLogger("lrserve.engine")

Outcome = Result | Exception
Partition = Callable[[int], list[int]]  # how many runs each stack takes, for so many runs


class GroupMember:
    """One of the runs.

    Args:
        ratios: as of a StackMember.

    Attributes:
        at: its epochs so far.
        outcome: what it came to, once it has ended.
        leaving: it was asked to stop, and does so at the epoch's end at the latest.
    """

    def __init__(
        self, spec: TrainingSpec, hooks: Hooks, device: torch.device, ratios: Sequence[float] | None = None
    ) -> None:
        self.spec, self.hooks, self._device, self._ratios = spec, hooks, device, ratios
        self.scheduled = Scheduled(spec, [])
        self.at = Position(spec="")
        self.outcome: Outcome | None = None
        self.leaving = False
        self.best_weights: dict[str, Tensor] = {}
        self.last: dict[str, Tensor] = {}  # its weights, once it has succeeded
        self.state: Parts = {}
        torch.manual_seed(spec.seed)
        try:
            self.model = built(spec, device)
            parameter_groups(self.model, spec.optimizer)
            pieces = [pieces_of(spec, size, step * spec.batch_size) for step, size in enumerate(sizes_of(spec))]
            check_pieces(spec, self.model, pieces)
        except SpecError as error:
            self.end(error)

    def end(self, outcome: Outcome) -> None:
        """This is what it came to."""
        self.outcome = outcome
        self.hooks.ended(outcome)

    def stack_member(self) -> StackMember:
        """As a stack takes it."""
        return StackMember(self.spec, self.scheduled, self.model, self._ratios)

    def succeed(self, last: dict[str, Tensor], together: int) -> None:
        """End with these weights."""
        self.last = last
        self.model.load_state_dict(last)
        epochs = [Epoch.model_validate(row) for row in self.at.epochs]
        self.end(Result(epochs, Best.model_validate(self.at.best), self.model, self.best_weights, together))

    def to_json(self) -> dict[str, Any]:
        """What the checkpoint says of it, beside its tensors."""
        plateau = self.scheduled.plateau
        ended = self.outcome and {"type": type(self.outcome).__name__, "message": str(self.outcome)}
        if isinstance(self.outcome, Result):
            ended = {"type": "Result"}
        return {"at": asdict(replace(self.at, plateau=plateau.state() if plateau else None)), "ended": ended}

    def tensors(self) -> Parts:
        """What the checkpoint keeps of it."""
        return self.state | {"best": self.best_weights, "last": self.last}

    def resume(self, saved: dict[str, Any], tensors: Parts, together: int) -> None:
        """Go on from what `to_json` and `tensors` gave."""
        self.at = Position(**saved["at"])
        if self.scheduled.plateau and self.at.plateau:
            self.scheduled.plateau.load(**self.at.plateau)
        self.best_weights = {name: tensor.to(self._device) for name, tensor in tensors.pop("best", {}).items()}
        last = tensors.pop("last", {})
        self.state = tensors
        replay_reports(self.at, self.hooks.epoch)
        match saved["ended"]:
            case {"type": "Result"}:
                self.succeed(last, together)
            case {"type": "Diverged", "message": message}:
                self.end(Diverged(message))
            case {"type": "Interrupted"}:
                self.outcome = Interrupted()


class GroupTrainer:
    """Runs between their beginning and their end, in one stack or several.

    Args:
        partition: how many runs each stack takes.
    """

    def __init__(
        self, members: list[GroupMember], data: Data, device: torch.device, folder: Path | None, partition: Partition
    ) -> None:
        self._members, self._data, self._device, self._folder, self._partition = (
            members,
            data,
            device,
            folder,
            partition,
        )
        self._spec = members[0].spec
        self._at = Position(spec=checkpoints.key(*(member.spec for member in members)))
        self._stacks: list[tuple[StackedModels, list[GroupMember], Live]] = []
        self._pool: ThreadPoolExecutor | None = None
        self._began, self._done = time.perf_counter(), 0  # of the epoch: its clock, its steps
        any_hooks = members[0].hooks  # each of them knows
        self._saver = Saver(folder and folder / CHECKPOINT, any_hooks.stop, any_hooks.saved)
        self._sizes = sizes_of(self._spec)

    @property
    def _live(self) -> list[GroupMember]:
        return [member for member in self._members if member.outcome is None]

    def train(self) -> list[Outcome]:
        """Train all runs to the end."""
        self._resume()
        with self.arranged(), contextlib.suppress(Interrupted):
            for epoch in range(self._at.epoch, self._spec.epochs):
                if not self._live:
                    break
                self._train_epoch(epoch)
                self._save_if_due()
        for member in self._live:
            member.outcome = Interrupted()
        return self._left()

    @contextlib.contextmanager
    def arranged(self) -> Iterator[None]:
        """The stacks, and the threads that advance them."""
        self._arrange()
        with contextlib.ExitStack() as leaving:
            if len(self._stacks) > 1:
                self._pool = leaving.enter_context(_pool(len(self._stacks)))
            yield

    def _left(self) -> list[Outcome]:
        """The outcomes; the weights are in the folder."""
        outcomes = [member.outcome for member in self._members if member.outcome is not None]
        if not any(isinstance(outcome, Interrupted) for outcome in outcomes):
            self._save()  # the caller may have to come back for what is left to do
        if self._folder:
            for i, member in enumerate(self._members):
                if member.last:
                    checkpoints.save_weights(self._folder / str(i) / BEST, member.best_weights)
                    checkpoints.save_weights(self._folder / str(i) / LAST, member.last)
        return outcomes

    def _arrange(self) -> None:
        """Put the runs that are left into stacks; a stack that has lost none stays."""
        live, before = self._live, {tuple(map(id, members)): entry for entry in self._stacks for members in [entry[1]]}
        self._stacks, begin = [], 0
        for width in self._partition(len(live)) if live else []:
            members = live[begin : begin + width]
            begin += width
            self._stacks.append(before.get(tuple(map(id, members))) or self._stacked(members))

    def _stacked(self, members: list[GroupMember]) -> tuple[StackedModels, list[GroupMember], Live]:
        stack = StackedModels([member.stack_member() for member in members], self._data, self._device)
        for row, member in enumerate(members):
            if member.state:
                stack.load(row, member.state)
            member.state = stack.state(row)

        def tell(step: int, done: int, losses: Tensor, hits: Tensor) -> None:
            images = sum(self._sizes[step + 1 - RUNNING : step + 1])
            for member, loss, right in zip(members, losses.mean(0).tolist(), hits.sum(0).tolist(), strict=True):
                if not member.leaving:
                    member.hooks.running(done, loss, right / images)

        return stack, members, Live(self._device, tell)

    def _each(self, call: Callable[[StackedModels], None]) -> None:
        """Do the same with every stack, at the same time if there are threads."""
        stacks = [stack for stack, _, _ in self._stacks]

        def share(first: int, step: int) -> None:
            for stack in stacks[first::step]:
                call(stack)

        if self._pool is None:
            share(0, 1)
        else:  # a task for each thread costs less than one for each stack
            threads = self._pool._max_workers
            list(self._pool.map(share, range(threads), [threads] * threads))

    def _train_epoch(self, epoch: int) -> None:
        """One pass over the training set, from where the runs stand, and what it came to."""
        self._began = time.perf_counter() - self._at.seconds
        self.begin(epoch, self._at.step)
        self.train_steps(epoch, self._at.step)
        self._finish_epoch(epoch)

    def begin(self, epoch: int, first: int) -> None:
        """Lay out the epoch, of which the steps before the `first` one are done."""
        self._each(lambda stack: stack.begin(epoch, first))

    def train_steps(self, epoch: int, first: int, end: int | None = None) -> None:
        """The epoch's steps from the `first` one on, up to `end` if given. Raises Interrupted."""
        steps = self._spec.steps_per_epoch
        for step in range(first, steps if end is None else end):
            self._stop_if_asked()
            total = epoch * steps + step
            self._each(lambda stack, step=step, total=total: stack.advance(step, first=total == 0))  # type: ignore[misc]
            self._done = step + 1
            self.after_step(step, total + 1)
            self._save_if_due()

    def after_step(self, step: int, total: int) -> None:
        """Report the epoch's step `step`, which is the last of `total` that are done."""
        for stack, members, live in self._stacks:
            for member in members:
                if not member.leaving:
                    member.hooks.step(total)
            live.after(step, total, stack.losses, stack.hits)

    def _stop_if_asked(self) -> None:
        """Mark who is to stop; Interrupted if nobody is left."""
        for member in self._live:
            member.leaving = member.leaving or member.hooks.stop()
        if all(member.leaving for member in self._live):
            self._save()
            raise Interrupted

    def _finish_epoch(self, epoch: int) -> None:
        """Evaluate, report, and let those go that have ended."""
        trained = self.figures(epoch)
        test = self._evaluate(self._data.test)
        validation = self._evaluate(self._data.validation) if self._data.validation else None
        seconds = time.perf_counter() - self._began
        if any(member.leaving for member in self._live):
            self._stop_if_asked()  # if all are stopped at about the same time, none is to be lost
        for stack, members, _ in self._stacks:
            for row, member in enumerate(members):
                if member.leaving:
                    member.end(Interrupted())
                    continue
                figures = trained[member], validation[member] if validation else None, test[member]
                self._finish_member(member, stack, row, figures, seconds)
        self._done = 0
        self._at = replace(self._at, epoch=epoch + 1, step=0, seconds=0.0)
        if any(member.outcome is not None for _, members, _ in self._stacks for member in members):
            self._arrange()
            for member in self._members:
                member.state = {} if member.outcome is not None else member.state

    def _finish_member(
        self,
        member: GroupMember,
        stack: StackedModels,
        row: int,
        figures: tuple[Figures, Figures | None, Figures],
        seconds: float,
    ) -> None:
        try:
            member.at, report, best = finish_epoch(member.spec, member.scheduled, member.at, figures, seconds)
        except Diverged as error:
            member.end(error)
            return
        if best.epoch == report.epoch:
            member.best_weights = stack.weights(row)
        member.hooks.epoch(report, best)
        if member.at.epoch == member.spec.epochs or out_of_patience(member.spec, member.at):
            member.succeed(stack.weights(row), len(self._members))

    def figures(self, epoch: int) -> dict[GroupMember, Figures]:
        """Loss and accuracy of the epoch's steps, which are also reported."""
        found, images = {}, sum(self._sizes)
        for stack, members, live in self._stacks:
            rows = stack.losses.t().tolist(), stack.hits.t().tolist()  # sync point
            live.flush()
            for member, losses, hits in zip(members, *rows, strict=True):
                if not member.leaving:
                    member.hooks.losses(epoch, losses)
                loss = math.fsum(loss * size for loss, size in zip(losses, self._sizes, strict=True)) / images
                found[member] = loss, sum(hits) / images
        return found

    def _evaluate(self, split: Split) -> dict[GroupMember, Figures]:
        """Mean cross-entropy and accuracy of each run."""
        self._each(StackedModels.begin_test)
        size, order = self._spec.eval_batch_size, torch.arange(len(split), device=self._device)
        for images, labels in split.batches(order, [slice(at, at + size) for at in range(0, len(split), size)], None):
            self._stop_if_asked()
            self._each(lambda stack, batch=(images, labels): stack.test(*batch))  # type: ignore[misc]
        return {
            member: figures
            for stack, members, _ in self._stacks
            for member, figures in zip(members, stack.tested(len(split)), strict=True)
        }

    def _resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self._folder:
            checkpoints.remove_unfinished(self._folder)
        if self._folder and (found := checkpoints.load(self._folder / CHECKPOINT, self._at.spec)):
            parts, self._at = found
            self._done = self._at.step
            for i, (member, saved) in enumerate(zip(self._members, self._at.runs, strict=True)):
                mine = {part.partition("-")[2]: named for part, named in parts.items() if part.startswith(f"{i}-")}
                member.resume(saved, mine, len(self._members))
            log.info("goes on from epoch %d, step %d", self._at.epoch, self._at.step)
        for member in self._live:
            member.hooks.step(self._at.epoch * self._spec.steps_per_epoch + self._at.step)

    def _save_if_due(self) -> None:
        if self._saver.due:
            self._save()

    def _save(self) -> None:
        """Write a checkpoint of where all runs stand, if there is to be one."""
        self._saver.save(self._parts, self._position)

    def _position(self) -> Position:
        self._at = replace(
            self._at,
            step=self._done,
            seconds=time.perf_counter() - self._began if self._done else 0.0,
            runs=[member.to_json() for member in self._members],
        )
        return self._at

    def _parts(self) -> Parts:
        """What the checkpoint keeps beside the position."""
        return {
            f"{i}-{part}": named for i, member in enumerate(self._members) for part, named in member.tensors().items()
        }


@contextlib.contextmanager
def _pool(stacks: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that share the processor: as many as there are stacks, and no more than torch would use for one."""
    before = torch.get_num_threads()
    threads = min(stacks, before)
    each = before // threads
    torch.set_num_threads(each)
    try:
        with ThreadPoolExecutor(threads, "stack", initializer=lambda: torch.set_num_threads(each)) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
