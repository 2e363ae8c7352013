"""Which configurations go on at a rung, against Optuna itself."""

from __future__ import annotations

import math
import random
import time

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrcore.jobs.prune import Asha
from lrserve.worker.pruning import survivors
from tests.examples import examples
from tests.jobs.test_prune import pruner, rule

NAN = math.nan
EPOCHS = 40
FEW_VALUES = st.sampled_from([NAN, 0.0, 0.1, 0.3, 0.5, 0.9, 1.0])  # so that many are equal
VALUES = st.dictionaries(st.integers(0, 99), FEW_VALUES | st.floats(allow_nan=True), max_size=20)
RULES = st.builds(
    lambda factor, resource, rate: rule(reduction_factor=factor, min_resource=resource, min_early_stopping_rate=rate),
    st.integers(2, 6) | st.integers(2, 100),
    st.integers(1, 4),
    st.integers(0, 2),
)


@pytest.fixture(autouse=True, scope="module")
def quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # else a line for each study


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
    assert survivors(dict(enumerate(values)), 4) == left


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_one_in_so_many_goes_on(factor: int) -> None:
    for count in range(1, 13):
        values = {index: float(index) for index in range(count)}
        best = range(count - max(1, count // factor), count)

        assert survivors(values, factor) == set(best)


@settings(max_examples=examples(400), deadline=None)
@given(VALUES, RULES, st.integers(0, 2))
def test_a_rung_is_decided_as_optuna_decides_it(values: dict[int, float], asha: Asha, rung: int) -> None:
    went_on = {index for index in values if goes_on_as_the_last(values, index, asha, rung)}

    assert survivors(values, asha.reduction_factor) == went_on


def goes_on_as_the_last(values: dict[int, float], index: int, asha: Asha, rung: int) -> bool:
    """What Optuna decides of a configuration that comes to the rung after all others."""
    study = optuna.create_study(direction="maximize", pruner=pruner(first_rung(asha, rung)))
    decided = []
    for each in [other for other in values if other != index] + [index]:
        trial = study.ask()
        trial.report(values[each], asha.resource(rung))
        decided.append(not trial.should_prune())
    return decided[-1]


def first_rung(asha: Asha, rung: int) -> Asha:
    """The rule whose first rung is this one's `rung`-th, so that no trial needs a past at the rungs before."""
    return asha.model_copy(update={"min_early_stopping_rate": asha.min_early_stopping_rate + rung})


@settings(max_examples=examples(400), deadline=None)
@given(st.data(), RULES, st.integers(1, 12), st.integers(1, 3), st.randoms(use_true_random=False))
def test_configurations_that_arrive_one_by_one_fare_as_in_optuna(
    data: st.DataObject, asha: Asha, configurations: int, seeds: int, order: random.Random
) -> None:
    """Runs advance in any order; a configuration is judged by the mean of its seeds, and one failed seed ends it."""
    rungs = asha.rungs(EPOCHS)
    study = optuna.create_study(direction="maximize", pruner=pruner(asha))
    trials = [study.ask() for _ in range(configurations)]
    reached: list[dict[int, float]] = [{} for _ in rungs]
    next_rung = dict.fromkeys(range(configurations), 0)

    while going := [index for index, rung in next_rung.items() if rung < len(rungs)]:
        index = order.choice(going)
        rung = next_rung[index]
        runs = data.draw(st.lists(FEW_VALUES, min_size=seeds, max_size=seeds))
        reached[rung][index] = sum(runs) / seeds
        trials[index].report(reached[rung][index], rungs[rung])
        pruned = trials[index].should_prune()

        assert (index in survivors(reached[rung], asha.reduction_factor)) is not pruned
        next_rung[index] = len(rungs) if pruned else rung + 1


@settings(max_examples=examples(200), deadline=None)
@given(VALUES, st.integers(2, 6), st.data())
def test_who_gets_better_keeps_going_on(values: dict[int, float], factor: int, data: st.DataObject) -> None:
    left = survivors(values, factor)
    for index in sorted(left)[:1]:
        values[index] += data.draw(st.floats(0, 1))

        assert index in survivors(values, factor)


def test_the_order_of_arrival_does_not_matter() -> None:
    values = {index: random.Random(index).random() for index in range(20)}
    backwards = dict(reversed(values.items()))

    assert survivors(values, 4) == survivors(backwards, 4)


def test_ten_thousand_are_judged_in_a_moment() -> None:
    values = {index: index / 10_000 for index in range(10_000)}
    began = time.process_time()

    assert survivors(values, 4) == set(range(7_500, 10_000))
    assert time.process_time() - began < 1  # some milliseconds
