"""The LR range test, Smith, arXiv:1506.01186: a job that raises its rate at every step, and what its losses suggest.

Letters: n steps were made, with rates lr and losses loss of shape (n,); with several seeds, loss is their mean.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from lrcore.curve import table
from lrcore.errors import CurveError
from lrcore.family import Items, Number, Whole
from lrcore.jobs.training_spec import MAX_EPOCHS, Seed, Setup, TrainingSpec
from lrcore.numerics.grid import Grid
from lrcore.schedules import Schedule
from lrcore.schedules.range_test import ExponentialRangeTest, LinearRangeTest
from lrcore.text import csv_of

Floats = NDArray[np.float64]
Suggested = Literal["steepest", "valley", "max_lr"]
Ending = Literal["num_iter", "diverged", "not_finite"]
Rate = Annotated[Number, Field(gt=0)]

MAX_SEEDS = 64
SKIPPED_FIRST = 10  # one in ten, as fastai: the running mean has seen too few losses
SKIPPED_LAST = 5  # as fastai: the losses run away
FEWEST = 5  # points that a suggestion is made from
FALL = 0.003  # by which share the smoothed loss must fall: less is nothing
LEAST = 20  # losses to tell the noise from
NOISE = 8.0  # and by how many standard deviations of its noise: in a hundred tests without any fall, one shows as much
NEAR = 0.1  # share of the fall above the lowest smoothed loss that still counts as low
SAFETY = 0.1  # of the rate at which the loss begins to rise


class RangeTestSpec(Setup):
    """Find a rate: train for num_iter steps, from start_lr up to end_lr, and look where the loss falls and rises.

    The optimizer's `lr` is not used, but for the ratio that rates of its parameter groups have to it, and keep.
    `eval_batch_size`, `ema_decay`, `early_stopping` and `export` are those of the training that `use_for` asks for.
    """

    kind: ClassVar[str] = "lr_range_test"
    sized_by: ClassVar[str] = "num_iter"

    start_lr: Rate = 1e-7
    end_lr: Rate = 10.0
    num_iter: Annotated[int, Whole(ge=2, le=MAX_EPOCHS)] = Field(
        100, description="optimizer steps, over as many passes of the data as that takes"
    )
    seeds: Annotated[tuple[Seed, ...], Items(MAX_SEEDS, least=1)] | None = Field(
        None,
        description="make the test once with each, side by side where that is faster, and look at the mean of their "
        "losses; `seed` is then that of the training alone. null: only with `seed`",
    )
    mode: Literal["exp", "linear"] = Field("exp", description="the same factor, or the same difference, at every step")
    smoothing: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.05, description="weight of each new loss in the running mean, which is free of bias; 1 smooths nothing"
    )
    stop_factor: Annotated[Number, Field(gt=1)] | None = Field(
        4.0, description="the test ends once the smoothed loss is above this times its lowest value; null: never"
    )
    use_for: Suggested | None = Field(
        None,
        description="once the test has succeeded, submit a training with the same spec and options at this suggestion",
    )
    epochs: Annotated[int, Whole(ge=1, le=MAX_EPOCHS)] | None = Field(
        None, description="of the training that use_for asks for; the test itself has num_iter steps"
    )

    @model_validator(mode="after")
    def _test_fits(self) -> Self:
        if self.end_lr <= self.start_lr:
            raise CurveError(("end_lr",), f"a test from {self.start_lr:g} must end above it, not at {self.end_lr:g}")
        if len(set(self.tried)) < len(self.tried):
            raise CurveError(("seeds",), "a seed is there twice, and would give the same losses")
        if self.use_for and self.epochs is None:
            raise CurveError(("epochs",), f"the training at {self.use_for} needs a number of epochs")
        if not self.optimizer.lr and len(set(self.optimizer.base_lrs)) > 1:
            raise CurveError(("optimizer", "lr"), "parameter groups keep their rates' ratio to it: it must not be 0")
        return self

    @property
    def title(self) -> str:
        return f"{self.setting} · {self.start_lr:g} – {self.end_lr:g}"

    @property
    def steps(self) -> int:
        return self.num_iter * len(self.tried)

    @property
    def steps_after(self) -> int:
        return (self.epochs or 0) * self.steps_per_epoch if self.use_for else 0

    @property
    def tried(self) -> tuple[int, ...]:
        """The seeds that the test is made with."""
        return self.seeds or (self.seed,)

    @property
    def ramp(self) -> Schedule:
        """The rates to try as a schedule."""
        rates = {"start_lr": self.start_lr, "end_lr": self.end_lr, "num_iter": self.num_iter}
        if self.mode == "linear":
            return LinearRangeTest(type="LinearRangeTest", **rates)
        return ExponentialRangeTest(type="ExponentialRangeTest", endpoint=True, **rates)

    @property
    def ratios(self) -> list[float]:
        """Each of the optimizer's columns' rate as a multiple of the first one's."""
        first = self.optimizer.lr
        return [rate / first if first else 1.0 for rate in self.optimizer.base_lrs]

    def rates(self) -> Floats:
        """Rate of the first column at each step: shape (num_iter,)."""
        rates: Floats = table(self.ramp, (self.start_lr,), Grid(0, 1, self.num_iter)).lr[0]
        return rates

    def run(self, seed: int | None = None) -> TrainingSpec:
        """The training that makes the test's steps: by its ramp, long enough for all of them.

        Args:
            seed: one of those tried; the first if None.
        """
        unused = {"ema_decay": None, "early_stopping": None, "export": ()}
        epochs = -(-self.num_iter // self.steps_per_epoch)
        steps = {"schedule": self.ramp.model_dump(), "interval": "step", "epochs": epochs}
        return TrainingSpec.model_validate(
            self._setup() | unused | steps | {"seed": self.tried[0] if seed is None else seed}
        )

    def training(self, lr: float) -> TrainingSpec:
        """The training that `use_for` asks for, at a rate."""
        return TrainingSpec.model_validate(
            self._setup() | {"optimizer": self.optimizer.at(lr).model_dump(), "epochs": self.epochs}
        )

    def _setup(self) -> dict[str, Any]:
        return self.model_dump(include=set(Setup.model_fields))


class Suggestion(BaseModel, frozen=True):
    """Rates that a range test suggests; each may be null, with the reason in `reasons`."""

    steepest: float | None = Field(description="where the smoothed loss falls fastest over log lr")
    valley: float | None = Field(description="in the middle of the smoothed loss's longest fall")
    max_lr: float | None = Field(
        description="a tenth of the last rate with a smoothed loss near its lowest, before it rises for good"
    )
    reasons: dict[Suggested, str] = Field(description="why there is no suggestion")


class RangeTestResult(BaseModel, frozen=True):
    """What a range test came to. Lists of rates and losses have one value a step; what is not finite is null."""

    lr: list[float] = Field(description="of each step, the optimizer's own, without those of parameter groups")
    loss: list[float | None] = Field(
        description="of each step, mean over its batch and over all seeds, before the step; null if one of theirs is"
    )
    smoothed_loss: list[float | None] = Field(description="its running mean")
    ended: Ending = Field(description="after num_iter steps, by stop_factor, or by a loss that is not finite")
    suggestion: Suggestion = Field(description="rates, each of them null if the losses do not allow it")
    job_id: str | None = Field(description="of the training that use_for asked for; null if there is none")
    seeds: list[int] = Field(description="that the test was made with")
    losses: list[list[float | None]] | None = Field(description="a list for each seed; null if there is only one")
    together: int = Field(description="how many seeds at most were trained side by side")


class RunningMean:
    """An exponential average without bias, as fastai's and Lightning's: each value over the sum of its weights.

    mean(t) = sum((1 - w)^(t - i) * loss(i)) / sum((1 - w)^(t - i)) over i <= t, for the weight w of a new loss.
    """

    def __init__(self, weight: float) -> None:
        self._kept, self._weight, self._sum, self._weights = 1 - weight, weight, 0.0, 0.0

    def add(self, loss: float) -> float:
        """The mean after one more loss."""
        self._sum = self._kept * self._sum + self._weight * loss
        self._weights = self._kept * self._weights + self._weight
        return self._sum / self._weights


class Watch:
    """Says after each loss whether the test is to end there."""

    def __init__(self, spec: RangeTestSpec) -> None:
        self._mean, self._factor, self._best = RunningMean(spec.smoothing), spec.stop_factor, math.inf

    def after(self, loss: float) -> Ending | None:
        """Why the test ends with this loss, or None."""
        mean = self._mean.add(loss)
        if not math.isfinite(mean):
            return "not_finite"
        self._best = min(self._best, mean)
        return "diverged" if self._factor is not None and mean > self._factor * self._best else None


def mean_losses(losses: Sequence[Sequence[float]]) -> list[float]:
    """The mean over the seeds at each step that all of them have made; one seed's losses as they are.

    Args:
        losses: of each seed.
    """
    return [sum(values, -0.0) / len(values) for values in zip(*losses, strict=False)]  # from 0, a -0 would become 0


def end_of(spec: RangeTestSpec, losses: Sequence[Sequence[float]]) -> tuple[int, Ending]:
    """After how many steps the mean of the seeds' losses ends the test, and why."""
    watch, means = Watch(spec), mean_losses(losses)
    for n, loss in enumerate(means, 1):
        if why := watch.after(loss):
            return n, why
    return len(means), "num_iter"


def smoothed(loss: Sequence[float], weight: float) -> Floats:
    """The running mean after each loss, shape (n,); `weight` is that of a new one. From a NaN on it is NaN."""
    mean = RunningMean(weight)
    return np.array([mean.add(value) for value in loss], dtype=np.float64)


def result(
    spec: RangeTestSpec, losses: Sequence[Sequence[float]], ended: Ending, job_id: str, together: int = 1
) -> RangeTestResult:
    """What the losses of the test's first n steps come to.

    Args:
        losses: of each seed, n of them.
        job_id: of the training that `use_for` asks for.
        together: how many seeds were trained side by side.
    """
    loss = mean_losses(losses)
    lr, mean = spec.rates()[: len(loss)], smoothed(loss, spec.smoothing)
    found = suggestions(lr, mean, noise_of(loss, spec.smoothing))
    return RangeTestResult(
        lr=lr.tolist(),
        loss=_finite(loss),
        smoothed_loss=_finite(mean.tolist()),
        ended=ended,
        suggestion=found,
        job_id=job_id if spec.use_for and getattr(found, spec.use_for) is not None else None,
        seeds=list(spec.tried),
        losses=[_finite(values) for values in losses] if len(losses) > 1 else None,
        together=together,
    )


def noise_of(loss: Sequence[float], weight: float) -> float:
    """Standard deviation of the running mean by chance, up to where it is lowest.

    It is that of the losses, as their differences from step to step show it, whatever the losses' own course: the
    median of how far these are from their median, times 1.48 for a normal distribution, and divided by sqrt(2).
    """
    mean = smoothed(loss, weight)
    finite = mean[: _finite_part(mean)]
    if len(finite) < FEWEST:
        return 0.0
    steps = np.diff(loss[: min(len(finite), max(LEAST, int(finite.argmin()) + 1))])
    each = 1.4826 / math.sqrt(2) * float(np.median(np.abs(steps - np.median(steps))))
    return each * math.sqrt(weight / (2 - weight))


def suggestions(lr: Floats, smooth: Floats, noise: float = 0.0) -> Suggestion:
    """What a range test suggests.

    One point in SKIPPED_FIRST at the beginning of the finite part is left out, and but for `max_lr` the SKIPPED_LAST at
    its end, as by fastai. Unlike fastai's, `steepest` and `valley` lie before the lowest point: the loss that falls
    back from a spike is often the steepest and the longest fall of all, and says nothing about a rate to train with.

    Args:
        lr: rates, rising: shape (n,).
        smooth: the smoothed loss at each, of which what follows a value that is not finite is not looked at.
        noise: its standard deviation by chance.
    """
    n = _finite_part(smooth)
    first, last = n // SKIPPED_FIRST, max(0, n - SKIPPED_LAST)
    rates, loss = lr[first:last], smooth[first:last]
    if len(loss) < FEWEST:
        return _nothing(f"{n} finite losses are too few")
    fall = slice(0, int(loss.argmin()) + 1)
    top = float(loss[fall].max())
    least = max(FALL, NOISE * noise / top) if top > 0 else FALL
    if not loss.min() < (1 - least) * top:
        return _nothing(f"the smoothed loss falls nowhere by {least:.1%}")
    reasons: dict[Suggested, str] = {}
    highest = _usable(lr[first:n], smooth[first:n], broke=n < len(smooth))
    if highest is None:
        reasons["max_lr"] = "the smoothed loss is still near its lowest value at the last rate; try a higher end_lr"
    elif highest < lr[0]:
        highest, reasons["max_lr"] = None, f"it would be {highest:g}, below start_lr; try a lower one"
    return Suggestion(
        steepest=_steepest(rates[fall], loss[fall]),
        valley=_valley(rates[fall], loss[fall]),
        max_lr=highest,
        reasons=reasons,
    )


def _finite_part(values: Floats) -> int:
    """How many values come before the first that is not finite."""
    bad = ~np.isfinite(values)
    return int(bad.argmax()) if bad.any() else len(values)


def _nothing(why: str) -> Suggestion:
    reasons: dict[Suggested, str] = {"steepest": why, "valley": why, "max_lr": why}
    return Suggestion(steepest=None, valley=None, max_lr=None, reasons=reasons)


def _steepest(lr: Floats, loss: Floats) -> float:
    """The rate at which the steepest descent over log lr to a new lowest value begins; after fastai's `steep`."""
    lowest = np.minimum.accumulate(loss)
    return float(lr[int((np.diff(lowest) / np.diff(np.log(lr))).argmin())])


def _valley(lr: Floats, loss: Floats) -> float:
    """fastai's `valley`: the longest fall has as many points as the longest decreasing subsequence, and ends with it.

    Of these m points, the suggestion is the one with the index m/3 + m/6, both rounded down.
    """
    length, end = _longest_fall(loss)
    place = end - length + length // 3 + length // 6
    return float(lr[max(0, place)])


def _longest_fall(loss: Floats) -> tuple[int, int]:
    """Length of the longest strictly decreasing subsequence, and where the first one of that length ends."""
    tails: list[float] = []  # of each length, the negated end of the subsequence that is easiest to extend
    end = 0
    for i, value in enumerate((-loss).tolist()):
        place = bisect_left(tails, value)
        if place == len(tails):
            end = i
        tails[place : place + 1] = [value]
    return len(tails), end


def _usable(lr: Floats, loss: Floats, *, broke: bool) -> float | None:
    """A tenth of the last rate before the smoothed loss leaves its lowest values for good; None if it does not.

    The tenth is that of fastai's `minimum`: one step at a rate does less harm than many. The lowest values are those
    within NEAR of the fall above the lowest one.

    Args:
        broke: whether the next loss was not finite.
    """
    lowest, highest = loss.min(), loss[: int(loss.argmin()) + 1].max()
    last = int(np.flatnonzero(loss <= lowest + NEAR * (highest - lowest))[-1])
    return float(lr[last]) * SAFETY if broke or last < len(loss) - 1 else None


def as_csv(found: RangeTestResult | None) -> str:
    """One row a step, with several seeds a column for the losses of each; an empty cell is a value that is not finite.

    Without a result, the header alone.
    """
    return csv_of(_rows(found))


def _rows(found: RangeTestResult | None) -> Iterator[list[str]]:
    losses = (found and found.losses) or []
    seeds = found.seeds if found and losses else []
    yield ["step", "lr", "loss", "smoothed_loss", *(f"loss_seed_{seed}" for seed in seeds)]
    if found:
        for step, values in enumerate(zip(found.lr, found.loss, found.smoothed_loss, *losses, strict=True)):
            yield [str(step), *("" if value is None else repr(value) for value in values)]


def _finite(values: Sequence[float]) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values]
