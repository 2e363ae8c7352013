"""Every family that is a function of the step is found from its own curve, however it was logged."""

from __future__ import annotations

import numpy as np
import pytest

from lrcore.fit import UNIDENTIFIABLE, fit
from lrcore.schedules import SCHEDULES
from tests.campaign.draws import FIELDS, Drawn, draw
from tests.campaign.fit import explains, logged

# Specs of public reports that were missed once.
KNOWN = [
    Drawn({"type": "inverse_sqrt", "num_warmup_steps": 11}, 0.00375, 60),
    Drawn(
        {"type": "cosine_with_restarts", "num_warmup_steps": 10, "num_training_steps": 100, "num_cycles": 3}, 0.1, 100
    ),
    Drawn({"type": "WSD", "warmup_steps": 100, "stable_steps": 700, "decay_steps": 200}, 3e-4, 1000),
    Drawn({"type": "linear", "num_warmup_steps": 100, "num_training_steps": 1000}, 5e-5, 1000),
    Drawn({"type": "cosine", "num_warmup_steps": 50, "num_training_steps": 1000}, 3e-4, 1000),
]


MISSED = {
    ("CosineAnnealingWarmRestarts", "every 10th"): "its first cycles are shorter than 10 steps",
    ("CosineDecayRestarts", "every 10th"): "its first cycle is 10 steps long",
}


def test_every_family_is_drawn_or_has_a_reason_not_to_be() -> None:
    assert set(FIELDS) | set(UNIDENTIFIABLE) == set(SCHEDULES)
    assert not set(FIELDS) & set(UNIDENTIFIABLE)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", ["clean", "6 digits", "every 10th"])
@pytest.mark.parametrize("drawn", KNOWN, ids=lambda drawn: drawn.schedule["type"])
def test_known_curves_are_found(drawn: Drawn, kind: str) -> None:
    log = logged(drawn, kind)
    if len(log.lr) < 8:
        pytest.skip("too few logged steps for so many numbers")

    found = fit(log.lr, step=log.step)

    assert explains(log, found[0])


@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_family_is_found_from_its_own_curve(name: str) -> None:
    log = logged(draw(name, np.random.default_rng(5)), "clean")

    found = fit(log.lr, step=log.step)

    assert any(explains(log, each) for each in found)


@pytest.mark.sampled(21)
@pytest.mark.parametrize("kind", ["6 digits", "4 digits", "every 10th"])
@pytest.mark.parametrize("name", sorted(FIELDS))
def test_a_familys_example_is_found_from_fewer_digits_and_steps(name: str, kind: str) -> None:
    base_lr = None if _has_own(name) else 0.1
    log = logged(Drawn(SCHEDULES[name].example, base_lr, 200 if _length(name) is None else _length(name) or 0), kind)
    if len(log.lr) < 8 or len(set(log.lr.tolist())) < 2:
        pytest.skip("too short an example for a log of that kind")
    if (name, kind) in MISSED:
        pytest.skip(MISSED[name, kind])

    found = fit(log.lr, step=log.step)

    assert any(explains(log, each) for each in found)


def _has_own(name: str) -> bool:
    return SCHEDULES[name].model_validate(SCHEDULES[name].example).own_base_lr is not None


def _length(name: str) -> int | None:
    return SCHEDULES[name].model_validate(SCHEDULES[name].example).length


@pytest.mark.slowest
def test_steps_may_be_spaced_unevenly() -> None:
    drawn = KNOWN[-1]
    clean = logged(drawn, "clean")
    places = np.r_[0:100:7, 100:400:31, 403, 700:1000:50]

    found = fit(clean.lr[places], step=places)

    assert found[0].exact
    assert drawn.schedule in [each.schedule for each in found]


@pytest.mark.slowest
def test_a_log_that_counts_from_one_is_shifted() -> None:
    drawn = KNOWN[-1]
    clean = logged(drawn, "clean")
    places = np.arange(9, 1000, 10)

    found = fit(clean.lr[places], step=places + 1)  # as transformers' Trainer logs it

    assert found[0].exact
    assert {"type": "Shift", "by": -1, "schedule": drawn.schedule} in [each.schedule for each in found]


def test_a_linear_decay_stays_at_0_after_its_end() -> None:
    drawn = KNOWN[3]
    log = logged(drawn, "clean")

    found = fit(log.lr, limit=20)

    assert (found[0].schedule, found[0].base_lr) == (drawn.schedule, drawn.base_lr)
    cyclic = [each for each in found if each.exact and "CyclicLR" in str(each.schedule)]
    assert all(each.diverges_at == 1001 for each in cyclic)


def test_it_is_said_where_specs_that_agree_on_the_log_part() -> None:
    log = logged(Drawn({"type": "StepLR", "step_size": 10, "gamma": 0.5}, 0.1, 40), "clean")

    found = {each.schedule["type"]: each for each in fit(log.lr, limit=20)}

    assert found["StepLR"].diverges_at is None
    assert found["MultiStepLR"].diverges_at == 40


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ([0, 1], "one step for each rate, 3, not 2"),
        ([0, 2, 1], "step must rise, but 2 is followed by 1"),
        ([0, 1, 1], "step must rise, but 1 is followed by 1"),
        ([-1, 0, 1], "from 0 to"),
        ([0, 1, 10**16], "from 0 to"),
        ([0, 1, 10**30], "whole numbers"),
        ([0.0, 1.5, 2.0], "whole numbers"),
        (["a", "b", "c"], "whole numbers"),
    ],
)
def test_bad_steps_are_refused(step: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit([0.3, 0.2, 0.1], step=step)


def test_steps_that_are_spaced_too_unevenly_are_refused() -> None:
    step = np.cumsum(np.random.default_rng(0).integers(1, 10**9, 5000))

    with pytest.raises(ValueError, match="more than 500 stretches of even spacing"):
        fit(np.linspace(1, 0, 5000), step=step)
