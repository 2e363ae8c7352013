"""A spec to try, as a tree of numbers that may be moved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lrcore.curve import CurveRequest
from lrcore.schedules import SCHEDULES

Spec = dict[str, Any]
Path = tuple[str | int, ...]

KNOTS = "boundaries_and_scales"
COUNTED = ("T_mult", "cycle_limit", "log2_steps", "d_model")  # whole numbers that are no lengths
RARE = ("keras.", "optax.", "timm.", "paddle.", "deepspeed.")  # torch, transformers and d2l come first
TYPED = 8  # characters of a number that somebody typed
NEEDED = ("cycle_momentum", "gamma", "total_iters", "factor", "base_lr", "lr", "max_lr", "start_factor")


@dataclass(frozen=True)
class Candidate:
    """A spec to try. base_lr is None if the schedule brings its own."""

    schedule: Spec
    base_lr: float | None = None

    @cached_property
    def request(self) -> CurveRequest:
        """The request for its first rate. Raises ValueError if there is no such curve."""
        return CurveRequest.model_validate(
            {"schedule": self.schedule, "base_lr": self.base_lr, "steps": 1, "total_steps": 1}
        )

    @property
    def family(self) -> str:
        """The type; of a composite those of its parts as well."""
        return " ".join(_types(self.schedule))

    @property
    def parts(self) -> int:
        """How many numbers, names and schedules it takes to write it down; a warm-up's length counts once."""
        sequence = self.schedule.get("milestones"), self.schedule.get("schedulers")
        twice = sequence[1] is not None and sequence[0] == [sequence[1][0].get("total_iters")]
        return _count(self.schedule) + (self.base_lr is not None) - twice

    @property
    def is_rare(self) -> bool:
        """Whether it needs a framework that few logs come from."""
        return any(SCHEDULES[name].origin.startswith(RARE) for name in _types(self.schedule))

    @property
    def digits(self) -> int:
        """How many digits its numbers have."""
        return sum(map(str.isdigit, repr(self._tree)))

    @property
    def _tree(self) -> Spec:
        return self.schedule if self.base_lr is None else self.schedule | {"base_lr": self.base_lr}

    @cached_property
    def _leaves(self) -> list[tuple[Path, Any]]:
        return list(_walk(self._tree, ()))

    def numbers(self) -> list[tuple[str, float]]:
        """Names and values of everything that may take any value, base_lr included."""
        return [(_name(path), value) for path, value in self._leaves if isinstance(value, float)]

    def having(self, numbers: Iterable[float]) -> Candidate:
        """The same with other `numbers`."""
        paths = [path for path, value in self._leaves if isinstance(value, float)]
        return self._with({path: float(value) for path, value in zip(paths, numbers, strict=True)})

    @cached_property
    def _lengths(self) -> list[tuple[list[Path], int]]:
        """Where each length stands, and its value; a warm-up's total_iters and milestone are one."""
        found = [([path], value) for path, value in self._leaves if isinstance(value, int)]
        warm = ("schedulers", 0, "total_iters"), ("milestones", 0)
        values = {paths[0]: value for paths, value in found}
        if len(self.schedule.get("milestones", ())) == 1 and values.get(warm[0]) == values.get(warm[1]) is not None:
            found = [(paths, value) for paths, value in found if paths[0] not in warm]
            found.append((list(warm), values[warm[0]]))
        return found

    def lengths(self) -> list[int]:
        """Its lengths in steps, without those in long lists."""
        return [value for _, value in self._lengths]

    def lasting(self, lengths: Iterable[int]) -> Candidate:
        """The same with other `lengths`."""
        pairs = zip(self._lengths, lengths, strict=True)
        return self._with({path: int(value) for (paths, _), value in pairs for path in paths})

    def _with(self, values: dict[Path, Any]) -> Candidate:
        tree = _having(self._tree, (), values)
        return Candidate(tree) if self.base_lr is None else Candidate(schedule=tree, base_lr=tree.pop("base_lr"))

    def plain(self) -> Candidate:
        """The candidate with Python's own numbers, without the fields that say no more than their defaults."""
        same = self.having(value for _, value in self.numbers())
        return Candidate(_trimmed(same.schedule), same.base_lr)


def _trimmed(spec: Spec) -> Spec:
    fields = SCHEDULES[spec["type"]].model_fields
    kept = {k: v for k, v in spec.items() if k in NEEDED or k == "type" or fields[k].default != v}
    if "schedulers" in kept:
        kept["schedulers"] = [_trimmed(part) for part in kept["schedulers"]]
    return kept | ({"schedule": _trimmed(kept["schedule"])} if "schedule" in kept else {})


def _types(spec: Spec) -> Iterator[str]:
    yield spec["type"]
    for part in [*spec.get("schedulers", ()), *([spec["schedule"]] if "schedule" in spec else [])]:
        yield from _types(part)


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return sum(_count(item) for item in value.values())  # the type counts as well
    if isinstance(value, list):
        return sum(map(_count, value))
    return 1 + (isinstance(value, float) and len(repr(value)) > TYPED)


def _name(path: Path) -> str:
    names = [part for part in path if isinstance(part, str)]
    return KNOTS if KNOTS in names else names[-1]


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """The numbers that may be moved, and where they stand."""
    if path and path[-1] == KNOTS:
        for i, (step, scale) in enumerate(value.items()):
            yield (*path, i, "step"), int(step)
            yield (*path, i), float(scale)
    elif isinstance(value, dict):
        for key in [key for key in value if key not in COUNTED]:
            yield from _walk(value[key], (*path, key))
    elif isinstance(value, list) and (len(value) == 1 or not isinstance(value[0], int)):
        for i, item in enumerate(value):
            yield from _walk(item, (*path, i))
    elif isinstance(value, float) or (type(value) is int and path[-1] != "num_cycles"):
        yield path, value


def _having(value: Any, path: Path, values: dict[Path, Any]) -> Any:
    if isinstance(value, dict) and path and path[-1] == KNOTS:
        items = enumerate(value.items())
        return {str(values.get((*path, i, "step"), step)): values.get((*path, i), scale) for i, (step, scale) in items}
    if isinstance(value, dict):
        return {key: _having(item, (*path, key), values) for key, item in value.items()}
    if isinstance(value, list):
        return [_having(item, (*path, i), values) for i, item in enumerate(value)]
    return values.get(path, value)
