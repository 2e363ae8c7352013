"""A job in the hands of the program that submitted it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from lrcore.jobs.job import Job
from lrcore.jobs.states import State
from lrserve.client import jobs
from lrserve.client.bar import Bar
from lrserve.client.events import Event, follow, follow_async
from lrserve.client.methods import Awaiting, Blocking, BoundMaker, BoundMethod
from lrserve.client.transport import AsyncTransport, SyncTransport

if TYPE_CHECKING:
    from rich.console import Console


class _Known:
    """What the server said when the handle was made."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._bound: tuple[str, ...] = (job.id,)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}, {self.kind}>"

    @property
    def id(self) -> str:
        """The job's id."""
        return self.job.id

    @property
    def kind(self) -> str:
        """training, lr_range_test or experiment."""
        return self.job.kind

    @property
    def spec(self) -> dict[str, Any]:
        """The job's spec with its defaults."""
        return self.job.spec

    @property
    def state(self) -> State:
        """What it was when the handle was made; `.now().state` asks."""
        return self.job.state


def handle_of(transport: SyncTransport, job: Job) -> JobHandle:
    """The handle of a job, as its kind has one."""
    return HANDLES.get(job.kind, JobHandle)(transport, job)


def async_handle_of(transport: AsyncTransport, job: Job) -> AsyncJobHandle:
    """The same, to be awaited."""
    return ASYNC_HANDLES.get(job.kind, AsyncJobHandle)(transport, job)


class _Methods:
    """What can be done with a job of any kind."""

    now = BoundMethod(jobs.job)
    wait = BoundMethod(jobs.wait)
    metrics = BoundMethod(jobs.metrics)
    plot = BoundMethod(jobs.plot)
    artifacts = BoundMethod(jobs.artifacts)
    download = BoundMethod(jobs.download_all)
    cancel = BoundMethod(jobs.cancel)
    pause = BoundMethod(jobs.pause)
    resume = BoundMethod(jobs.resume)
    prioritize = BoundMethod(jobs.prioritize)
    delete = BoundMethod(jobs.delete)
    retry = BoundMaker(jobs.retry, handle_of, async_handle_of)
    clone = BoundMaker(jobs.clone, handle_of, async_handle_of)


class _OfExperiment:
    """What can be asked of an experiment."""

    leaderboard = BoundMethod(jobs.leaderboard)
    epochs = BoundMethod(jobs.epochs)
    runs = BoundMethod(jobs.runs)
    run = BoundMethod(jobs.run)


class _OfRangeTest:
    """What can be asked of an LR range test."""

    result = BoundMethod(jobs.range_result)


class JobHandle(_Known, _Methods, Blocking):
    """A job. Every method raises ApiError."""

    def __init__(self, transport: SyncTransport, job: Job) -> None:
        super().__init__(job)
        self._transport = transport

    def events(self, after: str = "0") -> Iterator[Event]:
        """The job's events from its beginning to its `end`, over broken connections too."""
        return follow(self._transport, self.id, after)

    def watch(self, title: str = "", console: Console | None = None) -> Job:
        """Show a progress bar until the job has ended; the job as it ended."""
        with Bar(self.now(), title, console) as bar:
            for event in self.events():
                bar.show(event)
        return self.now()


class ExperimentHandle(JobHandle, _OfExperiment):
    """An experiment."""


class RangeTestHandle(JobHandle, _OfRangeTest):
    """An LR range test."""


class AsyncJobHandle(_Known, _Methods, Awaiting):
    """A job, whose methods are awaited. Each raises ApiError."""

    def __init__(self, transport: AsyncTransport, job: Job) -> None:
        super().__init__(job)
        self._transport = transport

    def events(self, after: str = "0") -> AsyncIterator[Event]:
        """The job's events from its beginning to its `end`, over broken connections too."""
        return follow_async(self._transport, self.id, after)

    async def watch(self, title: str = "", console: Console | None = None) -> Job:
        """Show a progress bar until the job has ended; the job as it ended."""
        with Bar(await self.now(), title, console) as bar:
            async for event in self.events():
                bar.show(event)
        return await self.now()


class AsyncExperimentHandle(AsyncJobHandle, _OfExperiment):
    """An experiment, whose methods are awaited."""


class AsyncRangeTestHandle(AsyncJobHandle, _OfRangeTest):
    """An LR range test, whose methods are awaited."""


HANDLES = {"experiment": ExperimentHandle, "lr_range_test": RangeTestHandle}
ASYNC_HANDLES = {"experiment": AsyncExperimentHandle, "lr_range_test": AsyncRangeTestHandle}
