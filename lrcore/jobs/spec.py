"""The specification of a training job: everything that decides its result."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationInfo, model_validator

from lrcore.curve import MAX_WORK, table
from lrcore.datasets import AnyDataset, Dataset
from lrcore.errors import CurveError
from lrcore.family import Integer, Spec
from lrcore.grid import Grid
from lrcore.lengths import resolved
from lrcore.models import AnyModel
from lrcore.optimizers import AnyOptimizer
from lrcore.optimizers.sgd import SGD
from lrcore.schedules import AnySchedule, Rates, Schedule
from lrcore.schedules.constant import Constant

MAX_EPOCHS = 10_000
MAX_INTERVALS = 10**7  # values of a job's rate table


def _resolve(data: Any, info: ValidationInfo) -> Any:
    known = info.data
    if not {"dataset", "batch_size", "epochs", "interval"} <= known.keys():
        return resolved(data, None, None)
    batches = steps_per_epoch(known["dataset"], known["batch_size"]) if known["interval"] == "step" else 1
    return resolved(data, known["epochs"] * batches, batches)


def steps_per_epoch(dataset: Dataset, batch_size: int) -> int:
    """Optimizer steps in an epoch; the last batch may be short."""
    return -(-dataset.train_size // batch_size)


class JobSpec(Spec):
    """Train a model on a data set with an optimizer whose rate follows a schedule."""

    model: AnyModel
    dataset: AnyDataset
    optimizer: AnyOptimizer = Field(default_factory=lambda: SGD(type="SGD"))
    interval: Literal["epoch", "step"] = Field("epoch", description="whether the schedule counts epochs or steps")
    epochs: Annotated[Integer, Field(ge=1, le=MAX_EPOCHS)]
    batch_size: Annotated[Integer, Field(ge=1, le=65_536)] = 256
    seed: Annotated[Integer, Field(ge=0, lt=2**32)] = 0
    schedule: Annotated[AnySchedule | None, BeforeValidator(_resolve)] = Field(
        None, validate_default=False, description="null is the optimizer's fixed rate"
    )  # last: its lengths need the others

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        try:
            self.model.check(self.dataset.image_shape, self.dataset.num_classes)
        except ValueError as error:
            raise CurveError(("model",), str(error)) from None
        if (groups := self.rate_schedule.groups) not in (None, 1):
            raise CurveError(("schedule",), f"the schedule is for {groups} parameter groups, the optimizer has 1")
        if not self.rate_schedule.metric_driven:
            self.rates()
        elif self.interval != "epoch":
            raise CurveError(("interval",), f"{self.rate_schedule.type} follows the test metric, once an epoch")
        return self

    @property
    def rate_schedule(self) -> Schedule:
        """The schedule, or the constant that null stands for."""
        return self.schedule or Constant(type="Constant")

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch; the last batch may be short."""
        return steps_per_epoch(self.dataset, self.batch_size)

    @property
    def intervals(self) -> int:
        """How many rates the job uses."""
        return self.epochs * (self.steps_per_epoch if self.interval == "step" else 1)

    def rates(self) -> tuple[Rates, Rates | None]:
        """The whole table of rates and of momenta, each of shape (groups, intervals).

        Raises:
            CurveError: the schedule does not fit the job.
        """
        schedule = self.rate_schedule
        if self.intervals > MAX_INTERVALS:
            raise CurveError(("epochs",), f"{self.intervals} scheduled steps are more than {MAX_INTERVALS}")
        length = schedule.length
        if length is not None and self.intervals > length:
            message = f"the schedule ends after {length} steps, but the job takes {self.intervals}"
            raise CurveError(("schedule",), message)
        if schedule.work(self.intervals - 1, self.intervals) > MAX_WORK:
            message = f"{self.intervals} rates are too much work for a schedule of {schedule.size} parts"
            raise CurveError(("schedule",), message)
        curve = table(schedule, (self.optimizer.lr,), Grid(0, 1, self.intervals))
        return curve.lr, curve.momentum
