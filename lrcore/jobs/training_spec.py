"""The specification of a training job: everything that decides its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NoReturn, Self

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from lrcore.curve import table, table_cost
from lrcore.datasets import AnyDataset, Dataset
from lrcore.dialects._foreign import in_own_names
from lrcore.errors import CurveError
from lrcore.family import Flag, Items, Number, Spec, Whole
from lrcore.jobs.job import Progress
from lrcore.jobs.job_spec import JobSpec
from lrcore.models import AnyModel
from lrcore.numerics import cost
from lrcore.numerics.grid import Grid
from lrcore.numerics.lengths import RunLength, SharesOf
from lrcore.optimizers import AnyOptimizer
from lrcore.optimizers.sgd import SGD
from lrcore.schedules import AnySchedule, Rates, Schedule
from lrcore.schedules.constant import Constant

MAX_EPOCHS = 10_000
MAX_INTERVALS = 10**7  # values of a job's rate table


def _validated(data: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    with SharesOf(_run(info.data)):
        return validate(in_own_names(data))


def _run(known: dict[str, Any]) -> RunLength:
    """What lengths are shares of, by those fields of a job that are valid."""
    if not {"dataset", "batch_size", "drop_last", "epochs", "interval"} <= known.keys():
        return RunLength()
    per_step, parts = known["interval"] == "step", (known["dataset"], known["batch_size"], known["drop_last"])
    batches = steps_per_epoch(*parts) if per_step else 1
    return RunLength(known["epochs"] * batches, batches)


def steps_per_epoch(dataset: Dataset, batch_size: int, drop_last: bool) -> int:
    """Optimizer steps in an epoch; the last batch may be short, or is left out."""
    return dataset.train_size // batch_size if drop_last else -(-dataset.train_size // batch_size)


Scheduled = Annotated[AnySchedule | None, WrapValidator(_validated)]
BatchSize = Annotated[int, Whole(ge=1, le=65_536)]
Seed = Annotated[int, Whole(ge=0, lt=2**32)]


class EarlyStopping(Spec):
    """End a run that no longer gets better: patience epochs in a row without an improvement by more than min_delta."""

    monitor: Literal["loss", "accuracy"] = Field("loss", description="of the validation set, or else of the test set")
    patience: Annotated[int, Whole(ge=1, le=MAX_EPOCHS)]
    min_delta: Annotated[Number, Field(ge=0)] = 0.0


class Setup(JobSpec):
    """What is trained, on what and how: all of a training but its rates and its length."""

    model: AnyModel
    dataset: AnyDataset
    optimizer: AnyOptimizer = Field(default_factory=lambda: SGD(type="SGD"), description="SGD if left out")
    batch_size: BatchSize = Field(256, description="images of an optimizer step")
    drop_last: Flag = Field(False, description="whether the last batch of an epoch is left out if it is short")
    micro_batch_size: BatchSize | None = Field(
        None, description="images on the device at once; a step's gradients are accumulated over them"
    )
    eval_batch_size: BatchSize = Field(1000, description="images at once in the validation and test passes")
    seed: Seed = 0
    precision: Literal["float32", "bfloat16", "float64"] = Field(
        "float32", description="bfloat16 is torch's autocast: the weights stay float32"
    )
    label_smoothing: Annotated[Number, Field(ge=0, le=1)] = 0.0
    max_grad_norm: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="gradients with a larger norm, all parameters together, are scaled down to it"
    )
    ema_decay: Annotated[Number, Field(gt=0, lt=1)] | None = Field(
        None, description="evaluate and keep an exponential moving average of the weights, with this share of the old"
    )
    early_stopping: EarlyStopping | None = None
    deterministic: Flag = Field(False, description="on a GPU: the same result in every run, at a loss of speed")
    export: Annotated[tuple[Literal["onnx"], ...], Items(1)] = Field(
        (), description="formats the best model is also written in"
    )

    @model_validator(mode="after")
    def _setup_fits(self) -> Self:
        _check("model", lambda: self.model.check(self.dataset.image_shape, self.dataset.num_classes))
        if not self.steps_per_epoch:
            raise CurveError(("batch_size",), f"no batch is full: there are {self.dataset.train_size} training images")
        return self

    @property
    def setting(self) -> str:
        """What is trained on what, in a line."""
        return f"{self.model.type} · {self.dataset.type}"

    @property
    def images_per_step(self) -> float:
        if not (steps := self.steps_per_epoch):
            return float(self.batch_size)
        return float(min(self.batch_size, self.dataset.train_size / steps))

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch; the last batch may be short."""
        return steps_per_epoch(self.dataset, self.batch_size, self.drop_last)

    def progress(self, step: int) -> Progress:
        steps, each = self.steps, self.steps_per_epoch
        epochs = -(-steps // each)  # the last one may be a part
        return Progress(
            epoch=step // each, epochs=epochs, step=step, steps=steps, fraction=step / steps, eta_seconds=None
        )


class TrainingSpec(Setup):
    """Train a model on a data set with an optimizer whose rate follows a schedule."""

    kind: ClassVar[str] = "training"
    sized_by: ClassVar[str] = "epochs"

    interval: Literal["epoch", "step"] = Field("epoch", description="whether the schedule counts epochs or steps")
    epochs: Annotated[int, Whole(ge=1, le=MAX_EPOCHS)]
    schedule: Scheduled = Field(None, validate_default=False, description="null is the optimizer's fixed rate")
    momentum_schedule: Scheduled = Field(
        None, validate_default=False, description="of momentum, or beta1, with the optimizer's as its base_lr"
    )
    weight_decay_schedule: Scheduled = Field(
        None, validate_default=False, description="of weight decay, with the optimizer's as its base_lr"
    )  # schedules last: their lengths need the others

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        self.check_schedules()
        return self

    def check_schedules(self) -> None:
        """Raise CurveError if a schedule does not fit the job."""
        if self.schedule is not None and self.schedule.metric_driven and self.interval != "epoch":
            raise CurveError(("interval",), f"{self.schedule.type} follows a metric, once an epoch")
        self.tables()

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    @property
    def title(self) -> str:
        return f"{self.setting} · {self.rate_schedule.type}"

    @property
    def intervals(self) -> int:
        """How many rates the job uses."""
        return self.epochs * (self.steps_per_epoch if self.interval == "step" else 1)

    @property
    def rate_schedule(self) -> Schedule:
        """The schedule, or the constant that null stands for."""
        return self.schedule or Constant(type="Constant")

    def tables(self) -> Tables:
        """Every scheduled value of the job.

        Raises:
            CurveError: a schedule does not fit the job.
        """
        lr, momentum = None, None
        if not self.rate_schedule.metric_driven:
            lr, momentum = self._table("schedule", self.rate_schedule, self.optimizer.base_lrs)
        elif self.rate_schedule.groups not in (None, len(self.optimizer.base_lrs)):
            self._wrong_groups("schedule", self.rate_schedule)
        if self.momentum_schedule is not None:
            bases = self.optimizer.base_momenta
            if bases is None:
                raise CurveError(("momentum_schedule",), f"{self.optimizer.type} has no momentum")
            if momentum is not None:
                raise CurveError(("momentum_schedule",), f"the {self.rate_schedule.type} already cycles momentum")
            momentum, _ = self._table("momentum_schedule", self.momentum_schedule, bases)
        if momentum is not None:
            field = "schedule" if self.momentum_schedule is None else "momentum_schedule"
            if (too_high := momentum[momentum >= 1]).size:  # NaN is left to the optimizer
                raise CurveError((field,), f"momentum would be {too_high.max():g}, not below 1")
            _check(field, lambda: self.optimizer.check_momentum(momentum))
        weight_decay = None
        if self.weight_decay_schedule is not None:
            bases = self.optimizer.weight_decays
            weight_decay, _ = self._table("weight_decay_schedule", self.weight_decay_schedule, bases)
        return Tables(lr, momentum, weight_decay)

    def table_costs(self) -> dict[str, float]:
        """What each schedule's table takes at most, by its field, in nanoseconds of one core."""
        columns, t = len(self.optimizer.base_lrs), Grid(0, 1, self.intervals)
        scheduled = {
            "schedule": self.rate_schedule,
            "momentum_schedule": self.momentum_schedule,
            "weight_decay_schedule": self.weight_decay_schedule,
        }
        return {
            field: table_cost(schedule, columns, t)
            for field, schedule in scheduled.items()
            if schedule is not None and not schedule.metric_driven
        }

    def _table(self, field: str, schedule: Schedule, bases: tuple[float, ...]) -> tuple[Rates, Rates | None]:
        if schedule.metric_driven:
            raise CurveError((field,), f"{schedule.type} follows a metric, which only the learning rate can")
        if schedule.groups not in (None, len(bases)):
            self._wrong_groups(field, schedule)
        if self.intervals * len(bases) > MAX_INTERVALS:
            raise CurveError(("epochs",), f"{self.intervals} scheduled steps are more than {MAX_INTERVALS}")
        length = schedule.length
        if length is not None and self.intervals > length:
            message = f"the schedule ends after {length} steps, but the job takes {self.intervals}"
            raise CurveError((field,), message)
        costs = self.table_costs()
        if (excess := cost.excess(sum(costs.values()))) is not None:
            dearest = max(costs, key=lambda name: costs[name])
            raise CurveError((dearest,), f"{excess}: train for fewer steps, or by a simpler schedule")
        try:
            curve = table(schedule, bases, Grid(0, 1, self.intervals))
        except CurveError as error:
            raise CurveError((field, *error.field[1:]), str(error)) from None
        return curve.lr, curve.momentum

    def _wrong_groups(self, field: str, schedule: Schedule) -> NoReturn:
        message = f"the schedule is for {schedule.groups} parameter groups, the optimizer has "
        raise CurveError((field,), message + str(len(self.optimizer.base_lrs)))


@dataclass(frozen=True)
class Tables:
    """What a job's schedules give for each interval, one row a column of the optimizer: shape (columns, intervals).

    Attributes:
        lr: rates; None if they follow a metric.
        momentum: momentum or beta1, NaN where it is left to the optimizer; None if it is never scheduled.
        weight_decay: None if it is never scheduled.
    """

    lr: Rates | None
    momentum: Rates | None
    weight_decay: Rates | None


def _check(field: str, check: Callable[[], None]) -> None:
    try:
        check()
    except ValueError as error:
        raise CurveError((field,), str(error)) from None
