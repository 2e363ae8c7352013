"""When the configurations of an experiment are judged."""

from __future__ import annotations

from itertools import pairwise

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lrcore.jobs.prune import Asha
from lrcore.jobs.training_spec import MAX_EPOCHS

RULES = [
    {},
    {"min_resource": 5},
    {"reduction_factor": 2},
    {"min_early_stopping_rate": 1},
    {"min_resource": 3, "reduction_factor": 2, "min_early_stopping_rate": 1},
    {"min_resource": 2, "reduction_factor": 3, "min_early_stopping_rate": 2},
    {"min_resource": 40},
]


def rule(**parameters: int) -> Asha:
    return Asha.model_validate({"type": "asha"} | parameters)


def pruner(asha: Asha) -> optuna.pruners.SuccessiveHalvingPruner:
    return optuna.pruners.SuccessiveHalvingPruner(**asha.model_dump(exclude={"type"}))


def test_its_defaults_are_optunas() -> None:
    assert rule().rungs(300) == (1, 4, 16, 64, 256)
    assert vars(optuna.pruners.SuccessiveHalvingPruner(min_resource=1)) == vars(pruner(rule()))


@pytest.mark.parametrize("parameters", RULES, ids=str)
def test_it_judges_when_optuna_does(parameters: dict[str, int]) -> None:
    epochs = 40
    study = optuna.create_study(direction="maximize", pruner=pruner(rule(**parameters)))

    def pruned(falls: int) -> bool:
        """Whether a trial that is as good as any, and at this epoch at once the worst, is stopped at it."""
        trial = study.ask()
        for epoch in range(1, falls):
            trial.report(1.0, epoch)
            assert not trial.should_prune()
        trial.report(0.0, falls)
        return trial.should_prune()

    good = study.ask()
    for epoch in range(1, epochs + 1):
        good.report(1.0, epoch)
        assert not good.should_prune()

    assert tuple(epoch for epoch in range(1, epochs + 1) if pruned(epoch)) == rule(**parameters).rungs(epochs + 1)


def test_nothing_is_judged_at_the_end() -> None:
    assert rule().rungs(17) == (1, 4, 16)
    assert rule().rungs(16) == (1, 4)
    assert rule().rungs(1) == ()
    assert rule(min_resource=10).rungs(10) == ()


@given(st.integers(1, MAX_EPOCHS), st.integers(2, MAX_EPOCHS), st.integers(0, 13), st.integers(1, MAX_EPOCHS))
def test_rungs_are_powers_below_the_end(resource: int, factor: int, rate: int, epochs: int) -> None:
    asha = rule(min_resource=resource, reduction_factor=factor, min_early_stopping_rate=rate)
    rungs = asha.rungs(epochs)

    assert rungs == tuple(asha.resource(rung) for rung in range(len(rungs)))
    assert all(after == factor * before for before, after in pairwise(rungs))
    assert all(rung < epochs for rung in rungs)
    assert asha.resource(len(rungs)) >= epochs


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_resource": 0},
        {"min_resource": "auto"},
        {"min_resource": True},
        {"reduction_factor": 1},
        {"reduction_factor": 2.5},
        {"min_early_stopping_rate": -1},
        {"min_early_stopping_rate": 10**9},
        {"bootstrap_count": 1},
        {"type": "median"},
    ],
    ids=str,
)
def test_a_rule_that_is_none_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Asha.model_validate({"type": "asha"} | wrong)


def test_the_highest_rate_is_the_last_at_which_anything_is_judged() -> None:
    assert rule(reduction_factor=2, min_early_stopping_rate=13).rungs(MAX_EPOCHS) == (8192,)
    with pytest.raises(ValidationError):
        rule(reduction_factor=2, min_early_stopping_rate=14)
