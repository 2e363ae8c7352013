"""Which configurations of an experiment go on at a rung of asynchronous successive halving, arXiv:1810.05934."""

from __future__ import annotations

import math
from collections.abc import Mapping


def survivors(values: Mapping[int, float], reduction_factor: int) -> set[int]:
    """Return the configurations that go on from a rung, as Optuna's SuccessiveHalvingPruner decides it.

    One in `reduction_factor` goes on, rounded down, but at least one. Those that tie with the last of them go on, too.

    Args:
        values: Accuracy at the rung by configuration. NaN never goes on and does not count.
    """
    competing = sorted(value for value in values.values() if not math.isnan(value))
    if not competing:
        return set()
    places = max(len(competing) // reduction_factor, 1)
    return {configuration for configuration, value in values.items() if value >= competing[-places]}
