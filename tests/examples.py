"""How many of the examples are tried: few in `make quick`, some in `make test`, half in CI, all in `make test-slow`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

EVERY = {"few": 20, "some": 4, "half": 2, "all": 1}  # of so many examples, one is drawn
SHARE = EVERY[os.environ.get("TEST_EXAMPLES", "some")]


def examples(count: int) -> int:
    """Return how many of `count` examples of a property this run draws; two at least."""
    return max(min(count, 2), count // SHARE)


def slow(*values: Any) -> list[Any]:
    """Return parameters of a test with the mark `slow`: what the others have mostly shown."""
    return [pytest.param(*_arguments(value), marks=pytest.mark.slow) for value in values]


def sparse(values: Iterable[Any]) -> list[Any]:
    """Return parameters of a test, all but every fourth of them with the mark `slow`."""
    return [value if i % 4 == 0 else slow(value)[0] for i, value in enumerate(values)]


def _arguments(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
