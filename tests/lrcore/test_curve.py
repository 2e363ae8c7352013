from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lrcore.curve import MAX_VALUES, Curve, CurveRequest, sample, summary
from lrcore.errors import CurveError
from lrcore.schedules import SCHEDULES
from lrcore.schedules._base import MAX_STEP
from tests.lrcore.strategies import CALLS, assert_same_bits, laws, specs

STEP = {"type": "StepLR", "step_size": 5, "gamma": 0.5}
PLATEAU = {"type": "ReduceLROnPlateau", "patience": 1, "factor": 0.5}
CYCLE = {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4}
GROUPED = {"type": "LambdaLR", "lr_lambda": ["1", "0.5 ** epoch"]}
LONG = "1" + "+0*epoch%1e-300" * 20  # remainders by a tiny number take long
PRODUCT = {"type": "MultiplicativeLR", "lr_lambda": LONG}


def request(**fields: Any) -> CurveRequest:
    return CurveRequest.model_validate({"schedule": STEP, "base_lr": 0.1, "steps": 20} | fields)


def curve(**fields: Any) -> Curve:
    return sample(request(**fields))


def test_a_curve_holds_one_row_a_parameter_group() -> None:
    got = curve(base_lr=[0.1, 0.2])

    assert got.lr.shape == (2, 20)
    assert got.lr.dtype == np.float64
    assert got.steps.tolist() == list(range(20))


def test_the_steps_begin_at_start_and_lie_a_stride_apart() -> None:
    got = curve(start=3, stride=4, steps=3)

    assert got.steps.tolist() == [3, 7, 11]
    assert got.lr.tolist() == [[0.1, 0.05, 0.025]]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", CALLS)
@laws(30)
@given(data=st.data(), start=st.integers(0, 40), stride=st.integers(1, 7), count=st.integers(1, 20))
def test_a_part_of_a_curve_is_that_part_of_the_whole(
    name: str, data: st.DataObject, start: int, stride: int, count: int
) -> None:
    spec = data.draw(specs(SCHEDULES[name]))
    end = start + stride * (count - 1) + 1
    try:
        whole = curve(schedule=spec, steps=end)
    except (ValidationError, CurveError):  # shorter than that, or for several groups: another test's matter
        return

    part = curve(schedule=spec, start=start, stride=stride, steps=count)

    assert_same_bits(part.lr, whole.lr[:, start::stride])
    assert_same_bits(part.momentum, None if whole.momentum is None else whole.momentum[:, start::stride])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", CALLS)
@laws(20)
@given(data=st.data(), base_lrs=st.lists(st.floats(1e-4, 1), min_size=2, max_size=3))
def test_a_group_s_row_is_its_curve_beside_the_first_one(name: str, data: st.DataObject, base_lrs: list[float]) -> None:
    spec = data.draw(specs(SCHEDULES[name]))
    try:
        together = curve(schedule=spec, base_lr=base_lrs, steps=8)
    except (ValidationError, CurveError):
        return

    if request(schedule=spec, base_lr=base_lrs, steps=8).schedule.groups is None:
        # beside the first, whose rate stands for the optimizer's own
        alone = [curve(schedule=spec, base_lr=[base_lrs[0], lr], steps=8).lr[1] for lr in base_lrs]
        assert_same_bits(together.lr, np.stack(alone))


def test_a_schedule_s_own_rate_makes_base_lr_needless() -> None:
    assert curve(schedule=CYCLE, base_lr=None, steps=5).lr[0, 0] == 0.01


def test_a_list_in_the_schedule_makes_groups() -> None:
    spec = CYCLE | {"base_lr": [0.01, 0.02]}

    assert curve(schedule=spec, base_lr=None, steps=3).lr[:, 0].tolist() == [0.01, 0.02]


def test_momentum_comes_along_where_a_schedule_cycles_it() -> None:
    got = curve(schedule=CYCLE, steps=5)

    assert got.momentum is not None
    assert got.momentum[0].tolist() == pytest.approx([0.9, 0.875, 0.85, 0.825, 0.8])
    assert curve().momentum is None


def test_a_plateau_reads_the_metrics_of_the_intervals_before_each_step() -> None:
    got = curve(schedule=PLATEAU, steps=6, metrics=[1.0, 1.0, 1.0, 1.0, 1.0])

    assert got.lr[0].tolist() == [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]


def test_a_plateau_ignores_metrics_past_the_last_step() -> None:
    few, many = (curve(schedule=PLATEAU, start=2, steps=2, metrics=[1.0] * n) for n in (3, 9))

    assert few.lr.tolist() == many.lr.tolist()


def test_a_far_step_is_as_good_as_a_near_one() -> None:
    far = curve(schedule={"type": "CosineAnnealingLR", "T_max": 1000}, start=10**15 - 1999, steps=2000)
    near = curve(schedule={"type": "CosineAnnealingLR", "T_max": 1000}, start=1, steps=2000)

    np.testing.assert_allclose(far.lr, near.lr, rtol=1e-12, atol=1e-14)


TOO_LONG = (("steps",), "s of a processor, more than 5: ask for fewer or nearer steps")

REFUSED: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    "no rate": ({"base_lr": None}, ("base_lr",), "needs the initial rate"),
    "past the last step": ({"start": MAX_STEP, "steps": 2}, ("steps",), "more than"),
    "past the end": (
        {"schedule": {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 10}, "steps": 11},
        ("steps",),
        "ends after 10 steps",
    ),
    "too many values": ({"base_lr": [0.1, 0.1], "steps": MAX_VALUES}, ("steps",), "rates are more than"),
    "too much work": (
        {
            "schedule": {
                "type": "ChainedScheduler",
                "schedulers": [{"type": "ChainedScheduler", "schedulers": [STEP] * 30}] * 2,
            },
            "steps": MAX_VALUES,
        },
        *TOO_LONG,
    ),
    "too long a scale_fn": (
        {"schedule": CYCLE | {"scale_fn": "1" + "+0*x" * 20, "scale_mode": "iterations"}, "steps": MAX_VALUES},
        *TOO_LONG,
    ),
    "a far step of a product": ({"schedule": PRODUCT, "start": 9_000_000, "steps": 1}, *TOO_LONG),
    "a far start of a product": ({"schedule": PRODUCT | {"last_epoch": 9_000_000}, "steps": 1}, *TOO_LONG),
    "a far step of a product in a chain": (
        {"schedule": {"type": "ChainedScheduler", "schedulers": [STEP, PRODUCT]}, "start": 9_000_000, "steps": 1},
        *TOO_LONG,
    ),
    "a far step of a product in a sequence": (
        {
            "schedule": {"type": "SequentialLR", "schedulers": [STEP, PRODUCT], "milestones": [5]},
            "start": 9_000_000,
            "steps": 1,
        },
        *TOO_LONG,
    ),
    "a far step of a plateau for many groups": (
        {"schedule": PLATEAU, "base_lr": [0.1] * 64, "start": 200_000, "steps": 1, "metrics": [1.0] * 200_000},
        *TOO_LONG,
    ),
    "one rate for two groups": ({"schedule": GROUPED}, ("base_lr",), "for 2 parameter groups"),
    "three rates for two groups": ({"schedule": GROUPED, "base_lr": [0.1] * 3}, ("base_lr",), "base_lr has 3"),
    "no metrics": ({"schedule": PLATEAU}, ("metrics",), "19 values, not 0"),
    "too few metrics": ({"schedule": PLATEAU, "metrics": [1.0] * 18}, ("metrics",), "19 values, not 18"),
    "metrics for nothing": ({"metrics": [1.0]}, ("metrics",), "does not take metrics"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_the_field_that_does_not(case: str) -> None:
    fields, field, words = REFUSED[case]

    with pytest.raises(ValidationError) as refusal:
        request(**fields)

    error = refusal.value.errors()[0]["ctx"]["error"]
    assert error.field == field
    assert words in str(error)


def test_a_product_whose_turn_is_over_costs_nothing() -> None:
    spec = {"type": "SequentialLR", "schedulers": [PRODUCT, STEP], "milestones": [100]}

    assert curve(schedule=spec, start=10**12 + 100, steps=2).lr.tolist() == [[0.0, 0.0]]


def test_a_product_of_equal_factors_has_no_far_steps() -> None:
    spec = {"type": "MultiplicativeLR", "lr_lambda": "1"}

    assert curve(schedule=spec, base_lr=[0.1] * 64, start=10**12, steps=1).lr.tolist() == [[0.1]] * 64


@pytest.mark.parametrize(
    ("expression", "words"),
    [("1 - epoch / 5", "at step 6 would be -0.02, negative"), ("exp(epoch ** 2)", "at step 27 would be inf")],
)
def test_a_rate_that_no_optimizer_takes_is_refused_by_its_step(expression: str, words: str) -> None:
    asked = request(schedule={"type": "LambdaLR", "lr_lambda": expression}, steps=40)

    with pytest.raises(CurveError, match=words) as refusal:
        sample(asked)

    assert refusal.value.field == ("schedule",)


def test_a_momentum_that_overflows_is_refused_by_its_step() -> None:
    cycle = {"type": "CyclicLR", "base_lr": 0.0, "max_lr": 1e-300, "step_size_up": 5, "mode": "exp_range", "gamma": 2.0}
    asked = request(schedule=cycle | {"max_momentum": 1e6}, start=1005, steps=10)

    with pytest.raises(CurveError, match="the momentum at step 1005 would be -inf"):
        sample(asked)


def test_a_summary_is_what_numpy_says_of_the_curve() -> None:
    lr = np.random.default_rng(0).uniform(0, 1, 10_001)

    facts = summary(lr, (lr.min(), lr.max()))

    assert (facts["initial"], facts["final"], facts["min"], facts["max"]) == (lr[0], lr[-1], lr.min(), lr.max())
    assert facts["mean"] == pytest.approx(lr.mean(), rel=1e-14)


def test_the_mean_of_equal_rates_is_that_rate() -> None:
    assert summary(np.full(1_000_003, 0.1), (0.1, 0.1))["mean"] == 0.1
