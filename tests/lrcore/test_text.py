"""Suggestions for names that are not known."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from lrcore.datasets import DATASETS
from lrcore.models import MODELS
from lrcore.optimizers import OPTIMIZERS
from lrcore.schedules import SCHEDULES
from lrcore.text import did_you_mean

REGISTRIES: dict[str, Iterable[str]] = {
    "schedules": SCHEDULES,
    "models": MODELS,
    "datasets": DATASETS,
    "optimizers": OPTIMIZERS,
}


@pytest.mark.parametrize("kind", REGISTRIES)
def test_every_name_written_otherwise_suggests_itself(kind: str) -> None:
    registry = REGISTRIES[kind]
    for name in registry:
        plain = name.replace("_", "").replace("-", "")
        for written in (name.lower(), name.upper(), plain, plain.lower(), name.replace("_", "-"), f" {name}"):
            assert repr(name) in did_you_mean(written, registry), (written, name)


def test_case_goes_before_the_number_of_letters() -> None:
    assert did_you_mean("adamw", ["Adam", "AdamW", "SGD"]) == "did you mean 'AdamW'?"


def test_names_that_differ_in_signs_alone_are_all_given() -> None:
    known = ["ExponentialDecay", "exponential_decay", "Exponential"]

    assert did_you_mean("exponentialdecay", known) == "did you mean 'ExponentialDecay' or 'exponential_decay'?"


def test_a_misspelt_name_in_another_case_is_found() -> None:
    assert did_you_mean("cosineanealinglr", SCHEDULES) == "did you mean 'CosineAnnealingLR'?"


def test_a_name_that_is_near_to_none_suggests_none() -> None:
    assert did_you_mean("x" * 10_000, SCHEDULES) == ""
    assert did_you_mean("", SCHEDULES) == ""
