"""The fractal order of Chebyshev steps, against the paper's recursion, and what a few of them cost."""

from __future__ import annotations

import numpy as np
import pytest

from lrcore.curve import CurveRequest, sample
from lrcore.numerics.cost import SECOND
from lrcore.numerics.grid import Grid
from lrcore.schedules.decays import Chebyshev


def interlaced(total: int) -> list[int]:
    """perm(T) of arXiv:2103.01338, definition 2."""
    if total == 1:
        return [0]
    half = interlaced(total // 2)
    return [place for each in half for place in (each, total - 1 - each)]


@pytest.mark.parametrize("log2_steps", [0, 1, 2, 5, 11])
def test_the_order_is_that_of_the_paper(log2_steps: int) -> None:
    schedule, total = Chebyshev(type="Chebyshev", log2_steps=log2_steps), 2**log2_steps
    middle, radius = (schedule.M + schedule.m) / 2, (schedule.M - schedule.m) / 2
    rates = 0.1 / (middle - radius * np.cos((np.array(interlaced(total)) + 0.5) * np.pi / total))

    assert schedule.rates(Grid(0, 1, total), 0.1).tolist() == rates.tolist()
    assert schedule.rates(Grid(total, 1, 3 * total), 0.1).tolist() == [*rates, *rates, *rates]


def test_a_few_rates_of_a_long_cycle_are_those_of_the_whole_one() -> None:
    schedule = Chebyshev(type="Chebyshev", log2_steps=12)
    whole = schedule.rates(Grid(0, 1, 2 * 2**12), 0.1)

    assert schedule.rates(Grid(5, 997, 8), 0.1).tolist() == whole[5 : 5 + 8 * 997 : 997].tolist()


def test_a_few_rates_of_a_long_cycle_cost_no_more_than_those() -> None:
    asked = {"steps": 20, "base_lr": 0.1, "schedule": {"type": "Chebyshev", "log2_steps": 20}}
    curve = CurveRequest.model_validate(asked)

    assert curve.cost < 0.001 * SECOND
    assert len(sample(curve).lr[0]) == 20
