"""The order of an experiment's configurations, and how far apart they are."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lrcore.numerics.statistics import Floats
from lrcore.reports.leaderboard import LOST, Row, as_csv, leaderboard

STEP = {"type": "StepLR", "step_size": 5, "gamma": 0.5}


def states_of(final: Floats) -> list[list[str]]:
    return [["running" if math.isnan(value) else "succeeded" for value in row] for row in final]


def board(final: Any, states: list[list[str]] | None = None, best: Any = None, **options: Any) -> list[Row]:
    final = np.array(final, dtype=np.float64)
    best = final if best is None else np.array(best, dtype=np.float64)
    settings = [{"schedule": STEP if i % 2 else None, "lr": 0.1 / 2**i} for i in range(len(final))]
    return leaderboard(settings, range(final.shape[1]), states or states_of(final), final, best, **options)


def by_configuration(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.configuration)


def order(rows: list[Row]) -> list[int]:
    assert [row.rank for row in rows] == list(range(1, len(rows) + 1))
    return [row.configuration for row in rows]


ACCURACIES = st.sampled_from([math.nan, 0.1, 0.5, 0.9]) | st.floats(0, 1)
GRIDS = st.integers(1, 5).flatmap(
    lambda s: st.lists(st.lists(ACCURACIES, min_size=s, max_size=s), min_size=1, max_size=8)
)


def test_the_highest_mean_leads() -> None:
    assert order(board([[0.7, 0.8], [0.9, 0.8], [0.8, 0.8]])) == [1, 2, 0]


def test_either_figure_orders() -> None:
    final, best = [[0.7, 0.7], [0.6, 0.6]], [[0.8, 0.8], [0.9, 0.9]]

    assert order(board(final, best=best)) == [0, 1]
    assert order(board(final, best=best, by="best")) == [1, 0]


def test_equal_means_keep_the_order_of_the_grid() -> None:
    assert order(board([[0.1, 0.2, 0.3], [0.3, 0.1, 0.2], [0.2, 0.3, 0.1]])) == [0, 1, 2]


@pytest.mark.parametrize("lost", sorted(LOST))
def test_what_lost_a_run_comes_after_what_lost_none(lost: str) -> None:
    final = [[0.9, 0.9, math.nan], [0.5, 0.6, 0.7], [0.65, math.nan, math.nan], [math.nan] * 3]
    states = [
        ["succeeded", "succeeded", lost],
        ["succeeded"] * 3,
        ["succeeded", "running", "cancelled"],
        ["queued"] * 3,
    ]

    rows = board(final, states)

    assert order(rows) == [2, 1, 0, 3]
    assert rows[2].runs == {"succeeded": 2, lost: 1}
    assert rows[0].runs == {"succeeded": 1, "running": 1, "cancelled": 1}
    assert rows[3].final_test_accuracy is rows[3].best_test_accuracy is rows[3].difference is None


def test_figures_are_numpys_and_intervals_scipys() -> None:
    rng = np.random.default_rng(0)
    final = rng.random((40, 6))
    final[rng.random(final.shape) < 0.3] = math.nan
    best = final + rng.random(final.shape)

    rows = by_configuration(board(final, best=best, by="best", baseline=7))

    for i, row in enumerate(rows):
        for found, values in ((row.final_test_accuracy, final[i]), (row.best_test_accuracy, best[i])):
            there = values[~np.isnan(values)]
            assert found is not None
            assert (found.n, found.mean) == (len(there), pytest.approx(there.mean(), rel=1e-12))
            assert found.std == (pytest.approx(there.std(ddof=1), rel=1e-9) if len(there) > 1 else None)
        both = ~np.isnan(best[i] - best[7])
        if i == 7 or not both.any():
            assert row.difference is None
            continue
        assert row.difference is not None
        assert (row.difference.to, row.difference.pairs, row.difference.confidence) == (7, both.sum(), 0.95)
        assert row.difference.mean == pytest.approx((best[i] - best[7])[both].mean(), rel=1e-9)
        if both.sum() > 1:
            expected = stats.ttest_rel(best[i][both], best[7][both]).confidence_interval(0.95)
            assert (row.difference.low, row.difference.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
        else:
            assert row.difference.low is row.difference.high is None


def test_the_leader_is_the_baseline_unless_one_is_named() -> None:
    leader, other = board([[0.5, 0.7], [0.8, 0.8]])
    assert leader.difference is None
    assert other.difference is not None
    assert (other.difference.to, other.difference.mean) == (1, pytest.approx(-0.2))

    leader, other = board([[0.5, 0.7], [0.8, 0.8]], baseline=0)
    assert other.difference is None
    assert leader.difference is not None
    assert (leader.difference.to, leader.difference.mean) == (0, pytest.approx(0.2))


def test_equal_differences_have_an_interval_without_width() -> None:
    _, row = board([[0.75, 0.5, 0.25], [0.5, 0.25, 0.0]])

    assert row.difference is not None
    assert row.difference.low == row.difference.mean == row.difference.high == -0.25


def test_pairs_have_equal_seeds() -> None:
    """Seeds that differ more than configurations do hide nothing."""
    seeds = np.array([0.1, 0.5, 0.9])

    _, row = board([seeds + 0.01, seeds + np.array([0.0, 0.001, -0.001])])

    assert row.difference is not None
    assert row.difference.high is not None
    assert row.difference.high < 0


@given(GRIDS, st.sampled_from(["final", "best"]))
def test_ranks_follow_the_rule(final: list[list[float]], by: Literal["final", "best"]) -> None:
    best = np.array(final)[::-1]
    states = states_of(np.array(final))
    states[0][0] = "failed"
    rows = board(final, states, best, by=by)

    assert sorted(order(rows)) == list(range(len(final)))
    keys = []
    for row in rows:
        found = row.final_test_accuracy if by == "final" else row.best_test_accuracy
        lost = any(row.runs.get(state) for state in LOST)
        keys.append((found is None, lost, -found.mean if found else 0.0, row.configuration))
    assert keys == sorted(keys)


@given(GRIDS, st.randoms(), st.none() | st.just(0))
def test_the_order_of_seeds_changes_nothing(final: list[list[float]], random: Any, baseline: int | None) -> None:
    places = list(range(len(final[0])))
    random.shuffle(places)
    states = states_of(np.array(final))

    other = board(
        np.array(final)[:, places], [[row[place] for place in places] for row in states], None, baseline=baseline
    )

    assert other == board(final, states, baseline=baseline)


@given(GRIDS.filter(lambda grid: len(grid) > 1), st.floats(-1, 1))
def test_a_shifted_configuration_has_a_shifted_difference(final: list[list[float]], shift: float) -> None:
    before = by_configuration(board(final, baseline=0))[1].difference
    after = by_configuration(board([final[0], [value + shift for value in final[1]]], baseline=0))[1].difference

    assert (before is None) == (after is None)
    if before and after:
        assert after.pairs == before.pairs
        assert after.mean - before.mean == pytest.approx(shift, abs=1e-12)
        if before.low is not None and after.low is not None:
            assert after.low - before.low == pytest.approx(shift, abs=1e-12)


def test_rows_are_what_their_json_says() -> None:
    rows = board([[0.5, 0.7], [0.8, math.nan], [math.nan, math.nan]])

    assert [Row.model_validate_json(row.model_dump_json()) for row in rows] == rows


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"baseline": 2}, "no configuration 2: they are 0 to 1"),
        ({"baseline": -1}, "no configuration -1"),
        ({"states": [["succeeded"], ["succeeded", "failed"]]}, "a state for each run"),
        ({"states": [["succeeded"] * 2]}, "a state for each run"),
        ({"states": [["succeeded", "lost"]] * 2}, "no states of a run: lost"),
        ({"best": [[0.1, 0.2]]}, "do not fit best"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        board([[0.5, 0.7], [0.8, 0.9]], **changes)


def test_no_configurations_have_no_rows() -> None:
    assert leaderboard([], [1, 2], [], np.empty((0, 2)), np.empty((0, 2))) == []
    assert as_csv([]).startswith("rank,configuration,n,")


def test_a_table_reads_back() -> None:
    final = [[0.1, 0.7, 1 / 3], [0.8, 0.9, math.nan], [math.nan] * 3]
    states = [["succeeded"] * 3, ["succeeded", "succeeded", "failed"], ["queued", "pruned", "pruned"]]
    rows = board(final, states, np.array(final) + 0.01)

    table = list(csv.DictReader(io.StringIO(as_csv(rows))))

    assert list(table[0]) == [
        *("rank", "configuration", "schedule", "lr", "n", "final_mean", "final_std", "best_mean", "best_std"),
        *("difference", "low", "high", "pairs", "failed", "pruned"),
    ]
    for cells, row in zip(table, rows, strict=True):
        assert (int(cells["rank"]), int(cells["configuration"])) == (row.rank, row.configuration)
        assert json.loads(cells["schedule"]) == row.settings["schedule"]
        assert float(cells["lr"]) == row.settings["lr"]
        assert (int(cells["failed"]), int(cells["pruned"])) == (row.runs.get("failed", 0), row.runs.get("pruned", 0))
        for figure, found in (("final", row.final_test_accuracy), ("best", row.best_test_accuracy)):
            expected = [found.mean, found.std] if found else [None, None]
            assert [number(cells[f"{figure}_mean"]), number(cells[f"{figure}_std"])] == expected
        apart = row.difference
        assert [number(cells[name]) for name in ("difference", "low", "high", "pairs")] == (
            [apart.mean, apart.low, apart.high, apart.pairs] if apart else [None] * 4
        )
    assert [cells["n"] for cells in table] == ["3", "2", "0"]


def number(cell: str) -> float | None:
    return float(cell) if cell else None


def test_a_setting_that_is_null_differs_from_one_that_is_not_set() -> None:
    ones = np.ones((3, 1))
    settings: list[dict[str, Any]] = [{"tag": None}, {}, {"tag": 'a,"b"'}]

    table = csv.DictReader(io.StringIO(as_csv(leaderboard(settings, [0], [["succeeded"]] * 3, ones, ones))))

    assert [cells["tag"] for cells in table] == ["null", "", json.dumps('a,"b"')]
