"""The library of worst requests: what each kind of endpoint can be made to do by one request within its bounds."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.security.siege.bounds import Bounds
from tests.security.siege.wire import Request

KINDS = ("jobs", "experiments")


@dataclass
class Known:
    """Jobs that the attacker has made.

    Attributes:
        ids: by kind, the newest last.
        exhibits: by kind, one that is worth to look at and is never deleted.
    """

    exhibits: dict[str, str] = field(default_factory=dict)
    ids: dict[str, deque[str]] = field(default_factory=lambda: {kind: deque(maxlen=200) for kind in KINDS})


@dataclass
class World:
    """What a worst request is made from."""

    bounds: Bounds
    rng: random.Random
    known: Known = field(default_factory=Known)

    def job(self, kind: str = "jobs") -> str:
        """Choose a job of the attacker's; an id that no job has if there is none."""
        ids = [*self.known.ids[kind], self.known.exhibits.get(kind, "nothing")]
        return ids[-1] if self.rng.random() < 0.5 else self.rng.choice(ids)

    @property
    def steps(self) -> int:
        """Choose how many steps: the most that the schema allows, or less where the work is bounded as well."""
        return self.bounds.steps // self.rng.choice((1, 3, 10, 100))


Make = Callable[[World], Request]


@dataclass(frozen=True)
class Worst:
    """A worst request.

    Attributes:
        group: which part of the API it is for.
        weight: how often it is sent, against the others.
        early: whether it is answered before all of it has been read; the connection then ends with a reset, which may
            overtake the answer.
    """

    group: str
    name: str
    weight: int
    make: Make
    early: bool = False


WORST: list[Worst] = []


def add(group: str, name: str, make: Make, weight: int = 1) -> None:
    """Add a worst request."""
    WORST.append(Worst(group, name, weight, make))


def worst(group: str, name: str, weight: int = 1, early: bool = False) -> Callable[[Make], Make]:
    """Add what the decorated function makes."""

    def added(make: Make) -> Make:
        WORST.append(Worst(group, name, weight, make, early))
        return make

    return added
