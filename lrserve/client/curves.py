"""Calls about schedules: curves, catalogue, translation, fit, configurations."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx
import numpy as np

from lrserve.client.calls import Call, SpecLike, as_json, content, given, list_of, model, path, plain
from lrserve.client.methods import Method
from lrserve.client.responses import CurveDetails, Entry, Fit, Floats, Reading, Translation

Form = Literal["json", "csv", "npy", "arrow", "png", "svg"]
Rates = float | Sequence[float] | Floats
Metrics = Sequence[float] | Floats


@dataclass(frozen=True)
class Sampling:
    """Which steps of a curve are requested.

    Attributes:
        steps: how many values come back.
        total_steps: steps of the whole run, for lengths in percent; start + stride * steps if None.
        steps_per_epoch: for lengths in epochs.
        where: a rate; the answer has the first step at or below it.
    """

    steps: int
    start: int = 0
    stride: int = 1
    total_steps: int | None = None
    steps_per_epoch: int | None = None
    where: float | None = None

    def of(self, schedule: SpecLike, base_lr: Rates | None, metrics: Metrics | None = None) -> dict[str, Any]:
        """Return the request body for one curve."""
        return {"schedule": schedule} | given(base_lr=base_lr, metrics=metrics, **vars(self))

    def of_several(self, curves: Mapping[str, SpecLike], base_lr: Rates | None) -> dict[str, Any]:
        """Return the request body for several curves.

        Args:
            curves: schedules by name, or {"schedule": …} with a rate or metrics of its own.
        """
        entries = []
        for name, each in curves.items():
            entry = plain(each)
            own = {"schedule": entry} if "type" in entry else entry
            entries.append({"name": name} | given(base_lr=base_lr) | own)
        return {"curves": entries} | given(**vars(self))


def curve(
    schedule: SpecLike,
    steps: int,
    base_lr: Rates | None = None,
    *,
    start: int = 0,
    stride: int = 1,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
    metrics: Metrics | None = None,
) -> Call[Floats]:
    """The rates at start, start + stride, …: shape (steps,), or (groups, steps) if `base_lr` is a list.

    Args:
        schedule: as JSON in a dict, or a spec object of lrcore.schedules.
        base_lr: the optimizer's initial rate, or one a parameter group; needed unless the schedule brings its own.
        total_steps: steps of the whole run, for lengths in percent; start + stride * steps if None.
        steps_per_epoch: for lengths in epochs.
        metrics: for a schedule that follows a metric, its value after each interval.
    """
    sampling = Sampling(steps, start, stride, total_steps, steps_per_epoch)
    return Call("POST", path("curves"), _array, {"format": "npy"}, as_json(sampling.of(schedule, base_lr, metrics)))


def curve_details(
    schedule: SpecLike,
    steps: int,
    base_lr: Rates | None = None,
    *,
    start: int = 0,
    stride: int = 1,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
    metrics: Metrics | None = None,
    where: float | None = None,
) -> Call[CurveDetails]:
    """The same with momentum, summary and warnings; `where`: the first step with at most that rate."""
    body = as_json(Sampling(steps, start, stride, total_steps, steps_per_epoch, where).of(schedule, base_lr, metrics))
    return Call("POST", path("curves"), lambda r: CurveDetails.of(r.json()), body=body)


def curve_as(
    form: Form,
    schedule: SpecLike,
    steps: int,
    base_lr: Rates | None = None,
    *,
    start: int = 0,
    stride: int = 1,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
    metrics: Metrics | None = None,
    scale: Literal["linear", "log"] = "linear",
) -> Call[bytes]:
    """The curve as a file; `scale` is of the rates in a picture."""
    body = as_json(Sampling(steps, start, stride, total_steps, steps_per_epoch).of(schedule, base_lr, metrics))
    return Call("POST", path("curves"), content, {"format": form, "scale": scale}, body)


def _array(response: httpx.Response) -> Floats:
    found: Floats = np.load(io.BytesIO(response.content), allow_pickle=False)
    return found


def compare(
    curves: Mapping[str, SpecLike],
    steps: int,
    base_lr: Rates | None = None,
    *,
    start: int = 0,
    stride: int = 1,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
    where: float | None = None,
) -> Call[dict[str, CurveDetails]]:
    """Several curves over the same steps, by name.

    Args:
        curves: schedules by the names that they get in the answer. One with a rate or metrics of its own is
            {"schedule": …, "base_lr": …, "metrics": …}.
        base_lr: of those that have none of their own.
    """
    sampling = Sampling(steps, start, stride, total_steps, steps_per_epoch, where)
    return Call("POST", path("curves", "compare"), _compared, body=as_json(sampling.of_several(curves, base_lr)))


def compare_as(
    form: Form,
    curves: Mapping[str, SpecLike],
    steps: int,
    base_lr: Rates | None = None,
    *,
    start: int = 0,
    stride: int = 1,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
    scale: Literal["linear", "log"] = "linear",
) -> Call[bytes]:
    """The same as one table or one picture."""
    body = as_json(Sampling(steps, start, stride, total_steps, steps_per_epoch).of_several(curves, base_lr))
    return Call("POST", path("curves", "compare"), content, {"format": form, "scale": scale}, body)


def _compared(response: httpx.Response) -> dict[str, CurveDetails]:
    answer = response.json()
    shared = {name: value for name, value in answer.items() if name != "curves"}
    return {each["name"]: CurveDetails.of(shared | each) for each in answer["curves"]}


def schedules() -> Call[list[Entry]]:
    """All schedules, in alphabetical order."""
    return _members("schedules")


def schedule(type: str) -> Call[Entry]:
    """One schedule."""
    return Call("GET", path("schedules", type), model(Entry))


def models() -> Call[list[Entry]]:
    """All models."""
    return _members("models")


def datasets() -> Call[list[Entry]]:
    """All data sets."""
    return _members("datasets")


def optimizers() -> Call[list[Entry]]:
    """All optimizers."""
    return _members("optimizers")


def _members(kind: str) -> Call[list[Entry]]:
    return Call("GET", path(kind), list_of(Entry, kind))


def translate(
    schedule: SpecLike,
    to: str,
    base_lr: float | None = None,
    *,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
) -> Call[Translation]:
    """The schedule as code of another framework.

    One of torch, optax, keras, transformers, timm, deepspeed, mmengine, composer and lightning.
    """
    lengths = given(total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    body = as_json({"schedule": schedule, "to": to} | given(base_lr=base_lr) | lengths)
    return Call("POST", path("schedules", "translate"), model(Translation), body=body)


def fit(lr: Metrics, limit: int = 5, *, step: Sequence[int] | None = None) -> Call[list[Fit]]:
    """The schedules that draw a logged series of rates, best first.

    Args:
        lr: the rates.
        limit: how many schedules come back at most.
        step: the steps at which the rates were logged, rising; 0, 1, 2, … if None.
    """
    return Call(
        "POST",
        path("schedules", "fit"),
        list_of(Fit, "fits"),
        body=as_json({"lr": lr, "limit": limit, **({} if step is None else {"step": step})}),
    )


def read(
    config: Any,
    framework: str | None = None,
    *,
    base_lr: float | None = None,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
) -> Call[Reading]:
    """The schedule in a framework's own configuration.

    Args:
        config: the configuration as JSON, or the flags of a command line as one text.
        framework: such as deepspeed or mmengine; guessed if None.
        base_lr: the optimizer's rate, in place of that of the configuration.
        total_steps: steps of the run, in place of those of the configuration.
        steps_per_epoch: for what the configuration counts in epochs.
    """
    lengths = given(base_lr=base_lr, total_steps=total_steps, steps_per_epoch=steps_per_epoch)
    body = as_json({"config": config} | given(**{"from": framework}) | lengths)
    return Call("POST", path("schedules", "read"), model(Reading), body=body)


class CurveMethods:
    """The methods of both clients for schedules and curves."""

    curve = Method(curve)
    curve_details = Method(curve_details)
    curve_as = Method(curve_as)
    compare = Method(compare)
    compare_as = Method(compare_as)
    schedules = Method(schedules)
    schedule = Method(schedule)
    models = Method(models)
    datasets = Method(datasets)
    optimizers = Method(optimizers)
    translate = Method(translate)
    fit = Method(fit)
    read = Method(read)
