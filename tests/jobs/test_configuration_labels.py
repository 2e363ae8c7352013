"""Names of configurations in legends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lrcore.jobs.configuration_labels import LONGEST, label, labels
from lrcore.schedules import SCHEDULES


def step(gamma: float, step_size: int = 3) -> dict[str, Any]:
    return {"type": "StepLR", "step_size": step_size, "gamma": gamma}


def based(schedule: dict[str, Any]) -> dict[str, Any]:
    return {"type": "BaseLR", "base_lr": 0.3, "schedule": schedule}


MULTI_STEP = {"type": "MultiStepLR", "milestones": list(range(100)), "gamma": 0.5}
SEQUENCE = {"type": "SequentialLR", "schedulers": [{"type": "LinearLR"}, {"type": "ExponentialLR"}], "milestones": [5]}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"schedule": step(0.1), "lr": 0.1}, "StepLR(step_size=3, gamma=0.1) lr=0.1"),
        ({"schedule": None, "lr": 1e-5}, "Constant lr=1e-05"),
        ({"schedule": based(MULTI_STEP)}, "BaseLR(MultiStepLR)"),
        ({"schedule": step(0.1) | {"last_epoch": None}}, "StepLR(step_size=3, gamma=0.1)"),
        ({"nesterov": True, "type": "sgd", "decay": None}, "nesterov=true type=sgd decay=null"),
        ({}, "as given"),
    ],
)
def test_a_name_says_what_is_set(settings: dict[str, Any], expected: str) -> None:
    assert label(settings) == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([{"schedule": step(0.1), "lr": 0.1}, {"schedule": step(0.1), "lr": 1}], ["lr=0.1", "lr=1"]),
        ([{"schedule": None, "lr": 0.1}, {"schedule": step(0.1), "lr": 0.1}], ["Constant", "StepLR"]),
        (
            [{"schedule": None}, {"schedule": step(0.1)}, {"schedule": step(0.5)}, {"schedule": SEQUENCE}],
            ["Constant", "StepLR(gamma=0.1)", "StepLR(gamma=0.5)", "SequentialLR(LinearLR, ExponentialLR)"],
        ),
        (
            [{"schedule": based(MULTI_STEP)}, {"schedule": based(step(0.1))}, {"schedule": based(step(0.5))}],
            ["BaseLR(MultiStepLR)", "BaseLR(StepLR(gamma=0.1))", "BaseLR(StepLR(gamma=0.5))"],
        ),
        (
            [{"schedule": step(0.1), "lr": 0.1}, {"schedule": step(0.1)}],
            ["lr=0.1", "StepLR(step_size=3, gamma=0.1)"],
        ),
        ([{"schedule": step(0.1)}], ["StepLR(step_size=3, gamma=0.1)"]),
        ([{"lr": 0.1}, {"lr": 0.1}, {"lr": 0.2}], ["lr=0.1 #0", "lr=0.1 #1", "lr=0.2"]),
        ([{"tag": "a"}, {"tag": "a"}, {"tag": "a #1"}], ["tag=a #0", "tag=a #1", "tag=a #1 #2"]),
        ([], []),
    ],
)
def test_names_say_what_differs(settings: list[dict[str, Any]], expected: list[str]) -> None:
    assert labels(settings) == expected


def test_types_are_enough_where_each_is_there_once() -> None:
    settings = [{"schedule": schedule.example} for schedule in SCHEDULES.values()]

    found = labels(settings)

    for shown, each in zip(found, settings, strict=True):
        assert shown.split("(")[0] == each["schedule"]["type"]


def test_a_long_name_is_cut() -> None:
    one, other = ({"schedule": MULTI_STEP | {"milestones": [*range(100), end]}, "note": "x" * 99} for end in (200, 201))

    found = labels([one, other])

    assert found[0] != found[1]
    assert found[1].endswith(" #1")
    assert len(label({f"setting_{i}": i for i in range(50)})) == LONGEST


VALUES = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from([0.1, 0.5, "a", "a #0", "a" * 70])
ARGUMENTS = st.dictionaries(st.sampled_from(["gamma", "power"]), VALUES)


def around(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda part: {"type": "Around", "schedule": part}, inner) | st.builds(
        lambda parts: {"type": "InTurn", "schedulers": parts}, st.lists(inner, max_size=3)
    )


MEMBERS = st.recursive(st.builds(lambda given: {"type": "Simple", **given}, ARGUMENTS), around, max_leaves=4)


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["lr", "#"]), VALUES)
        | st.fixed_dictionaries({"schedule": st.none() | MEMBERS, "lr": VALUES}),
        max_size=12,
    )
)
def test_names_are_short_and_no_two_the_same(settings: list[dict[str, Any]]) -> None:
    found = labels(settings)

    assert len(set(found)) == len(found) == len(settings)
    assert all(0 < len(label) <= LONGEST for label in found)
