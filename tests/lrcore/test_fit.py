from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lrcore.curve import CurveRequest, sample
from lrcore.fit import MAX_LENGTH, Fit, fit
from lrcore.numerics.grid import Array
from lrcore.schedules import SCHEDULES
from tests.lrcore.strategies import Json, laws, parse


def logged(schedule: Json, steps: int, base_lr: float | None = 0.1, start: int = 0, stride: int = 1) -> Array:
    asked = CurveRequest(schedule=parse(schedule), base_lr=base_lr, start=start, stride=stride, steps=steps)
    rates: Array = sample(asked).lr[0]
    return rates


def drawn(found: Fit, steps: int, start: int = 0, stride: int = 1) -> Array:
    return logged(found.schedule, steps, found.base_lr, start, stride)


def spec(name: str, **fields: Any) -> Json:
    return {"type": name, **fields}


def warm(*then: Json, start: float = 0.1, steps: int = 6) -> Json:
    first = spec("LinearLR", start_factor=start, total_iters=steps)
    return spec("SequentialLR", schedulers=[first, *then], milestones=[steps])


def cyclic(**fields: Any) -> Json:
    return spec("CyclicLR", base_lr=0.001, max_lr=0.1, cycle_momentum=False, **fields)


def one_cycle(total_steps: int, **fields: Any) -> Json:
    return spec("OneCycleLR", max_lr=0.1, total_steps=total_steps, cycle_momentum=False, **fields)


# What a log of so many steps says without doubt: the very same spec comes back.
CLEAR: list[tuple[Json, int]] = [
    (spec("Constant"), 2),
    (spec("Constant"), 50),
    (spec("StepLR", step_size=5, gamma=0.5), 40),
    (spec("StepLR", step_size=30, gamma=0.1), 1000),
    (spec("StepLR", step_size=2, gamma=0.97), 41),
    (spec("StepLR", step_size=7, gamma=1.1), 100),
    (spec("MultiStepLR", milestones=[3, 8, 20], gamma=0.3), 40),
    (spec("MultiStepLR", milestones=[30, 60, 80], gamma=0.1), 90),
    (spec("ExponentialLR", gamma=0.95), 50),
    (spec("ExponentialLR", gamma=0.9), 5000),
    (spec("ExponentialLR", gamma=1.05), 50),
    (spec("LinearLR", start_factor=0.1, total_iters=10), 50),
    (spec("LinearLR", start_factor=1 / 3, total_iters=7), 50),
    (spec("LinearLR", start_factor=1.0, end_factor=0.2, total_iters=33), 50),
    (spec("PolynomialLR", total_iters=30, power=2.0), 50),
    (spec("PolynomialLR", total_iters=50, power=0.9), 50),
    (spec("PolynomialLR", total_iters=400, power=3.0), 50),
    (spec("PolynomialLR", total_iters=30), 50),
    (spec("CosineAnnealingLR", T_max=50), 50),
    (spec("CosineAnnealingLR", T_max=50, eta_min=0.001), 51),
    (spec("CosineAnnealingLR", T_max=200, eta_min=0.001), 51),
    (spec("CosineAnnealingLR", T_max=17, eta_min=0.001), 90),
    (spec("CosineAnnealingLR", T_max=10_000), 100),
    (spec("CosineAnnealingWarmRestarts", T_0=10, eta_min=0.01), 100),
    (spec("CosineAnnealingWarmRestarts", T_0=10, T_mult=2), 100),
    (spec("CosineAnnealingWarmRestarts", T_0=20, T_mult=3, eta_min=1e-4), 60),
    (cyclic(step_size_up=10), 100),
    (cyclic(step_size_up=60), 100),
    (cyclic(step_size_up=10, step_size_down=7, mode="triangular2"), 100),
    (cyclic(step_size_up=10, mode="exp_range", gamma=0.99), 100),
    (cyclic(step_size_up=10, mode="exp_range", gamma=0.8), 100),
    (one_cycle(100), 100),
    (one_cycle(100), 80),
    (one_cycle(10), 10),
    (one_cycle(103, pct_start=0.42, div_factor=10.0, final_div_factor=100.0), 103),
    (one_cycle(100, pct_start=0.25, anneal_strategy="linear", div_factor=10.0, final_div_factor=100.0), 100),
    (one_cycle(103, three_phase=True), 103),
    (spec("SquareRootScheduler", lr=0.3), 50),
    (spec("FactorScheduler", factor=0.8, stop_factor_lr=0.01, base_lr=0.6), 50),
    (spec("CosineScheduler", max_update=20, base_lr=0.2, final_lr=0.02), 50),
    (spec("CosineScheduler", max_update=20, base_lr=0.2, final_lr=0.02, warmup_steps=5), 50),
    (spec("CosineScheduler", max_update=30, base_lr=0.2, warmup_steps=5, warmup_begin_lr=0.01), 50),
    (spec("ConstantLR", factor=0.5, total_iters=4), 50),
    (warm(spec("CosineAnnealingLR", T_max=20)), 50),
    (warm(spec("CosineAnnealingWarmRestarts", T_0=10, T_mult=2)), 100),
    (warm(spec("ExponentialLR", gamma=0.9)), 50),
    (warm(spec("ExponentialLR", gamma=0.97), start=1 / 3), 50),
    (warm(spec("StepLR", step_size=10, gamma=0.5)), 50),
    (warm(spec("MultiStepLR", milestones=[10, 15, 40], gamma=0.5)), 60),
    (warm(spec("PolynomialLR", total_iters=45, power=2.0)), 50),
    (warm(spec("LinearLR", start_factor=1.0, end_factor=0.1, total_iters=30)), 50),
]

# The same curve has a simpler spec, or others that are as simple.
AMBIGUOUS: list[tuple[Json, int]] = [
    (spec("StepLR", step_size=1, gamma=0.9), 40),
    (spec("StepLR", step_size=25, gamma=0.1), 40),
    (spec("MultiStepLR", milestones=[10, 20, 30], gamma=0.5), 40),
    (spec("LinearLR", start_factor=1.0, end_factor=0.0, total_iters=60), 50),
    (spec("LinearLR", start_factor=0.25, total_iters=80), 50),
    (spec("LinearLR", start_factor=1.0, end_factor=0.2, total_iters=50), 50),
    (spec("FactorScheduler", factor=0.9), 50),
    (spec("CosineScheduler", max_update=50), 50),
    (spec("ConstantLR", factor=0.0, total_iters=9), 50),
    (spec("LambdaLR", lr_lambda="min(1, epoch / 10)"), 50),
    (warm(spec("Constant")), 50),
    (warm(spec("CosineAnnealingLR", T_max=44)), 50),
    (warm(spec("CosineAnnealingLR", T_max=60, eta_min=1e-4)), 50),
    (warm(spec("CosineAnnealingLR", T_max=44), steps=1), 50),
    (warm(spec("CosineAnnealingLR", T_max=44), steps=2, start=0.5), 50),
    (spec("SequentialLR", schedulers=[spec("LambdaLR", lr_lambda="step / 5"), spec("StepLR", step_size=9, gamma=0.5)],
          milestones=[5]), 50),
    (spec("SequentialLR", schedulers=[spec("LinearLR", start_factor=0.1, total_iters=4),
                                      spec("StepLR", step_size=9, gamma=0.5)], milestones=[8]), 50),
    (spec("SequentialLR", schedulers=[spec("LinearLR", start_factor=0.1, end_factor=0.5, total_iters=8),
                                      spec("ExponentialLR", gamma=0.9)], milestones=[8]), 50),
]  # fmt: skip


def names(cases: list[tuple[Json, int]]) -> list[str]:
    return ["+".join(p["type"] for p in c.get("schedulers", [c])) + f"-{steps}" for c, steps in cases]


@pytest.mark.sampled(6)
@pytest.mark.parametrize(("schedule", "steps"), CLEAR, ids=names(CLEAR))
def test_the_spec_behind_a_log_is_found(schedule: Json, steps: int) -> None:
    found = fit(logged(schedule, steps))[0]

    assert parse(found.schedule) == parse(schedule)
    assert found.base_lr == (parse(schedule).own_base_lr or 0.1)
    assert found.exact


@pytest.mark.sampled(3)
@pytest.mark.parametrize(("schedule", "steps"), AMBIGUOUS, ids=names(AMBIGUOUS))
def test_a_log_with_several_specs_gets_an_exact_one(schedule: Json, steps: int) -> None:
    rates = logged(schedule, steps)

    found = fit(rates)[0]

    assert found.exact
    np.testing.assert_allclose(drawn(found, steps), rates, rtol=0, atol=1e-9 * rates.max())


DECIMALS = st.integers(1, 9999).map(lambda digits: digits / 10_000)
RATES = st.tuples(st.integers(1, 99), st.integers(-5, -1)).map(lambda pair: float(f"{pair[0]}e{pair[1]}"))


@laws(40)
@given(size=st.integers(2, 30), gamma=st.integers(5, 95), base=RATES, steps=st.integers(65, 200))
def test_drawn_steps_are_found(size: int, gamma: int, base: float, steps: int) -> None:
    schedule = spec("StepLR", step_size=size, gamma=gamma / 100)

    found = fit(logged(schedule, steps, base))[0]

    assert (found.schedule, found.base_lr) == (schedule, base)


@laws(40)
@given(
    gamma=st.floats(0.5, 1.02) | st.integers(500, 999).map(lambda n: n / 1000), base=RATES, steps=st.integers(4, 300)
)
def test_drawn_exponentials_are_found(gamma: float, base: float, steps: int) -> None:
    rates = logged(spec("ExponentialLR", gamma=gamma), steps, base)

    found = fit(rates)[0]

    assert found.exact
    if 0.5 < gamma < 1 and len(repr(gamma)) < 6:
        assert (found.schedule, found.base_lr) == (spec("ExponentialLR", gamma=gamma), base)


@laws(40)
@given(length=st.integers(5, 400), low=st.integers(0, 90), base=RATES, share=st.floats(0.5, 3.0))
def test_drawn_cosines_are_found(length: int, low: int, base: float, share: float) -> None:
    steps = max(5, int(length * share))
    eta_min = float(f"{base * low / 100:.3g}")
    rates = logged(spec("CosineAnnealingLR", T_max=length, eta_min=eta_min), steps, base)

    found = fit(rates)[0]

    assert found.exact
    if steps > 12:
        assert found.schedule["type"] == "CosineAnnealingLR"
        assert found.schedule["T_max"] == length
        assert found.schedule.get("eta_min", 0.0) == eta_min


@laws(40)
@given(
    steps=st.integers(1, 40),
    start=st.sampled_from([0.001, 0.01, 0.1, 0.25, 1 / 3, 0.5]),
    length=st.integers(8, 200),
    low=DECIMALS | st.just(0.0),
    base=RATES,
    share=st.floats(0.5, 1.5),
)
def test_drawn_warm_ups_before_cosines_are_found(
    steps: int, start: float, length: int, low: float, base: float, share: float
) -> None:
    cosine = spec("CosineAnnealingLR", T_max=length, eta_min=0.5 * low * base)
    total = steps + max(8, int(length * share))
    rates = logged(warm(cosine, start=start, steps=steps), total, base)

    found = fit(rates)[0]

    assert found.exact
    np.testing.assert_allclose(drawn(found, total), rates, rtol=0, atol=1e-9 * rates.max())


@pytest.mark.slowest
@laws(24)
@example(rates=[1.7e308, 1.7e308], start=0, stride=1)
@example(rates=[5e-324, 5e-324, 0.0], start=0, stride=1)
@example(rates=[0.0, 0.0], start=0, stride=1)
@example(rates=[2.5e-237, 2.7e189, 3.5e-143, 3.2e-236, 1.2e288], start=0, stride=1)
@example(rates=[2.8e225, 1.4e-45, 6.5e307, 1.7976931348623155e308, 4.5e307], start=2375897414, stride=4064)
@given(
    rates=st.lists(st.floats(0, allow_infinity=False), min_size=2, max_size=12)
    | st.lists(st.sampled_from([0.0, 0.1, 0.2, 1.0]), min_size=2, max_size=12),
    start=st.integers(0, 10**15 - 12 * 10**12) | st.just(0),
    stride=st.integers(1, 10**12) | st.just(1),
)
def test_any_series_gets_specs_with_true_errors(rates: list[float], start: int, stride: int) -> None:
    found = fit(rates, step=[start + stride * i for i in range(len(rates))], limit=3)

    assert 1 <= len(found) <= 3
    assert_honest(found, np.array(rates), start, stride)


def assert_honest(found: list[Fit], rates: Array, start: int = 0, stride: int = 1) -> None:
    scale = float(rates.max()) or 1.0
    for result in found:
        wrong = (drawn(result, len(rates), start, stride) - rates) / scale
        assert result.max_error == pytest.approx(np.abs(wrong).max(), rel=1e-12, abs=1e-300)
        assert result.rms_error == pytest.approx(np.sqrt(np.mean(wrong**2)), rel=1e-9, abs=1e-150)
        assert result.exact == (result.max_error <= 1e-9)
    assert [result.exact for result in found] == sorted((result.exact for result in found), reverse=True)


FLOAT32 = [case for case in CLEAR if case[0].get("T_max") != 10_000]  # of which float32 keeps too little


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("schedule", "steps"), FLOAT32, ids=names(FLOAT32))
def test_float32_logs_are_recognised(schedule: Json, steps: int) -> None:
    rates = logged(schedule, steps).astype(np.float32).astype(np.float64)

    found = fit(rates)

    assert found[0].schedule["type"] == schedule["type"]
    assert found[0].max_error < 1e-6
    assert_honest(found[:1], rates)


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("schedule", "steps"), FLOAT32, ids=names(FLOAT32))
def test_logs_with_four_digits_are_recognised(schedule: Json, steps: int) -> None:
    rates = np.array([float(f"{rate:.3e}") for rate in logged(schedule, steps)])

    found = fit(rates)

    assert found[0].schedule["type"] == schedule["type"]
    assert found[0].max_error < 5e-4


@pytest.mark.slow
@pytest.mark.sampled(10)
@pytest.mark.parametrize("schedule", [case[0] for case in CLEAR if case[1] == 50 and "LinearLR" not in case[0]["type"]])
def test_noisy_logs_get_near_specs_with_true_errors(schedule: Json) -> None:
    rates = logged(schedule, 50)
    rates *= 1 + 1e-3 * np.random.default_rng(7).standard_normal(50)

    found = fit(rates, limit=10)

    assert found[0].max_error < 6e-3
    assert not found[0].exact
    assert_honest(found, rates)


def test_numbers_come_back_as_they_were_typed() -> None:
    found = fit(np.cumprod(np.r_[0.1, np.full(60, 0.3)]))[0]  # each rate rounded on from the one before

    assert found.schedule == {"type": "ExponentialLR", "gamma": 0.3}
    assert found.base_lr == 0.1


def test_unlike_levels_are_listed_where_there_is_a_schedule_for_lists() -> None:
    levels = np.repeat([0.1, 0.03, 0.02, 0.001], [10, 13, 9, 20])

    found = fit(levels)[0]

    assert "PiecewiseConstantDecay" in SCHEDULES
    assert found.exact
    assert found.schedule["values"] == [0.1, 0.03, 0.02, 0.001]


def test_a_curve_is_given_once_and_in_its_simplest_form() -> None:
    found = fit(logged(spec("ExponentialLR", gamma=0.9), 40), limit=20)

    assert found[0].schedule["type"] == "ExponentialLR"
    assert not any(result.exact and result.schedule["type"] == "StepLR" for result in found)
    assert len({repr(result.schedule) + repr(result.base_lr) for result in found}) == len(found)


def test_no_more_than_the_limit_comes_back() -> None:
    rates = logged(spec("CosineAnnealingLR", T_max=50), 40)

    assert [len(fit(rates, limit=n)) for n in (1, 2)] == [1, 2]
    with pytest.raises(ValueError, match="limit must be at least 1"):
        fit(rates, limit=0)


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ([], "2 to 1000000 rates, not 0"),
        ([0.1], "2 to 1000000 rates, not 1"),
        (np.zeros(MAX_LENGTH + 1), "not 1000001"),
        ([0.1, float("nan")], r"lr\[1\] is nan, not a finite number"),
        ([float("inf"), 0.1], r"lr\[0\] is inf, not a finite number"),
        ([0.1, 0.05, -0.01], r"lr\[2\] is -0.01, negative"),
        ([[0.1, 0.2], [0.1, 0.2]], "one axis, not 2"),
        ([[0.1], [0.1, 0.2]], "list of numbers"),
        (["a", "b"], "list of numbers"),
    ],
)
def test_bad_series_are_refused(rates: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(rates)


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "schedule",
    [
        spec("StepLR", step_size=5, gamma=0.9999),
        spec("CosineAnnealingLR", T_max=90_001, eta_min=1e-5),
        cyclic(step_size_up=11_111, mode="exp_range", gamma=0.99998),
        one_cycle(100_000),
        warm(spec("PolynomialLR", total_iters=100_000, power=0.9), steps=5000),
    ],
    ids=lambda schedule: schedule["type"],
)
def test_long_logs_take_a_moment(schedule: Json) -> None:
    rates = logged(schedule, 100_000)
    begin = time.process_time()

    found = fit(rates)[0]

    assert time.process_time() - begin < 5  # half a second at most
    assert parse(found.schedule) == parse(schedule)


def test_noise_takes_a_moment() -> None:
    rates = np.random.default_rng(0).integers(0, 10, 200_000) / 10
    begin = time.process_time()

    found = fit(rates)

    assert time.process_time() - begin < 5  # half a second at most
    assert found[0].max_error < 0.51
