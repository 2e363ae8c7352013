"""Drawn specs with lengths as people have them, and as float32 has trouble with."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from lrcore.schedules import Schedule
from tests.core.strategies import Json, accepted, specs

FAR = 100_000
RECIPROCAL = (41, 47, 55, 61, 82, 83, 94, 97, 107)  # n * (1 / n) is less than 1 in float32
PRIMES = (2, 3, 5, 7, 11, 13, 101, 127, 257, 499, 997, 1009, 4999, 10007, 50021, 99991)
POWERS = tuple(2**k + aside for k in range(1, 17) for aside in (-1, 0, 1) if 2**k + aside > 0)
WIDE = (2**24, 2**31 - 1, 2**31, 2**33, 10**15)  # the edges of float32 and int32
LENGTHS = st.one_of(
    st.sampled_from(RECIPROCAL),
    st.sampled_from(PRIMES),
    st.sampled_from(POWERS),
    st.integers(1, 200),
    st.integers(1, FAR),
)
NOT_LENGTHS = {
    "by", "cycle_limit", "cycles", "d_model", "epochs", "last_epoch", "log2_steps", "num_cycles", "steps_per_epoch",
    "T_mult",
}  # fmt: skip


@st.composite
def long_specs(draw: st.DrawFn, cls: type[Schedule], *, wide: bool = False) -> Json:
    """Draw a spec of one class, often with other lengths than the short ones of `specs`."""
    spec = draw(specs(cls))
    if draw(st.integers(0, 3)) == 0:
        return spec
    lengths = LENGTHS | st.sampled_from(WIDE) if wide and draw(st.integers(0, 9)) == 0 else LENGTHS
    for _ in range(5):  # lengths that do not fit each other are drawn again
        changed = _with_lengths(draw, spec, lengths)
        if accepted(changed):
            return changed
    return spec


def _with_lengths(draw: st.DrawFn, value: Any, lengths: st.SearchStrategy[int], name: str = "") -> Any:
    match value:
        case bool() | float() | str() | None:
            return value
        case int():
            return value if name in NOT_LENGTHS or value == 0 else draw(lengths)
        case dict():
            if all(key.isdigit() for key in value):  # boundaries
                steps = draw(st.lists(lengths, min_size=len(value), max_size=len(value), unique=True))
                return dict(zip(map(str, sorted(steps)), value.values(), strict=True))
            return {key: _with_lengths(draw, item, lengths, key) for key, item in value.items()}
        case list() if value and all(isinstance(item, int) for item in value):
            return sorted(draw(st.lists(lengths, min_size=len(value), max_size=len(value), unique=True)))
        case list():
            return [_with_lengths(draw, item, lengths, name) for item in value]
    return value


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


def drawn(strategy: st.SearchStrategy[Any], count: int, start: int, check: Callable[[Any], str | None]) -> list[str]:
    """Check `count` drawn cases and return what is wrong with them, nothing shrunk."""
    wrong: list[str] = []

    @seed(start)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def run(case: Any) -> None:
        if (fault := check(case)) is not None:
            wrong.append(fault)

    run()
    return wrong


def main(faults: Callable[[int, int], list[str]], what: str) -> None:
    """Run a campaign from the command line, print what is wrong, and exit with 1 if anything is."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--count", type=int, default=1000, help="cases to draw")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # of schedulers that are stepped without their optimizer
    began = time.monotonic()
    found = faults(asked.count, asked.seed)
    print(*found, sep="\n")
    print(f"{asked.count} cases, {len(found)} wrong, {time.monotonic() - began:.0f} s")
    sys.exit(bool(found))
