"""An experiment: one job varied over a grid of schedules, optimizer's numbers and seeds.

Letters: c configurations (what is compared) of s seeds each are c * s runs. Run i is configuration i // s with seed
i % s, both counted from 0; of the configurations, the grid's last axis varies fastest.
"""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, ClassVar, NoReturn, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from lrcore.dialects._foreign import MAX_TEXT, in_own_names, text_in
from lrcore.errors import CurveError, message
from lrcore.family import Items, Name, Number, Spec, Whole
from lrcore.jobs import configuration_labels
from lrcore.jobs.job import Progress
from lrcore.jobs.job_spec import JobSpec
from lrcore.jobs.prune import Asha
from lrcore.jobs.training_spec import TrainingSpec
from lrcore.numerics import cost
from lrcore.numerics.lengths import RunLength, SharesOf
from lrcore.optimizers import Optimizer
from lrcore.schedules import AnySchedule

MAX_RUNS = 10_000
CHECKED = cost.SECOND  # that checking all rates of a grid may take; a larger one is checked at its extremes
MAX_SETTINGS = 2 * 10**7  # characters of the settings of all configurations, which every leaderboard holds
FIXED = ("type", "param_groups")  # what is no number of an optimizer
Seed = Annotated[int, Whole(ge=0, lt=2**32)]


class Axes(Spec):
    """The values of each axis. An axis that is left out has the base's value alone."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[tuple[Any, ...], Items(MAX_RUNS, least=1)]]

    schedule: Annotated[tuple[AnySchedule | None, ...], Items(MAX_RUNS, least=1)] | None = Field(
        None, description="schedules; null is the fixed rate"
    )
    lr: Annotated[tuple[Number, ...], Items(MAX_RUNS, least=1)] | None = Field(
        None, description="the optimizer's rates; those of its parameter groups keep their ratio to it"
    )
    weight_decay: Annotated[tuple[Number, ...], Items(MAX_RUNS, least=1)] | None = None
    seed: Annotated[tuple[Seed, ...], Items(MAX_RUNS, least=1)] | None = Field(
        None, description="equal ones are compared in pairs"
    )

    @model_validator(mode="after")
    def _values_differ(self) -> Self:
        for name, values in self.given().items():
            seen: set[str] = set()
            for i, value in enumerate(values):
                try:
                    text = _text(value)
                except ValueError:  # in an axis of which nothing else is known yet
                    raise CurveError((name, i), "there are numbers that are not finite") from None
                if text in seen:
                    raise CurveError((name, i), "the value is there already")
                seen.add(text)
        return self

    def given(self) -> dict[str, tuple[Any, ...]]:
        """The axes that there are: the schedule first, the seed last."""
        numbers = {"lr": self.lr, "weight_decay": self.weight_decay} | (self.__pydantic_extra__ or {})
        axes = {"schedule": self.schedule} | numbers | {"seed": self.seed}
        return {name: values for name, values in axes.items() if values is not None}


def _validated(data: Any, validate: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """The grid, its schedules' lengths shares of the base's run."""
    base, schedules = info.data.get("base"), data.get("schedule") if isinstance(data, dict) else None
    if base is None or not isinstance(schedules, list | tuple) or len(schedules) > MAX_RUNS:
        return validate(data)
    if (text := text_in(schedules)) > MAX_TEXT:
        raise CurveError(("schedule",), f"the schedules have {text} characters of text, more than {MAX_TEXT}")
    with SharesOf(RunLength(base.intervals, base.intervals // base.epochs)):
        named = [_in_own_names(schedule, i) for i, schedule in enumerate(schedules)]
        return validate(data | {"schedule": named})


def _in_own_names(schedule: Any, i: int) -> Any:
    try:
        return in_own_names(schedule)
    except CurveError as error:
        raise CurveError(("schedule", i, *error.field), str(error)) from None


class ExperimentSpec(JobSpec):
    """Train every combination of the grid's values, side by side where that pays, and compare."""

    kind: ClassVar[str] = "experiment"
    sized_by: ClassVar[str] = "grid"

    name: Name | None = Field(None, description="to tell it from others; need not be unique")
    base: TrainingSpec = Field(description="what is the same in all runs")
    grid: Annotated[Axes, WrapValidator(_validated)]
    prune: Asha | None = Field(None, description="stop configurations early that are worse than others")

    @property
    def steps(self) -> int:
        return self.runs * self.base.steps

    def progress(self, step: int) -> Progress:
        """All runs together: an epoch of each counts."""
        steps, epochs = self.runs * self.base.steps, self.runs * self.base.epochs
        return Progress(
            epoch=step * epochs // steps, epochs=epochs, step=step, steps=steps, fraction=step / steps, eta_seconds=None
        )

    def record(self) -> dict[str, str | int]:
        return {"runs": self.runs, "next": 0, "step": 0}

    @property
    def title(self) -> str:
        return f"{self.name}: {self.base.setting}" if self.name else self.base.setting

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each run of a configuration, (s,)."""
        return self.grid.seed or (self.base.seed,)

    @property
    def configurations(self) -> int:
        """How many there are."""
        return math.prod(map(len, self._axes().values()))

    @property
    def runs(self) -> int:
        """How many there are."""
        return self.configurations * len(self.seeds)

    def settings(self, configuration: int) -> dict[str, Any]:
        """The values that make a configuration, by axis."""
        places = self._places(configuration)
        return {name: values[places[name]] for name, values in self._axes().items()}

    def plain_settings(self, configuration: int) -> dict[str, Any]:
        """The same as JSON."""
        return {name: _plain(value) for name, value in self.settings(configuration).items()}

    def run(self, index: int) -> TrainingSpec:
        """A run as a job. Raises ValidationError if it cannot be one."""
        configuration, place = divmod(index, len(self.seeds))
        return self._spec(self.settings(configuration)).model_copy(update={"seed": self.seeds[place]})

    def runs_of(self, configuration: int) -> range:
        """The runs of a configuration."""
        return range(configuration * len(self.seeds), (configuration + 1) * len(self.seeds))

    def check(self) -> None:
        """Find out whether all runs can be trained.

        Raises:
            CurveError: one cannot, or there are too many.
        """
        if self.runs > MAX_RUNS:
            raise CurveError(("grid",), f"{self.runs} runs are more than {MAX_RUNS}")
        if self.base.export:
            raise CurveError(("base", "export"), "the runs of an experiment leave no files")
        if self.prune and not self.prune.rungs(self.base.epochs):
            first = self.prune.resource(0)
            raise CurveError(("prune",), f"the first judgement, after {first} epochs, would come too late to save any")
        if self.prune and self.base.early_stopping:
            raise CurveError(("prune",), "runs that stop early by themselves have no figure to be judged by")
        self._check_axes()
        self._check_settings()
        self._check_rates()

    def _check_axes(self) -> None:
        for name in self._axes():
            if name != "schedule" and (name in FIXED or name not in type(self.base.optimizer).model_fields):
                known = ", ".join(field for field in type(self.base.optimizer).model_fields if field not in FIXED)
                message = f"{self.base.optimizer.type} has no such number; there are schedule, seed, {known}"
                raise CurveError(("grid", name), message)
        try:
            self.base.optimizer.at(1.0)
        except ZeroDivisionError:
            if "lr" in self._axes():
                message = "rates of parameter groups keep their ratio to it: it must not be 0"
                raise CurveError(("base", "optimizer", "lr"), message) from None

    def _check_settings(self) -> None:
        each = sum(sum(len(_text(value)) for value in values) / len(values) for values in self._axes().values())
        if self.configurations * each > MAX_SETTINGS:
            size = f"{self.configurations * each:.0f} characters"
            message = f"the settings of {self.configurations} configurations have {size}, more than {MAX_SETTINGS}"
            raise CurveError(("grid",), message)

    def _check_rates(self) -> None:
        rates: dict[object, tuple[int, TrainingSpec, bool]] = {}  # by all that decides them
        extremes = {name: _extremes(values) for name, values in self._axes().items() if name != "schedule"}
        for i in range(self.configurations):
            try:
                spec = self._spec(settings := self.settings(i))
            except ValidationError as error:
                self._blame(i, error)
            optimizer, schedule = spec.optimizer, id(spec.schedule)  # the axis holds it
            bases = optimizer.base_lrs, optimizer.base_momenta, spec.weight_decay_schedule and optimizer.weight_decays
            extreme = all(settings[name] in values for name, values in extremes.items())
            if (schedule, *bases) not in rates or extreme:
                rates[schedule, *bases] = i, spec, extreme
        checked = [(i, spec) for i, spec, _ in rates.values()]
        if sum(_cost(spec) for _, spec in checked) > CHECKED:
            checked = [(i, spec) for i, spec, extreme in rates.values() if extreme]
        if (message := cost.excess(sum(_cost(spec) for _, spec in checked))) is not None:
            raise CurveError(("grid",), f"to check all rates, {message}: give fewer or simpler schedules")
        for i, spec in checked:
            try:
                spec.check_schedules()
            except CurveError as error:
                raise CurveError(self._place(i, error.field), str(error)) from None

    def _places(self, configuration: int) -> dict[str, int]:
        """Index of each of a configuration's values in its axis."""
        axes = self._axes()
        places = np.unravel_index(configuration, [len(values) for values in axes.values()] or [1])
        return {name: int(place) for name, place in zip(axes, places, strict=bool(axes))}

    def _axes(self) -> dict[str, tuple[Any, ...]]:
        """All but the seed's."""
        axes = self.grid.given()
        axes.pop("seed", None)
        return axes

    def _spec(self, settings: dict[str, Any]) -> TrainingSpec:
        """A configuration with the base's seed. Raises ValidationError."""
        changes = dict(settings)
        changed = {name: changes.pop(name) for name in settings if name != "schedule"}
        if changed:
            changes["optimizer"] = self._optimizer(changed)
        return self.base.model_copy(update=changes)

    def _optimizer(self, numbers: dict[str, Any]) -> Optimizer:
        base = self.base.optimizer
        if "lr" in numbers:
            base = base.at(numbers["lr"])
        return type(base).model_validate(base.model_dump() | numbers)

    def _blame(self, configuration: int, error: ValidationError) -> NoReturn:
        first = error.errors()[0]
        place, wrong = self._place(configuration, tuple(first["loc"])), message(first)
        if place == ("grid",):  # it is no value's own fault
            wrong = f"{configuration_labels.label(self.plain_settings(configuration))}: {wrong}"
        raise CurveError(place, wrong) from None

    def _place(self, configuration: int, field: tuple[str | int, ...]) -> tuple[str | int, ...]:
        """Where a configuration has a field of its job, or of its optimizer."""
        places = self._places(configuration)
        match field:
            case (str() as name, *rest) if name in places:
                return ("grid", name, places[name], *rest)
            case (name, *_) if name in TrainingSpec.model_fields:
                return ("base", *field)
            case _:
                return ("grid",)


class ShardSpec(JobSpec):
    """Some runs of an experiment, in a worker's hands."""

    kind: ClassVar[str] = "runs"
    sized_by: ClassVar[str] = "grid"

    first: Annotated[int, Whole(ge=0)]
    count: Annotated[int, Whole(ge=1)]
    experiment: ExperimentSpec

    @property
    def indices(self) -> range:
        """The runs."""
        return range(self.first, self.first + self.count)

    @property
    def title(self) -> str:
        return self.experiment.title

    @property
    def steps(self) -> int:
        return self.count * self.experiment.base.steps

    @property
    def images_per_step(self) -> float:
        return self.experiment.base.images_per_step

    def progress(self, step: int) -> Progress:
        steps, epochs = self.count * self.experiment.base.steps, self.count * self.experiment.base.epochs
        return Progress(
            epoch=step * epochs // steps, epochs=epochs, step=step, steps=steps, fraction=step / steps, eta_seconds=None
        )


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def _text(value: Any) -> str:
    """The value as JSON; the same for numbers that are equal, as 1 and 1.0 are. Raises ValueError if it is none."""
    return json.dumps(json.loads(json.dumps(_plain(value), allow_nan=False), parse_int=float), sort_keys=True)


def _extremes(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The first, the last, the lowest and the highest value of an axis."""
    numbers = [value for value in values if isinstance(value, int | float)]
    return (values[0], values[-1], *((min(numbers), max(numbers)) if numbers else ()))


def _cost(spec: TrainingSpec) -> float:
    """What the tables of a run take at most, in nanoseconds of one core."""
    return sum(spec.table_costs().values())
