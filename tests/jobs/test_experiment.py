"""Experiments as specs: which runs a grid makes, and which grids are refused."""

from __future__ import annotations

from typing import Any

import pytest

from lrcore.errors import CurveError
from lrcore.jobs.experiment import ExperimentSpec
from tests.factories import experiment_spec


def refused(spec: ExperimentSpec) -> tuple[tuple[str | int, ...], str]:
    """The field at fault, and the message."""
    with pytest.raises(CurveError) as caught:
        spec.check()
    return caught.value.field, str(caught.value)


GROUPS = [{"params": "*.bias", "lr": 0.05}]


def test_rates_of_parameter_groups_keep_their_ratio_to_the_axis() -> None:
    spec = experiment_spec({"optimizer": {"type": "SGD", "lr": 0.1, "param_groups": GROUPS}}, lr=[0.1, 0.2])

    spec.check()
    assert [spec.run(i).optimizer.base_lrs for i in range(2)] == [(0.1, 0.05), (0.2, 0.1)]


@pytest.mark.parametrize("groups", [[], [{"params": "fc*", "lr": 0.01}]])
def test_the_rate_beside_muon_s_keeps_its_ratio_as_well(groups: list[dict[str, Any]]) -> None:
    muon = {"type": "Muon", "lr": 0.02, "others": {"type": "AdamW", "lr": 1e-3}, "param_groups": groups}
    spec = experiment_spec({"optimizer": muon}, lr=[0.02, 0.04])

    spec.check()
    assert [spec.run(i).optimizer.base_lrs[-1] for i in range(2)] == [1e-3, 2e-3]


@pytest.mark.parametrize("optimizer", [{"type": "SGD", "param_groups": GROUPS}, {"type": "Muon"}])
def test_nothing_keeps_its_ratio_to_a_rate_of_zero(optimizer: dict[str, Any]) -> None:
    field, message = refused(experiment_spec({"optimizer": optimizer | {"lr": 0.0}}, lr=[0.1, 0.2]))

    assert field == ("base", "optimizer", "lr")
    assert "must not be 0" in message


def test_a_rate_of_zero_without_others_beside_it_may_be_varied() -> None:
    spec = experiment_spec({"optimizer": {"type": "SGD", "lr": 0.0}}, lr=[0.0, 0.2])

    spec.check()
    assert [spec.run(i).optimizer.lr for i in range(2)] == [0.0, 0.2]


def test_equal_numbers_are_one_value_and_a_truth_is_none() -> None:
    for values in ([0, 0.0], [1, 0.5, 1.0]):
        with pytest.raises(ValueError, match="there already"):
            experiment_spec(dampening=values)
    spec = experiment_spec({"optimizer": {"type": "SGD", "momentum": 0.9}}, nesterov=[True, 1])
    assert refused(spec) == (("grid", "nesterov", 1), "Input should be a valid boolean")


def test_the_settings_of_all_configurations_fit_into_an_answer() -> None:
    steps = {"type": "MultiStepLR", "milestones": list(range(1, 9000))}
    spec = experiment_spec(schedule=[None, steps], lr=[i / 500 for i in range(500)])

    assert refused(spec)[0] == ("grid",)
    assert "1000 configurations have 3" in refused(spec)[1]


def test_a_bad_rate_among_many_is_found_wherever_it_stands() -> None:
    grow = {"type": "ExponentialLR", "gamma": 10 ** (300 / 25_600)}
    rates = [i / 1e6 for i in range(1, 1001)]
    base = {"interval": "step", "epochs": 100, "batch_size": 1}

    experiment_spec(base, schedule=[grow], lr=rates).check()
    field, message = refused(experiment_spec(base, schedule=[grow], lr=[*rates[:500], 1e10, *rates[500:]]))
    assert field == ("grid", "schedule", 0)
    assert "would be inf" in message


def test_grids_whose_rates_would_take_minutes_to_check_are_refused_at_once() -> None:
    base = {"interval": "step", "epochs": 10_000, "batch_size": 1}

    field, message = refused(
        experiment_spec(base, schedule=[{"type": "StepLR", "step_size": i + 1} for i in range(200)])
    )
    assert field == ("grid",)
    assert "s of a processor, more than" in message


def test_what_the_base_has_to_do_with_it_is_named_there() -> None:
    plateau = {"type": "ReduceLROnPlateau"}
    grow = {"type": "ExponentialLR", "gamma": 1e100}

    assert refused(experiment_spec({"interval": "step"}, schedule=[plateau]))[0] == ("base", "interval")
    assert refused(experiment_spec({"schedule": grow}, lr=[0.1, 1e200]))[0] == ("base", "schedule")
