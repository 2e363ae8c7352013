"""Means over few runs, of which some are missing, and how far they may be trusted."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HALVINGS = 64  # of an angle below 2: what is left is less than its last bit


class Moments(NamedTuple):
    """What rows of values come to: three arrays of shape (rows,)."""

    n: Integers  # values that are not NaN
    mean: Floats  # NaN without a value
    std: Floats  # over n - 1; NaN with fewer than two values


def moments(values: Floats) -> Moments:
    """Mean and standard deviation of each row, shape (rows, columns), without its NaN.

    The order of a row's values changes no bit of them, and equal values have a deviation of exactly 0.
    """
    if not values.shape[1]:
        values = np.full((len(values), 1), np.nan)
    values = np.sort(values, axis=1)  # NaN last
    n = np.count_nonzero(~np.isnan(values), axis=1)
    above = np.nan_to_num(values - values[:, :1])  # of the smallest one
    offset = above.sum(1) / np.maximum(n, 1)
    apart = np.where(np.isnan(values), 0.0, above - offset[:, None])
    std = np.sqrt((apart**2).sum(1) / np.maximum(n - 1, 1))
    return Moments(n, values[:, 0] + offset, np.where(n > 1, std, np.nan))


@lru_cache(maxsize=1024)
def student_t(df: int, confidence: float) -> float:
    """The t with P(|T| < t) = confidence, for a T of Student's distribution with df degrees of freedom.

    P is the finite sum in the angle atan(t / sqrt(df)) of Abramowitz and Stegun, 26.7.3 for odd and 26.7.4 for even
    df, and rises with the angle, which bisection finds.

    Args:
        df: at least 1.
        confidence: above 0 and below 1.
    """
    powers = np.arange(df % 2, df - 1, 2)  # of the cosine; none for df = 1
    weights = np.cumprod(np.append(1.0, (powers[:-1] + 1) / (powers[:-1] + 2)))[: len(powers)]
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        angle = (low + high) / 2
        inside = math.sin(angle) * float(weights @ math.cos(angle) ** powers)
        if df % 2:
            inside = (angle + inside) * 2 / math.pi
        low, high = (angle, high) if inside < confidence else (low, angle)
    return math.sqrt(df) * math.tan((low + high) / 2)
