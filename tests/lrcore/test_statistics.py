"""Means of few values, and Student's t."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lrcore.numerics.statistics import moments, student_t


@pytest.mark.parametrize("df", [*range(1, 201), 1000])
def test_students_t_is_scipys(df: int) -> None:
    for confidence in (0.5, 0.9, 0.95, 0.999):
        assert student_t(df, confidence) == pytest.approx(stats.t.ppf((1 + confidence) / 2, df), rel=1e-11)


def test_moments_are_numpys_without_nan() -> None:
    values = np.random.default_rng(0).random((50, 7))
    values[values < 0.2] = np.nan
    values[:3] = np.nan
    values[1, 4] = values[2, 0] = values[2, 6] = 0.3

    n, mean, std = moments(values)

    assert n[:3].tolist() == [0, 1, 2]
    assert np.isnan(mean[0])
    assert np.isnan(std[:2]).all()
    assert (mean[1], mean[2], std[2]) == (0.3, 0.3, 0.0)
    for row, *found in zip(values[3:], n[3:], mean[3:], std[3:], strict=True):
        there = row[~np.isnan(row)]
        assert found == pytest.approx([len(there), there.mean(), there.std(ddof=1)], rel=1e-12)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_no_values_have_no_moments(shape: tuple[int, int]) -> None:
    n, mean, std = moments(np.empty(shape))

    assert n.tolist() == [0] * shape[0]
    assert np.isnan(mean).all()
    assert np.isnan(std).all()


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=20), st.randoms())
def test_the_order_of_values_changes_no_bit(values: list[float | None], random) -> None:
    row = np.array([values], dtype=np.float64)
    random.shuffle(values)
    other = np.array([values], dtype=np.float64)

    for one, two in zip(moments(row), moments(other), strict=True):
        np.testing.assert_array_equal(one, two)
