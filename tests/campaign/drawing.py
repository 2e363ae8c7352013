"""Drawn specs with lengths as people have them, and as float32 has trouble with."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from lrcore.schedules import Schedule
from tests.lrcore.strategies import Json, accepted, specs

FAR = 100_000
SHARES = 8  # of a campaign, each with a seed of its own, so that the number of cores does not change what is drawn
RECIPROCAL = (41, 47, 55, 61, 82, 83, 94, 97, 107)  # n * (1 / n) is less than 1 in float32
PRIMES = (2, 3, 5, 7, 11, 13, 101, 127, 257, 499, 997, 1009, 4999, 10007, 50021, 99991)
POWERS = tuple(2**k + aside for k in range(1, 17) for aside in (-1, 0, 1))
WIDE = (2**24, 2**31 - 1, 2**31, 2**33, 10**15)  # the edges of float32 and int32
NOT_LENGTHS = {
    "by", "cycle_limit", "cycles", "d_model", "epochs", "last_epoch", "log2_steps", "num_cycles", "steps_per_epoch",
    "T_mult",
}  # fmt: skip


@cache
def pool(cls: type[Schedule], size: int) -> tuple[Json, ...]:
    """Return `size` specs of a class as the property tests draw them, with short lengths."""
    found: list[Json] = []

    @settings(
        max_examples=size,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(spec=specs(cls))
    def run(spec: Json) -> None:
        found.append(spec)

    run()
    return tuple(found)


def long_spec(random: Random, cls: type[Schedule], size: int, *, wide: bool = False) -> Json:
    """Draw a spec of one class, mostly with other lengths than the short ones of the property tests.

    Args:
        size: how many specs with short lengths there are to choose from.
        wide: whether lengths may be at the edges of float32 and int32.
    """
    spec: Json = random.choice(pool(cls, size))
    if random.random() < 0.2:
        return spec
    widely = wide and random.random() < 0.1
    for _ in range(8):  # lengths that do not fit each other are drawn again
        changed: Json = _with_lengths(random, spec, widely)
        if accepted(changed):
            return changed
    return spec


def _length(random: Random, widely: bool) -> int:
    if widely and random.random() < 0.5:
        return random.choice(WIDE)
    return random.choice(
        [random.choice(RECIPROCAL), random.choice(PRIMES), random.choice(POWERS), random.randint(1, 1000),
         random.randint(1, FAR)]
    )  # fmt: skip


def _with_lengths(random: Random, value: Any, widely: bool, name: str = "") -> Any:
    match value:
        case bool() | float() | str() | None:
            return value
        case int():
            return value if name in NOT_LENGTHS or value == 0 else _length(random, widely)
        case dict() if all(key.isdigit() for key in value):  # boundaries
            return dict(zip(map(str, _rising(random, len(value), widely)), value.values(), strict=False))
        case dict():
            return {key: _with_lengths(random, item, widely, key) for key, item in value.items()}
        case list() if value and all(isinstance(item, int) for item in value):
            return _rising(random, len(value), widely)
        case list():
            return [_with_lengths(random, item, widely, name) for item in value]
    return value


def _rising(random: Random, count: int, widely: bool) -> list[int]:
    return sorted({_length(random, widely) for _ in range(count)})


def numbers(spec: Any) -> Iterator[int]:
    """Yield every whole number of a spec."""
    match spec:
        case bool():
            return
        case int():
            yield spec
        case dict():
            for key, value in spec.items():
                yield from [int(key)] if key.isdigit() else []
                yield from numbers(value)
        case list() | tuple():
            for value in spec:
                yield from numbers(value)


def edges(spec: Json, last: int, first: int = 48) -> list[int]:
    """Return the steps that tell most about a spec, up to `last`: the first ones, and those around its lengths."""
    found = {*range(first), *(FAR * k // 29 for k in range(30)), last}
    lengths = sorted({number for number in numbers(spec) if number > 1})[:8]
    for length in lengths:
        multiples = (1, 2, 3, 5, 7, 8, 15, 16, 31)
        found |= {length * k + aside for k in multiples for aside in (-1, 0, 1)}
        found |= {length + other + aside for other in lengths for aside in (-1, 0, 1)}
    return sorted(step for step in found if 0 <= step <= last)


Faults = Callable[
    [int, int, int], list[str]
]  # of the cases to draw, the seed, and how many specs of a family to draw from


def main(faults: Faults, families: int, what: str) -> None:
    """Run a campaign on all cores from the command line, print what is wrong, and exit with 1 if anything is."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--count", type=int, default=1000, help="cases to draw")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.monotonic()
    shares = [(asked.count + i) // SHARES for i in range(SHARES)]
    with ProcessPoolExecutor(
        mp_context=get_context("spawn"), initializer=warnings.simplefilter, initargs=("ignore",)
    ) as pool:
        drawn = pool.map(
            faults, shares, [SHARES * asked.seed + i for i in range(SHARES)], [3 + asked.count // families] * SHARES
        )
        found = [fault for share in drawn for fault in share]
    print(*found, sep="\n")
    print(f"{asked.count} cases, {len(found)} wrong, {time.monotonic() - began:.0f} s")
    sys.exit(bool(found))
