"""An experiment's configurations in order of what their runs reached.

Letters: c configurations have a run with each of s seeds; a figure of all runs has shape (c, s).

What the figures do not say:

- `best` is the highest of many epochs on the test set, unless there is a validation split to choose by. So it is
  optimistic, the more so the longer the run and the noisier its accuracy. `final` chooses nothing.
- An interval is for one comparison that was chosen before the figures were seen. Nothing is corrected for many:
  with 20 configurations that are all alike, one interval is expected to miss 0.
- The leader leads by the same figures, part of which is luck. As the baseline it makes the others look worse than
  they are; a baseline that is named in advance does not.
- Student's t takes the differences between pairs for normal, which few seeds cannot show.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from lrcore.jobs.states import State
from lrcore.numerics.statistics import Floats, Moments, moments, student_t
from lrcore.text import csv_of

By = Literal["final", "best"]

PRUNED = "pruned"  # ended early for what it had reached: no state of a job, but of a run
STATES = tuple(dict.fromkeys([*(state.value for state in State), PRUNED]))
LOST = frozenset({State.FAILED.value, PRUNED})
CONFIDENCE = 0.95
STATISTICS = ("final_mean", "final_std", "best_mean", "best_std")
COMPARISON = ("difference", "low", "high", "pairs")


class Statistic(BaseModel, frozen=True):
    """A figure over a configuration's runs."""

    mean: float
    std: float | None = Field(description="over n - 1; null for one run")
    n: int = Field(description="runs that have the figure")


class Difference(BaseModel, frozen=True):
    """How much higher a configuration's figure is than another one's, over the seeds that both have it with."""

    to: int = Field(description="index of the other configuration")
    mean: float = Field(description="this one minus the other one, mean over the pairs")
    low: float | None = Field(description="lower end of the confidence interval of the mean; null for one pair")
    high: float | None = Field(description="its upper end; null for one pair")
    pairs: int = Field(description="seeds that both have the figure with")
    confidence: float = Field(CONFIDENCE, description="of the interval, by Student's t, for this comparison alone")


class Row(BaseModel, frozen=True):
    """A configuration's place."""

    rank: int = Field(description="from 1")
    configuration: int = Field(description="its index in the grid")
    settings: dict[str, Any] = Field(description="what it sets")
    runs: dict[str, int] = Field(description="how many of its runs are in each state, without those that none is in")
    final_test_accuracy: Statistic | None = Field(description="after the last epoch; null if no run has ended well")
    best_test_accuracy: Statistic | None = Field(
        description="at the best epoch; the test set chose it, and flatters, unless there is a validation split"
    )
    difference: Difference | None = Field(
        description="to the baseline, in the figure that orders; null for itself, and where no seed has both"
    )


def leaderboard(
    settings: Sequence[dict[str, Any]],
    seeds: Sequence[int],
    states: Sequence[Sequence[str]],
    final: Floats,
    best: Floats,
    *,
    by: By = "final",
    baseline: int | None = None,
) -> list[Row]:
    """The configurations, the best one first.

    Those without failed or pruned runs come first, since what is lost is seldom lost by chance: a rate that diverges
    with some seeds would be judged by those it went well with. Then the highest mean leads; of equal ones that with the
    lower index. Those without a mean come last, whatever became of their runs. While runs are queued or running, or
    after some were cancelled, means are of those that have succeeded: `n` says how many.

    Args:
        settings: what each configuration sets: c of them.
        seeds: s of them, one a column. Runs with the same seed are a pair.
        states: of the runs, c rows of s words.
        final: test accuracy of each run that succeeded after its last epoch, else NaN: shape (c, s).
        best: the same at each run's best epoch.
        by: the figure that orders and that differences are of.
        baseline: index of the configuration that the others are compared with; None: that with rank 1.

    Raises:
        ValueError: shapes do not fit, a state is unknown, or there is no configuration with the baseline's index.
    """
    _check(settings, seeds, states, final, best)
    if baseline is not None and not 0 <= baseline < len(settings):
        raise ValueError(f"there is no configuration {baseline}: they are 0 to {len(settings) - 1}")
    if not settings:
        return []
    figure = final if by == "final" else best
    runs = [{state: row.count(state) for state in STATES if state in row} for row in states]
    order = _order(runs, moments(figure).mean)
    to = order[0] if baseline is None else baseline
    finals, bests = _statistics(final), _statistics(best)
    differences = _differences(figure - figure[to], to)
    # the values are right already, and checking them takes longer than all arithmetic
    return [
        Row.model_construct(
            rank=rank,
            configuration=i,
            settings=settings[i],
            runs=runs[i],
            final_test_accuracy=finals[i],
            best_test_accuracy=bests[i],
            difference=differences[i],
        )
        for rank, i in enumerate(order, 1)
    ]


def _check(
    settings: Sequence[Any], seeds: Sequence[int], states: Sequence[Sequence[str]], final: Floats, best: Floats
) -> None:
    shape = (len(settings), len(seeds))
    if len(states) != shape[0] or any(len(row) != shape[1] for row in states):
        raise ValueError(f"{shape[0]} configurations with {shape[1]} seeds need a state for each run")
    unknown = set().union(*states).difference(STATES)
    if unknown:
        raise ValueError(f"no states of a run: {', '.join(sorted(unknown))}")
    for name, figure in (("final", final), ("best", best)):
        if figure.shape != shape:
            raise ValueError(f"{shape[0]} configurations with {shape[1]} seeds do not fit {name}, {figure.shape}")


def _order(runs: Sequence[dict[str, int]], mean: Floats) -> list[int]:
    lost = np.array([not LOST.isdisjoint(counts) for counts in runs])
    missing = np.isnan(mean)
    # stable, and by the last key first
    order: list[int] = np.lexsort((np.where(missing, 0.0, -mean), lost, missing)).tolist()
    return order


def _columns(found: Moments) -> Iterator[tuple[int, float, float]]:
    return zip(*(column.tolist() for column in found), strict=True)


def _statistics(figure: Floats) -> list[Statistic | None]:
    return [
        Statistic.model_construct(mean=mean, std=std if n > 1 else None, n=n) if n else None
        for n, mean, std in _columns(moments(figure))
    ]


def _differences(pairs: Floats, to: int) -> list[Difference | None]:
    """Of each configuration to that with the index `to`; `pairs` has the differences of single runs, shape (c, s)."""
    made: list[Difference | None] = []
    for i, (n, mean, std) in enumerate(_columns(moments(pairs))):
        if i == to or not n:
            made.append(None)
            continue
        half = student_t(n - 1, CONFIDENCE) * std / n**0.5 if n > 1 else None
        low, high = (None, None) if half is None else (mean - half, mean + half)
        made.append(Difference.model_construct(to=to, mean=mean, low=low, high=high, pairs=n, confidence=CONFIDENCE))
    return made


def as_csv(rows: Sequence[Row]) -> str:
    """One row per configuration, one column per name that one of them sets.

    Settings that are no numbers are JSON, so that null differs from what is not set; what is not there is an empty
    cell. `n` is the number of runs with a final test accuracy.
    """
    axes = list(dict.fromkeys(axis for row in rows for axis in row.settings))
    head = ["rank", "configuration", *axes, "n", *STATISTICS, *COMPARISON, State.FAILED.value, PRUNED]
    settings = [[_cell(row.settings[axis]) if axis in row.settings else "" for axis in axes] for row in rows]
    lines = [
        [row.rank, row.configuration, *own, *map(_number, _figures(row))]
        for row, own in zip(rows, settings, strict=True)
    ]
    return csv_of([head, *lines])


def _figures(row: Row) -> Iterator[float | None]:
    final, best, difference = row.final_test_accuracy, row.best_test_accuracy, row.difference
    yield final.n if final else 0
    for statistic in (final, best):
        yield from (statistic.mean, statistic.std) if statistic else (None, None)
    if difference:
        yield from (difference.mean, difference.low, difference.high, difference.pairs)
    else:
        yield from (None,) * len(COMPARISON)
    yield row.runs.get(State.FAILED.value, 0)
    yield row.runs.get(PRUNED, 0)


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _cell(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
