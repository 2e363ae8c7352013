"""Reports of a shard: the runs of an experiment that one worker trains."""

from __future__ import annotations

import functools
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import cast

from lrcore.jobs.experiment import ShardSpec
from lrcore.jobs.job import Best, Epoch, GroupingView, JobError
from lrcore.jobs.states import RunState, State
from lrcore.service import traces
from lrcore.service.settings import Settings
from lrcore.store.errors import Gap
from lrcore.store.lease import LeaseStore
from lrcore.store.records import Claim, Judgement, RunEnd, RunEpoch

from .engine import Diverged, Interrupted, OutOfMemory, Result
from .engine.hooks import Hooks
from .pruning import survivors
from .reporter import Preparing, Reporter

log = logging.getLogger("lrserve.worker")

AT_ONCE = 200  # reports in one call: Redis answers nobody else meanwhile


@dataclass(frozen=True)
class ShardHooks:
    """What the training of a shard calls.

    Attributes:
        runs: Hooks of each run.
        stop: whether all of them are to stop.
    """

    runs: list[Hooks]
    stop: Callable[[], bool]


class ShardReporter(Reporter):
    """The reporter of a shard: one thread, one lease and one call for the epochs of all its runs."""

    def __init__(self, store: LeaseStore, claim: Claim, settings: Settings, draining: threading.Event) -> None:
        super().__init__(store, claim, settings, draining)
        self._shard = cast(ShardSpec, claim.spec)
        self._steps = dict.fromkeys(self._shard.indices, 0)
        self._epochs: dict[int, list[RunEpoch]] = {run: [] for run in self._shard.indices}
        self._ends: dict[int, RunEnd] = {}
        self._news: deque[RunEpoch | RunEnd] = deque()
        self._pruned: set[int] = set()
        self._judged: set[tuple[int, int]] = set()  # rung and configuration
        self._to_judge = False  # there are new epochs
        self._began_at: dict[int, tuple[float, int]] = {}  # of each run in this attempt: time, and steps before
        self._stopped = False  # all runs are to stop, also if that is taken back before they have

    def hooks(self, stop: Callable[[], bool], preparing: Preparing) -> ShardHooks:
        def stopped() -> bool:
            self._stopped = stop() or self._stopped
            return self._stopped

        def of(run: int) -> Hooks:
            return Hooks(
                step=functools.partial(self._stepped, run),
                epoch=functools.partial(self._epoch_of, run),
                stop=lambda: stopped() or run in self._pruned,
                saved=self.saved,
                preparing=preparing,
                ended=functools.partial(self._ended, run),
            )

        return ShardHooks([of(run) for run in self._shard.indices], stopped)

    def finish(self, state: State, error: JobError | None, *, again: bool = False) -> State:
        """Report each run's end once more first: a run whose end Redis has lost would count as succeeded."""
        for run, reported in self._epochs.items():
            self._news.extend(reported[-1:])  # which shows whether those before it are missing
            if run in self._ends:
                self._news.append(self._ends[run])
            elif run in self._pruned:
                self._news.append(RunEnd(run, RunState.PRUNED))
        return super().finish(state, error, again=again)

    def _stepped(self, run: int, step: int) -> None:
        first = not any(self._steps.values())
        self._steps[run] = step
        self._began_at.setdefault(run, (time.time(), step))
        if first and step:
            self._reports.put(self._beat)

    def _epoch_of(self, run: int, epoch: Epoch, best: Best) -> None:
        if epoch.epoch < len(self._epochs[run]):  # reported before this run yielded to others
            return
        report = RunEpoch(run, epoch, best)
        self._epochs[run].append(report)
        done = (epoch.epoch + 1) * self._shard.experiment.base.steps_per_epoch
        self._steps[run] = max(self._steps[run], done)  # of a resumed run, epochs are reported before steps
        self._report_soon(report)

    def trained(self) -> tuple[int, float]:
        began = self._began_at.copy()  # runs may be added meanwhile
        steps = sum(self._steps[run] - before for run, (_, before) in began.items())
        return steps, steps * self._shard.images_per_step

    def _ended(self, run: int, outcome: object) -> None:
        if run in self._began_at:
            traces.past("run", self._began_at[run][0], time.time(), run=run, outcome=type(outcome).__name__)
        match outcome:
            case Result(together=together, alone=alone):
                how = GroupingView(together=together, alone=alone)
                self._report_end(RunEnd(run, RunState.SUCCEEDED, training=how))
            case Exception() if not isinstance(outcome, Interrupted):
                kind = {Diverged: "diverged", OutOfMemory: "out_of_memory"}.get(type(outcome), "error")
                self._report_end(RunEnd(run, RunState.FAILED, JobError(type=kind, message=str(outcome))))
        if not isinstance(outcome, Interrupted):
            self._steps[run] = self._shard.experiment.base.steps

    def _report_end(self, end: RunEnd) -> None:
        self._ends[end.run] = end
        self._report_soon(end)

    def _report_soon(self, news: RunEpoch | RunEnd) -> None:
        self._news.append(news)
        if len(self._news) == 1:
            self._reports.put(self._beat)

    def _beat(self) -> str:
        """Keep the lease, and report what is new."""
        while True:
            news = [self._news[i] for i in range(min(len(self._news), AT_ONCE))]
            try:
                wanted = self._report(news)
            except Gap as gap:
                log.warning("%s; reporting it again", gap)
                self._replay_reports(gap, news)
                continue
            for _ in news:
                self._news.popleft()
            self._to_judge = self._to_judge or any(isinstance(each, RunEpoch) for each in news)
            if self._to_judge:
                self._judge()
                self._to_judge = False
            if not self._news:
                return wanted

    def _report(self, news: list[RunEpoch | RunEnd]) -> str:
        step = self._steps_done()
        if not step and not news:  # a resumed shard has come further
            return self._store.beat(self._claim, self._settings.lease_seconds, None, self._sign())
        return self._store.report(self._claim, self._settings.lease_seconds, step, news, self._sign())

    def _steps_done(self) -> int:
        return sum(self._steps.values())

    def _replay_reports(self, gap: Gap, news: list[RunEpoch | RunEnd]) -> None:
        """Record the epochs of a run that Redis has lost, up to those that are new."""
        assert gap.run is not None
        reported = self._epochs[gap.run]
        new = next(each.epoch.epoch for each in news if isinstance(each, RunEpoch) and each.run == gap.run)
        self._report([*reported[gap.epoch : new]])

    def _judge(self) -> None:
        """Ask whether the configurations that have come to a rung go on."""
        experiment = self._shard.experiment
        if (rule := experiment.prune) is None:
            return
        for rung, epochs in enumerate(rule.rungs(experiment.base.epochs)):
            mine = [c for c in self._at(epochs) if (rung, c) not in self._judged]
            if not mine:
                continue
            values = self._values(epochs)
            asked = [c for c in mine if c in values]  # the others have seeds that are not there yet
            alive = survivors(values, rule.reduction_factor) if asked else set()
            judgements = [Judgement(f"{rung}:{c}", experiment.runs_of(c), c in alive) for c in asked]
            for configuration, goes_on in zip(asked, self._store.judge(self._claim, judgements), strict=True):
                self._judged.add((rung, configuration))
                if not goes_on:
                    self._pruned.update(experiment.runs_of(configuration))

    def _at(self, epochs: int) -> Iterator[int]:
        """Configurations of which a run in this shard has finished so many epochs."""
        seeds = len(self._shard.experiment.seeds)
        for configuration in range(self._shard.first // seeds, (self._shard.indices.stop - 1) // seeds + 1):
            runs = [run for run in self._shard.experiment.runs_of(configuration) if run in self._epochs]
            if any(run not in self._pruned and len(self._epochs[run]) >= epochs for run in runs):
                yield configuration

    def _values(self, epochs: int) -> dict[int, float]:
        """Mean accuracy of each configuration all of whose runs have finished so many epochs; NaN if one failed."""
        reached = self._store.reached(self._claim.id.partition("/")[0], epochs - 1)
        found = {}
        for configuration in range(self._shard.experiment.configurations):
            runs = [reached.get(run) for run in self._shard.experiment.runs_of(configuration)]
            values = [_accuracy(*run) for run in runs if run is not None]
            known = [value for value in values if value is not None]
            if len(known) == len(runs):
                found[configuration] = fmean(known)
        return found


def _accuracy(state: RunState, epoch: Epoch | None) -> float | None:
    """What a run is judged by; None if it is not there yet."""
    if state is RunState.FAILED:
        return math.nan
    if epoch is None:
        return None
    return epoch.test_accuracy if epoch.val_accuracy is None else epoch.val_accuracy
