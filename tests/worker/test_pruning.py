"""Which configurations go on at a rung, against Optuna itself."""

from __future__ import annotations

import logging
import math
import random
import sys
import time

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcore.errors import MissingPackage
from lrserve.worker.pruning import survivors
from tests.lrcore.test_prune import pruner, rule

NAN = math.nan
ACCURACIES = st.dictionaries(st.integers(0, 99), st.sampled_from([NAN, 0.0, 0.1, 0.3, 0.5, 0.9, 1.0]), max_size=20)


@pytest.mark.parametrize("rung", [0, 1, 3])
def test_of_sixteen_the_best_four_go_on(rung: int) -> None:
    shuffled = random.Random(0).sample(range(16), 16)

    assert survivors(rule(), rung, {index: index / 16 for index in shuffled}) == {12, 13, 14, 15}


@pytest.mark.parametrize(
    ("values", "left"),
    [
        ([], set()),
        ([0.2], {0}),
        ([0.1, 0.3, 0.2], {1}),  # fewer than the factor: the best one
        ([0.5] * 9, set(range(9))),
        ([0.1, 0.9, 0.9, 0.9, 0.2, 0.3, 0.4, 0.5], {1, 2, 3}),  # two places, and three that are equally good
        ([NAN], set()),
        ([NAN, NAN], set()),
        ([NAN, 0.1, NAN, 0.2], {3}),
        ([0.1] * 3 + [0.2, 0.3, 0.4, 0.5] + [NAN], {6}),  # seven compete, not eight
    ],
    ids=str,
)
def test_who_goes_on(values: list[float], left: set[int]) -> None:
    assert survivors(rule(), 0, dict(enumerate(values))) == left


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_one_in_so_many_goes_on(factor: int) -> None:
    for count in range(1, 13):
        values = {index: float(index) for index in range(count)}
        best = range(count - max(1, count // factor), count)

        assert survivors(rule(reduction_factor=factor), 0, values) == set(best)


@settings(max_examples=40, deadline=None)
@given(ACCURACIES, st.integers(2, 5), st.integers(0, 2))
def test_no_one_goes_on_before_a_better_one(values: dict[int, float], factor: int, rung: int) -> None:
    left = survivors(rule(reduction_factor=factor), rung, values)
    competing = {index for index, value in values.items() if not math.isnan(value)}

    assert left <= competing
    assert bool(left) == bool(competing)
    assert all(values[index] > values[other] for index in left for other in competing - left)


@settings(max_examples=40, deadline=None)
@given(ACCURACIES, st.data())
def test_who_gets_better_keeps_going_on(values: dict[int, float], data: st.DataObject) -> None:
    left = survivors(rule(), 0, values)
    for index in sorted(left)[:1]:
        values[index] += data.draw(st.floats(0, 1))

        assert index in survivors(rule(), 0, values)


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(2, 4), st.integers(1, 3), st.integers(0, 1), st.integers(1, 12))
def test_the_last_to_come_is_judged_as_optuna_judges_it(
    data: st.DataObject, factor: int, resource: int, rate: int, count: int
) -> None:
    asha = rule(reduction_factor=factor, min_resource=resource, min_early_stopping_rate=rate)
    study = optuna.create_study(direction="maximize", pruner=pruner(asha))
    rungs = asha.rungs(40)
    reached: list[dict[int, float]] = [{} for _ in rungs]

    for index in range(count):
        trial = study.ask()
        for epoch in range(1, 40):
            value = data.draw(st.sampled_from([0.1, 0.2, 0.3, 0.4, NAN])) if epoch in rungs else 0.0
            trial.report(value, epoch)
            pruned = trial.should_prune()
            if epoch in rungs:
                rung = rungs.index(epoch)
                reached[rung][index] = value
                assert (index in survivors(asha, rung, reached[rung])) is not pruned
            if pruned:
                break


def test_the_order_of_arrival_does_not_matter() -> None:
    values = {index: random.Random(index).random() for index in range(20)}
    backwards = dict(reversed(values.items()))

    assert survivors(rule(), 1, values) == survivors(rule(), 1, backwards)


def test_a_thousand_are_judged_in_a_moment() -> None:
    values = {index: index / 1000 for index in range(1000)}
    began = time.process_time()

    assert survivors(rule(), 0, values) == set(range(750, 1000))
    assert time.process_time() - began < 5  # half a second; to ask for each of them would take minutes


def test_optunas_log_is_left_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("optuna")
    for level in (logging.INFO, logging.CRITICAL):
        before, root = logger.level, logging.getLogger().level
        logger.setLevel(level)
        try:
            survivors(rule(), 0, {0: 0.5, 1: 0.6})

            assert (logger.level, logging.getLogger().level) == (level, root)
        finally:
            logger.setLevel(before)

    assert capfd.readouterr().err == ""


def test_a_worker_without_optuna_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)

    with pytest.raises(MissingPackage, match=r"pip install 'lrserve\[worker\]'"):
        survivors(rule(), 0, {0: 0.5})
