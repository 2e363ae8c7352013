"""What the server answers, where lrcore has no class of its own for it. What newer servers add is left out."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from lrserve.client.calls import M, list_of

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")
Floats = NDArray[np.float64]


class Entry(BaseModel, frozen=True):
    """A schedule, model, data set or optimizer of the catalogue.

    Attributes:
        formula: of a schedule alone.
        parameters: JSON Schema of its JSON.
    """

    type: str
    summary: str
    formula: str | None = None
    origin: str
    parameters: dict[str, Any]
    example: dict[str, Any]


class Kind(BaseModel, frozen=True):
    """A job type.

    Attributes:
        submit: path of the route that takes one.
        parameters: JSON Schema of its JSON.
    """

    type: str
    summary: str
    submit: str
    parameters: dict[str, Any]


class Translation(BaseModel, frozen=True):
    """A schedule as code of another framework.

    Attributes:
        exact: whether the code's rates are those of the curve, up to rounding.
        notes: what differs, and how the code is to be used.
    """

    code: str
    exact: bool
    notes: list[str]


class Fit(BaseModel, frozen=True):
    """A schedule that draws a logged series, and how near it comes; errors are shares of the largest logged rate.

    Attributes:
        diverges_at: the first step after the log at which its rate differs from the best fit's, if they agree on the
            log but not afterwards.
    """

    schedule: dict[str, Any]
    base_lr: float
    max_error: float
    rms_error: float
    exact: bool
    diverges_at: int | None = None


class Reading(BaseModel, frozen=True):
    """What a framework's configuration says.

    Attributes:
        framework: whose configuration it is.
        base_lr: the initial rate, or one a parameter group.
        interval: what a step of the schedule is: "step" or "epoch".
        facts: initial, final, min, max and mean rate, integral and steps of the run; a list of these, one a parameter
            group; None where the rate follows a metric, or the run's length is not known.
        notes: what was assumed and what was left out.
    """

    framework: str = Field(alias="from")
    schedule: dict[str, Any]
    base_lr: float | list[float]
    interval: str
    facts: Any
    notes: list[str]


class Plan(BaseModel, frozen=True):
    """What a job would do.

    Attributes:
        spec: with all its defaults.
        steps: optimizer steps, of an experiment those of all runs.
        lr: rate of every interval, a list a parameter group; None for an experiment, and where it follows a metric.
        runs: of an experiment alone.
        warnings: what may not be meant: code, message and step.
    """

    spec: dict[str, Any]
    steps: int
    steps_per_epoch: int
    lr: list[list[float]] | None = None
    runs: int | None = None
    configurations: int | None = None
    warnings: list[dict[str, Any]]


class Health(BaseModel, frozen=True):
    """The process is up."""

    status: str


class QueueState(BaseModel, frozen=True):
    """What waits for one kind of hardware, and how many workers have it."""

    waiting: int
    workers: int


class Readiness(BaseModel, frozen=True):
    """The service can take jobs. Without a good key, a server that asks for keys leaves out workers and queues."""

    status: str
    redis: str
    workers: int | None = None
    queues: dict[str, QueueState] | None = None


class ApiKey(BaseModel, frozen=True):
    """A key, without its secret; times are RFC 3339 in UTC."""

    id: str
    tenant: str
    role: str
    name: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None


@dataclass(frozen=True)
class CurveDetails:
    """A curve with what can be said of it.

    Attributes:
        schedule: with all its defaults.
        base_lr: a number, or one a parameter group.
        lr: rates, shape (steps,), or (groups, steps) if base_lr is a list.
        momentum: of the same shape, NaN where it is left to the optimizer; None if the schedule cycles none.
        summary: initial, final, min, max, mean and integral; a list of these, one a parameter group.
        where: the step at which `where` was reached first, if it was asked for.
        warnings: what the schedule's author may not have meant: code, message and step.
    """

    schedule: dict[str, Any]
    base_lr: float | list[float]
    start: int
    stride: int
    lr: Floats
    momentum: Floats | None
    summary: Any
    where: Any
    warnings: list[dict[str, Any]]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> CurveDetails:
        """The JSON of a curve."""
        momentum = answer.get("momentum")
        return cls(
            schedule=answer["schedule"],
            base_lr=answer["base_lr"],
            start=answer["start"],
            stride=answer["stride"],
            lr=np.array(answer["lr"], np.float64),
            momentum=None if momentum is None else np.array(momentum, np.float64),  # null becomes NaN
            summary=answer["summary"],
            where=answer.get("where"),
            warnings=answer["warnings"],
        )


class Records(list[T], Generic[T]):
    """A list that pandas can have as a table.

    Args:
        as_csv: makes the table of the records.
    """

    def __init__(self, records: Iterable[T], as_csv: Callable[[list[T]], str]) -> None:
        super().__init__(records)
        self._as_csv = as_csv

    def csv(self) -> str:
        """One line a record, after a line of names."""
        return self._as_csv(self)

    def frame(self) -> pd.DataFrame:
        """The table, one row a record. Raises ImportError without pandas, which the extra [pandas] brings."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("a frame needs pandas: pip install 'lrserve[pandas]'") from error
        return pandas.read_csv(io.StringIO(self.csv()), engine="python")  # the other engine rounds


def records_of(cls: type[M], name: str, as_csv: Callable[[list[M]], str]) -> Callable[[httpx.Response], Records[M]]:
    """Reads a list of such objects, which stands under a name in the answer."""
    items = list_of(cls, name)
    return lambda response: Records(items(response), as_csv)
