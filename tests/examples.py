"""How many of the examples are tried: few in `make quick`, some in `make test` and CI, all in `make test-slow`."""

from __future__ import annotations

import os

EVERY = {"few": 20, "some": 4, "all": 1}  # of so many examples, one is drawn
SHARE = EVERY[os.environ.get("TEST_EXAMPLES", "some")]


def examples(count: int) -> int:
    """Return how many of `count` examples of a property this run draws; two at least."""
    return max(min(count, 2), count // SHARE)
