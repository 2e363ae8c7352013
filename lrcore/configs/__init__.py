"""Frameworks' own configurations, read into schedules: one framework a file. Nothing here imports or runs one."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from lrcore.configs._base import Context, Found, Json, Needed, Path
from lrcore.configs._flags import options_of
from lrcore.configs._guess import FRAMEWORKS, Framework, guess
from lrcore.curve import CurveRequest, sample, summary
from lrcore.errors import CurveError, message

MAX_DEPTH = 32  # objects and lists inside each other
MAX_NODES = 20_000  # values of a configuration
MAX_FACTS = 100_000  # steps of which the facts are: of a longer context, evenly spaced ones


@dataclass(frozen=True)
class Reading:
    """What a configuration says.

    Attributes:
        framework: whose configuration it is.
        schedule: in lrserve's own names.
        base_lr: the initial rate, or one a parameter group.
        interval: what a step of the schedule is.
        facts: of the curve over the run; a list of these, one a parameter group; None where its length is not known.
        notes: what was assumed and what was left out.
    """

    framework: str
    schedule: Json
    base_lr: float | tuple[float, ...]
    interval: Literal["step", "epoch"]
    facts: Any
    notes: tuple[str, ...]


def read(
    framework: str | None,
    config: Any,
    *,
    base_lr: float | None = None,
    total_steps: int | None = None,
    steps_per_epoch: int | None = None,
) -> Reading:
    """Read a framework's configuration, as JSON or as the flags of a command line in one text.

    Args:
        framework: whose configuration it is; guessed if None.
        base_lr: the optimizer's rate; goes before that of the configuration.
        total_steps: steps of the run; goes before those of the configuration.

    Raises:
        CurveError: it is no configuration of the framework, or its curve is none that lrserve has. `field` is that of
            a request with the fields from, config, base_lr, total_steps and steps_per_epoch.
    """
    context = Context(base_lr, total_steps, steps_per_epoch)
    part: Path = ()
    try:
        check_size(config)
        options = options_of(config)
        if framework is None:
            framework, part = guess(options)
            options = options[part[0]] if part else options
        elif framework not in FRAMEWORKS:
            raise Needed(("from",), f"{framework!r} is not one of {', '.join(sorted(FRAMEWORKS))}")
        found = importlib.import_module(f"lrcore.configs.{framework}").read(options, context)
    except Needed:
        raise
    except CurveError as error:
        raise CurveError(("config", *part, *error.field), str(error)) from None
    return _reading(framework, found, context)


def check_size(config: Any) -> None:
    """Raise CurveError if a configuration nests too deep, or has too many values, to be read."""
    level, depth, nodes = [config], 0, 0
    while level:
        nodes += len(level)
        if depth > MAX_DEPTH or nodes > MAX_NODES:
            most = f"may nest {MAX_DEPTH} deep" if depth > MAX_DEPTH else f"may have {MAX_NODES:,} values"
            raise CurveError((), f"a configuration {most} at most: leave out what is not about the learning rate")
        level = [
            each
            for value in level
            if isinstance(value, dict | list | tuple)
            for each in (value.values() if isinstance(value, dict) else value)
        ]
        depth += 1


def _reading(framework: str, found: Found, context: Context) -> Reading:
    """Validate what a dialect found, and compute its facts."""
    schedule, base_lr = found.schedule, found.base_lr
    if schedule["type"] == "BaseLR":
        base_lr, schedule = context.rate(schedule["base_lr"]), schedule["schedule"]
    given = {} if base_lr is None else {"base_lr": base_lr}
    try:
        request = CurveRequest.model_validate({"schedule": schedule, "steps": 1} | given)
        if request.schedule.own_base_lr is not None:
            request = request.model_copy(update={"base_lr": None})
            if context.base_lr is not None:
                context.note("base_lr changes nothing: the schedule brings its own rates")
        facts = None if request.schedule.metric_driven else _facts(request, found.steps or context.total_steps, context)
    except ValidationError as error:
        raise _refused(error) from None
    except CurveError as error:
        raise CurveError(("config",), str(error)) from None
    if facts is None:
        missing = "the rate follows a metric" if request.schedule.metric_driven else "total_steps is not known"
        context.note(f"no facts: {missing}")
    rates = request.base_lrs
    written = request.schedule.model_dump(mode="json", exclude_unset=True)
    base = rates if request.grouped else rates[0]
    return Reading(framework, written, base, found.interval, facts, tuple(context.notes))


def _refused(error: ValidationError) -> CurveError:
    first = error.errors(include_url=False, include_input=False)[0]
    cause = (first.get("ctx") or {}).get("error")
    if isinstance(cause, CurveError) and cause.field == ("base_lr",):
        return Needed(("base_lr",), "the configuration has no learning rate: give base_lr")
    where = ".".join(map(str, first["loc"][1:]))
    return CurveError(
        ("config",), f"its schedule is none that lrserve has: {where}: {message(first)}".replace(": : ", ": ")
    )


def _facts(request: CurveRequest, steps: int | None, context: Context) -> Any:
    """The facts of a curve over a run of so many steps; None if that is not known."""
    steps = steps or request.schedule.horizon
    if not steps:
        return None
    stride = -(-steps // MAX_FACTS)
    if stride > 1:
        context.note(f"facts of every {stride}th step")
    part = request.model_copy(update={"steps": -(-steps // stride), "stride": stride, "total_steps": steps})
    part.check()
    curve = sample(part)
    facts = [{"steps": steps} | summary(lr, extent, stride) for lr, extent in zip(curve.lr, curve.extents, strict=True)]
    return facts if part.grouped else facts[0]


__all__ = ["FRAMEWORKS", "Framework", "Reading", "guess", "options_of", "read"]
