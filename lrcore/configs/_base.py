"""What the readers of configurations have in common: lengths and rates that a request gives, and validated options."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from lrcore.dialects import _read
from lrcore.errors import CurveError, message
from lrcore.numerics.grid import Grid
from lrcore.schedules import AnySchedule, Schedule
from lrcore.schedules._base import Rate
from lrcore.text import did_you_mean

Json = dict[str, Any]
Path = tuple[str | int, ...]
MAX_NAMED = 10  # keys of a configuration in a note


class Needed(CurveError):
    """The configuration needs something that the request does not give. `field` is that of the request."""


@dataclass
class Context:
    """What a request says besides its configuration, and the notes on what was made of that."""

    base_lr: float | None = None
    total_steps: int | None = None
    steps_per_epoch: int | None = None
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note."""
        if text not in self.notes:
            self.notes.append(text)

    def rate(self, found: float | None = None) -> float:
        """The request's base rate, or else that of the configuration. Raises Needed."""
        if self.base_lr is not None:
            if found is not None and found != self.base_lr:
                self.note(f"base_lr {self.base_lr:g} of the request in place of the configuration's {found:g}")
            return self.base_lr
        if found is None:
            raise Needed(("base_lr",), "the configuration has no learning rate: give base_lr")
        return found

    def known_rate(self, found: float | None = None) -> float | None:
        """The same for a schedule that may bring its own; None if there is none."""
        return None if found is None and self.base_lr is None else self.rate(found)

    def total(self, found: int | None = None, epochs: float | None = None) -> int:
        """The request's length of the run, or else that of the configuration, in steps. Raises Needed."""
        if self.total_steps is not None:
            if found is not None and found != self.total_steps:
                self.note(f"total_steps {self.total_steps} of the request in place of the configuration's {found}")
            return self.total_steps
        if found is not None:
            return found
        if epochs is not None:
            return max(1, int(epochs * self.epoch()))
        raise Needed(("total_steps",), "the configuration does not have the length of the run: give total_steps")

    def epoch(self) -> int:
        """Steps per epoch. Raises Needed."""
        if self.steps_per_epoch is None:
            raise Needed(("steps_per_epoch",), "the configuration counts in epochs: give steps_per_epoch")
        return self.steps_per_epoch

    def left_out(self, names: Iterable[str]) -> None:
        """Note what of a configuration was not read."""
        some = sorted(map(str, names))
        if some:
            more = f" and {len(some) - MAX_NAMED} more" if len(some) > MAX_NAMED else ""
            self.note(f"not read: {', '.join(name[:80] for name in some[:MAX_NAMED])}{more}")


@dataclass(frozen=True)
class Found:
    """What a dialect makes of a configuration.

    Attributes:
        schedule: in lrserve's own names.
        base_lr: the optimizer's rate; None if it is not known, or the schedule brings its own.
        steps: of the run; None if that is not known.
        interval: what a step of the schedule is.
    """

    schedule: Json
    base_lr: float | list[float] | None = None
    steps: int | None = None
    interval: Literal["step", "epoch"] = "step"


class Options(BaseModel):
    """Options of a framework. Those that are not known are refused, since they might change rates."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class Section(Options):
    """A part of a configuration that is about more than the learning rate. What is not known is left out."""

    model_config = ConfigDict(extra="allow")

    @property
    def others(self) -> list[str]:
        """Names of the fields that are not known."""
        return list(self.model_extra or ())


O = TypeVar("O", bound=Options)  # noqa: E741


def validated(options: type[O], data: Any, path: Path = ()) -> O:
    """Options as a framework takes them.

    Args:
        path: where `data` is in the configuration.

    Raises:
        CurveError: they are not what the framework takes.
    """
    try:
        return options.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        inside, value = _inside(first["loc"], data, first["type"] == "missing")
        known = did_you_mean(str(first["loc"][-1]), options.model_fields) if first["type"] == "extra_forbidden" else ""
        wrong = "'auto' is filled in by transformers: give the value" if value == "auto" else message(first)
        raise CurveError((*path, *inside), f"{wrong}; {known}".removesuffix("; ")) from None


def _inside(loc: Path, data: Any, missing: bool) -> tuple[Path, Any]:
    """The part of pydantic's path that is in the data, which names members of unions as well; and what is there."""
    path: list[str | int] = []
    for part in loc:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            if not (missing and part == loc[-1]):
                continue
        path.append(part)
    return tuple(path), data


def choose(name: Any, known: Iterable[str], what: str, path: Path) -> str:
    """Return a name that is among those that are known. Raises CurveError."""
    names = list(known)
    if isinstance(name, str) and name in names:
        return name
    hint = did_you_mean(name, names) if isinstance(name, str) else ""
    shown = f" {name[:80]!r}" if isinstance(name, str) else ""
    raise CurveError(path, f"{what}{shown} is not known here; {hint} known: {', '.join(names)}".replace(";  ", "; "))


def an_object(value: Any, path: Path = ()) -> Json:
    """Return a value of a configuration that has to be an object. Raises CurveError."""
    if not isinstance(value, dict):
        raise CurveError(path, "Input should be a valid object")
    return value


def section(config: Json, name: str, path: Path = ()) -> Json:
    """A part of a configuration, empty if it is not there. Raises CurveError if it is no object."""
    part = config.get(name)
    return {} if part is None else an_object(part, (*path, name))


def first_section(config: Json, *paths: Path) -> tuple[Json, Path]:
    """The first object that is at one of these places, and its place; the whole if none is."""
    for path in paths:
        part: Any = config
        for name in path:
            part = part.get(name) if isinstance(part, dict) else None
        if isinstance(part, dict):
            return part, path
    return config, ()


class _Optimizer(Options):
    lr: Rate


def rate_of(optimizer: Json, path: Path) -> float | None:
    """The rate `lr` of an optimizer that is at `path`; None if it has none. Raises CurveError."""
    lr = optimizer.get("lr")
    return None if lr is None else validated(_Optimizer, {"lr": lr}, path).lr


def from_spec(framework: str, name: str, arguments: Json, path: Path) -> Json:
    """The schedule that `{"type": "framework.name", …}` is.

    Args:
        path: where the arguments are in the configuration.

    Raises:
        CurveError: the framework has no such schedule, or it takes other arguments.
    """
    if "type" in arguments:
        raise CurveError((*path, "type"), f"{framework}.{name} has no such argument")
    found: Json = _read.read({"type": f"{framework}.{name}"} | arguments, path)
    try:
        _adapter().validate_python(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        inside, _ = _inside(first["loc"], arguments, first["type"] == "missing")
        raise CurveError((*path, *inside), f"{framework}.{name}: {message(first)}") from None
    return found


@cache
def _adapter() -> TypeAdapter[Schedule]:
    return TypeAdapter(AnySchedule)


def value_at(schedule: Json, base_lr: float, step: int) -> float:
    """The rate of a schedule at one step. Raises CurveError if it is not valid."""
    try:
        return float(_adapter().validate_python(schedule).rates(Grid(step), base_lr)[0])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise CurveError((), f"{where}: {message(first)}") from None
