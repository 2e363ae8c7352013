"""A job as its readers see it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from lrcore.family import Items, Number, Spec, Whole, is_none
from lrcore.jobs.states import RunState, State

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.=/-]{1,63}$", strict=True)]
Priority = Annotated[int, Whole(ge=0, le=9)]
Hardware = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,31}$", strict=True)]


class SchedulingOptions(Spec):
    """Where and when a job is to be run."""

    labels: Annotated[tuple[Label, ...], Items(20)] = Field((), description="to find the job by, such as team=vision")
    priority: Priority = Field(0, description="a higher one goes first")
    hardware: Hardware | None = Field(
        None, description="label of the workers that may take it, such as gpu, gpu.h200 or cpu; any worker if null"
    )
    max_attempts: Annotated[int, Whole(ge=1, le=10)] = Field(
        1, description="runs that may end in an error before the job fails; workers that were lost do not count"
    )


class JobOptions(SchedulingOptions):
    """How a job is to be run: what does not change its result."""

    max_seconds: Annotated[Number, Field(ge=0.001, le=1e8)] | None = Field(  # kept in milliseconds
        None, description="of running, all attempts together and without pauses, after which the job fails"
    )


class Progress(BaseModel, frozen=True):
    """How far a job is."""

    epoch: int = Field(description="finished epochs")
    epochs: int
    step: int = Field(description="finished optimizer steps")
    steps: int
    fraction: float = Field(description="finished share of the steps, 0 to 1")
    eta_seconds: float | None = Field(description="seconds left at the present pace; null before there is one")
    train_loss: float | None = Field(
        None, description="mean over the last 50 steps, once there were so many", exclude_if=is_none
    )
    train_accuracy: float | None = Field(None, description="mean over the last 50 steps, likewise", exclude_if=is_none)


class Epoch(BaseModel, frozen=True):
    """What one epoch came to."""

    epoch: int
    lr: list[float] = Field(description="rate at the epoch's first step, one a parameter group")
    momentum: list[float] | None = Field(None, description="the same for a scheduled momentum", exclude_if=is_none)
    train_loss: float
    train_accuracy: float
    val_loss: float | None = Field(None, description="with a validation split", exclude_if=is_none)
    val_accuracy: float | None = Field(None, description="with a validation split", exclude_if=is_none)
    test_loss: float
    test_accuracy: float
    seconds: float


class Best(BaseModel, frozen=True):
    """The epoch with the highest validation accuracy, or test accuracy if nothing is held out; the first of them."""

    epoch: int
    val_accuracy: float | None = Field(None, description="with a validation split", exclude_if=is_none)
    test_accuracy: float

    @classmethod
    def of(cls, epoch: Epoch) -> Best:
        """An epoch as the best one."""
        return cls(epoch=epoch.epoch, val_accuracy=epoch.val_accuracy, test_accuracy=epoch.test_accuracy)

    def after(self, epoch: Epoch) -> Best:
        """The better of this and a later epoch; this one if they are as good."""
        new = Best.of(epoch)
        return new if new._accuracy > self._accuracy else self

    @property
    def _accuracy(self) -> float:
        return self.test_accuracy if self.val_accuracy is None else self.val_accuracy


class JobError(BaseModel, frozen=True):
    """Why a job failed."""

    type: str
    message: str


class GroupingView(BaseModel, frozen=True):
    """How a run of an experiment was trained."""

    together: int = Field(description="runs side by side, this one counted")
    alone: str | None = Field(description="why there was but one, although there were others")


class RunRow(BaseModel, frozen=True):
    """A run of an experiment."""

    run: int = Field(description="its index")
    configuration: int = Field(description="index of what it is a run of")
    seed: int
    state: RunState = Field(description="pruned: stopped early, because other configurations were better")
    epoch: int | None = Field(description="the last finished epoch; null before the first")
    final_test_accuracy: float | None = Field(description="after that epoch")
    best_test_accuracy: float | None = Field(description="of the best epoch so far")
    best_epoch: int | None
    error: JobError | None
    training: GroupingView | None = Field(description="how it was trained; null before it has succeeded")


class JobSummary(BaseModel, frozen=True):
    """A snapshot of a job as lists have it: without what may be long."""

    id: str
    key: str = Field("", exclude=True, description="the id under which it is stored")
    tenant: str = Field("", exclude=True)
    kind: str = Field(description="training, lr_range_test or experiment")
    title: str = Field(description="what it is about, in a line")
    state: State
    labels: list[str] = Field(description="given with the job, to find it by")
    priority: int = Field(description="0 to 9; a higher one goes first")
    hardware: str | None = Field(description="label of the workers that may take it; null: any")
    plugins: dict[str, str] = Field(
        {},
        description="version of each plug-in that its spec uses, by distribution: a worker must have the same",
        exclude_if=lambda value: not value,
    )
    max_attempts: int
    max_seconds: float | None
    requested: Literal["cancel", "pause"] | None = Field(description="what the worker of a running job was asked for")
    position: int | None = Field(description="jobs before it in its queue; null if it is in none")
    starts_in_seconds: float | None = Field(
        description="how long it will wait, by what jobs of its queue take and who serves it; null if that is unknown, "
        "or if the tenant has used up its seconds of running for today, or may store no more"
    )
    attempt: int = Field(description="how many times a worker has taken the job, or a shard of the experiment")
    losses: int = Field(description="how many of its workers were lost")
    progress: Progress
    metrics: Epoch | None = Field(description="the last finished epoch")
    best: Best | None
    error: JobError | None
    created_at: str = Field(description="RFC 3339, UTC")
    started_at: str | None
    finished_at: str | None


class Job(JobSummary):
    """A snapshot of a job."""

    spec: dict[str, Any]
    result: dict[str, Any] | None = Field(
        None, description="what a job that is no training came to; null before it has succeeded"
    )

    @property
    def options(self) -> JobOptions:
        """How it is run."""
        return JobOptions.model_validate({name: getattr(self, name) for name in JobOptions.model_fields})


def rfc3339(milliseconds: int | None) -> str | None:
    """Milliseconds since 1970 as an RFC 3339 time in UTC."""
    return None if milliseconds is None else as_rfc3339(datetime.fromtimestamp(milliseconds / 1000, UTC))


def as_rfc3339(time: datetime) -> str:
    """An aware time as RFC 3339 in UTC, to the millisecond."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
