"""One file for each kind of curve. An estimator is a function of a Series that yields candidates, listed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lrcore.fit.candidate import Candidate
from lrcore.fit.estimators import cycles, falls, flat_cosine, levels, one_cycle, warm
from lrcore.fit.series import Series

Estimator = Callable[[Series], Iterator[Candidate]]

ESTIMATORS: tuple[Estimator, ...] = (
    *levels.ESTIMATORS,
    *falls.ESTIMATORS,
    *flat_cosine.ESTIMATORS,
    *cycles.ESTIMATORS,
    *one_cycle.ESTIMATORS,
    *warm.ESTIMATORS,
)
LAST_RESORTS: tuple[Estimator, ...] = levels.LAST_RESORTS  # lists of rates, where no formula does
