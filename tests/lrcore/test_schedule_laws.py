from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from hypothesis import Phase, assume, find, given, settings
from hypothesis import strategies as st

from lrcore.curve import CurveRequest, sample
from lrcore.family import describe
from lrcore.numerics.formulas import Node, Value
from lrcore.numerics.grid import Grid
from lrcore.schedules import SCHEDULES, Rates, Schedule
from lrcore.schedules._base import MAX_STEP
from tests.lrcore.strategies import (
    CALLS,
    Json,
    Limits,
    accepted,
    assert_same_bits,
    horizon,
    laws,
    momentum,
    parse,
    rates,
    schedules,
    specs,
    values,
)

FIELDS = [(name, field) for name, cls in SCHEDULES.items() for field in cls.model_fields if field != "type"]
ENDLESS = tuple(
    name
    for name, cls in CALLS.items()
    if parse(cls.example).length is None and name != "MultiplicativeLR"  # it multiplies step after step
)
RESTARTS = [(first, factor) for first in (1, 2, 3, 5, 7, 10) for factor in (2, 3, 4, 5, 10)]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", CALLS)
@laws(40)
@given(data=st.data())
def test_a_rate_depends_on_its_step_alone(name: str, data: st.DataObject) -> None:
    schedule = data.draw(schedules(CALLS[name]))
    t = horizon(schedule)
    assume(len(t) > 0)
    index = np.array(data.draw(st.lists(st.integers(0, len(t) - 1), min_size=1, max_size=20)))
    stride = data.draw(st.integers(1, 7))

    assert_same_bits(rates(schedule, t[index]), rates(schedule, t)[index])
    assert_same_bits(rates(schedule, t[::stride]), rates(schedule, t)[::stride].copy())
    assert_same_bits(rates(schedule, t[::-1]), rates(schedule, t)[::-1].copy())


@pytest.mark.parametrize("name", CALLS)
@laws(25)
@given(data=st.data())
def test_a_momentum_depends_on_its_step_alone(name: str, data: st.DataObject) -> None:
    schedule = data.draw(schedules(CALLS[name]))
    t = horizon(schedule)
    assume(len(t) > 0)
    index = np.array(data.draw(st.lists(st.integers(0, len(t) - 1), min_size=1, max_size=20)))

    whole = momentum(schedule, t)
    assert_same_bits(momentum(schedule, t[index]), None if whole is None else whole[index])


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", CALLS)
@laws(40)
@given(data=st.data())
def test_a_curve_survives_a_round_trip_through_json(name: str, data: st.DataObject) -> None:
    schedule = data.draw(schedules(CALLS[name]))
    t = horizon(schedule)

    again = parse(json.loads(schedule.model_dump_json()))

    assert again == schedule
    assert_same_bits(rates(again, t), rates(schedule, t))
    assert_same_bits(momentum(again, t), momentum(schedule, t))


@pytest.mark.parametrize("name", CALLS)
@laws(25)
@given(data=st.data())
def test_a_request_survives_a_round_trip_through_json(name: str, data: st.DataObject) -> None:
    spec = data.draw(specs(CALLS[name]))
    length = parse(spec).length
    assume(length is None or length > 0)
    request = CurveRequest.model_validate({"schedule": spec, "base_lr": 0.1, "steps": 1})

    assert CurveRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize("name", [name for name, cls in CALLS.items() if "last_epoch" in cls.model_fields])
@laws(40)
@given(data=st.data(), k=st.integers(0, 60))
def test_last_epoch_shifts_the_curve(name: str, data: st.DataObject, k: int) -> None:
    spec = {key: value for key, value in data.draw(specs(CALLS[name])).items() if key != "last_epoch"}
    plain, shifted = parse(spec), parse(spec | {"last_epoch": k})
    t = horizon(shifted)

    assert_same_bits(rates(shifted, t), rates(plain, t + k + 1))
    assert_same_bits(momentum(shifted, t), momentum(plain, t + k + 1))
    assert shifted.length == (None if plain.length is None else max(0, plain.length - k - 1))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", ENDLESS)
@laws(40)
@given(data=st.data())
def test_steps_as_far_as_they_go_have_finite_rates(name: str, data: st.DataObject) -> None:
    schedule = data.draw(schedules(CALLS[name], Limits(growth=False, parts=ENDLESS)))
    far = MAX_STEP - np.arange(50, dtype=np.int64)

    assert np.isfinite(rates(schedule, far)).all()
    assert np.isfinite(momentum_or_nothing(schedule, far)).all()


@pytest.mark.parametrize("name", CALLS)
def test_an_example_can_be_sampled_at_its_last_step(name: str) -> None:
    schedule = parse(CALLS[name].example)
    last = {"MultiplicativeLR": 10**6}.get(name, MAX_STEP if schedule.length is None else schedule.length - 1)
    request = CurveRequest.model_validate({"schedule": CALLS[name].example, "base_lr": 0.1, "start": last, "steps": 1})

    assert sample(request).lr.shape == (1, 1)


@pytest.mark.parametrize(("first", "factor"), RESTARTS)
def test_warm_restarts_fall_on_their_steps(first: int, factor: int) -> None:
    spec = {"type": "CosineAnnealingWarmRestarts", "T_0": first, "T_mult": factor}
    starts = np.array([start for start, _ in cycles(first, factor)])

    assert (rates(parse(spec), starts, 0.3) == 0.3).all()


@pytest.mark.parametrize(("first", "factor"), RESTARTS)
def test_the_step_before_a_warm_restart_still_belongs_to_the_old_cycle(first: int, factor: int) -> None:
    spec = {"type": "CosineAnnealingWarmRestarts", "T_0": first, "T_mult": factor}
    ends = np.array([start + length - 1 for start, length in cycles(first, factor) if length > 1])

    assert (rates(parse(spec), ends, 0.3) <= 0.15).all()


@pytest.mark.sampled(9)
@pytest.mark.parametrize(("name", "field"), FIELDS, ids=[f"{name}.{field}" for name, field in FIELDS])
def test_every_field_matters(name: str, field: str) -> None:
    cls = SCHEDULES[name]
    pairs = st.tuples(specs(cls), values(field, cls.model_fields[field]))
    search = settings(laws(1), max_examples=1000, phases=[Phase.generate])

    spec, value = find(pairs, lambda pair: changes(pair[0], {field: pair[1]}), settings=search)

    assert changes(spec, {field: value})


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_catalogue_entry_is_complete(name: str) -> None:
    entry = describe(SCHEDULES[name])

    assert set(entry) == {"type", "summary", "formula", "origin", "parameters", "example"}
    assert all(entry.values())


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_example_of_a_schedule_is_one(name: str) -> None:
    example = SCHEDULES[name].example

    assert type(parse(example)) is SCHEDULES[name]
    assert json.loads(json.dumps(example)) == example


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_parameters_of_a_schedule_are_json_schema_with_every_field(name: str) -> None:
    schema = SCHEDULES[name].model_json_schema()
    properties = (
        schema["properties"] if "properties" in schema else schema["$defs"][SCHEDULES[name].__name__]["properties"]
    )

    assert set(properties) == set(SCHEDULES[name].model_fields)
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.sampled(3)
@pytest.mark.parametrize("composite", ["SequentialLR", "ChainedScheduler"])
@pytest.mark.parametrize("name", CALLS)
@laws(20)
@given(data=st.data())
def test_a_composite_of_one_part_is_that_part(composite: str, name: str, data: st.DataObject) -> None:
    part = data.draw(specs(CALLS[name], Limits(depth=1)))
    milestones = {"milestones": []} if composite == "SequentialLR" else {}
    whole, alone = parse({"type": composite, "schedulers": [part]} | milestones), parse(part)
    t = horizon(alone, 50)

    assert whole.length == alone.length
    assert_same_bits(rates(whole, t), rates(alone, t))
    assert_same_bits(momentum(whole, t), momentum(alone, t))


EXPONENTIAL = {"type": "ExponentialLR", "gamma": 0.5}
LINEAR = {"type": "LinearLR", "start_factor": 0.25, "total_iters": 3}
STEP = {"type": "StepLR", "step_size": 2, "gamma": 0.1}
WARM_UP_THEN_DECAY = {"type": "SequentialLR", "schedulers": [LINEAR, EXPONENTIAL], "milestones": [3]}
ONE_CYCLE = {"type": "OneCycleLR", "max_lr": 1.0, "total_steps": 10}
WARM_UP = [0.25, 0.5, 0.75]  # of the base rate 1, on which the curves below stand


def test_a_sequence_may_begin_with_a_sequence() -> None:
    spec = {"type": "SequentialLR", "schedulers": [WARM_UP_THEN_DECAY, STEP], "milestones": [6]}

    assert curve(spec, 10) == pytest.approx([*WARM_UP, 1, 0.5, 0.25, 1, 1, 0.1, 0.1], rel=1e-15)


def test_a_sequence_may_end_with_a_sequence() -> None:
    spec = {"type": "SequentialLR", "schedulers": [STEP, WARM_UP_THEN_DECAY], "milestones": [4]}

    assert curve(spec, 10) == pytest.approx([1, 1, 0.1, 0.1, *WARM_UP, 1, 0.5, 0.25], rel=1e-15)


def test_a_chain_may_be_the_later_part_of_a_sequence() -> None:
    chain = {"type": "ChainedScheduler", "schedulers": [LINEAR, EXPONENTIAL]}
    spec = {"type": "SequentialLR", "schedulers": [STEP, chain], "milestones": [3]}

    assert curve(spec, 8) == pytest.approx([1, 1, 0.1, 0.25, 0.5 / 2, 0.75 / 4, 1 / 8, 1 / 16], rel=1e-15)


def test_a_sequence_may_be_the_later_part_of_a_chain() -> None:
    spec = {"type": "ChainedScheduler", "schedulers": [STEP, WARM_UP_THEN_DECAY]}

    assert curve(spec, 6) == pytest.approx([0.25, 0.5, 0.075, 0.1, 0.005, 0.0025], rel=1e-15)


def test_a_chain_is_the_product_of_its_parts_past_the_end_of_a_cosine() -> None:
    cosine = {"type": "CosineAnnealingLR", "T_max": 4, "eta_min": 0.1}
    spec = {"type": "ChainedScheduler", "schedulers": [EXPONENTIAL, cosine]}
    expected = [0.5**t * (0.1 + 0.9 * (1 + math.cos(math.pi * t / 4)) / 2) for t in range(12)]

    assert curve(spec, 12) == pytest.approx(expected, rel=1e-14)


def test_a_one_cycle_in_a_sequence_leaves_the_other_parts_their_base_rate() -> None:
    spec = {"type": "SequentialLR", "schedulers": [STEP, ONE_CYCLE], "milestones": [4]}

    assert curve(spec, 4) == pytest.approx([1, 1, 0.1, 0.1], rel=1e-15)


def test_a_one_cycle_in_a_sequence_starts_and_peaks_and_ends_by_its_own_count() -> None:
    spec = {"type": "SequentialLR", "schedulers": [STEP, ONE_CYCLE], "milestones": [4]}

    assert [curve(spec, 14)[t] for t in (4, 6, 13)] == pytest.approx([1 / 25, 1.0, 1 / 25 / 1e4], rel=1e-12)


def test_a_sequence_ends_where_its_last_part_does() -> None:
    assert parse({"type": "SequentialLR", "schedulers": [STEP, ONE_CYCLE], "milestones": [4]}).length == 14


def test_a_chain_ends_with_its_shortest_part() -> None:
    assert parse({"type": "ChainedScheduler", "schedulers": [STEP, ONE_CYCLE]}).length == 10


def test_momentum_is_left_to_the_optimizer_outside_of_the_cycling_part() -> None:
    cyclic = {"type": "CyclicLR", "base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2}
    schedule = parse({"type": "SequentialLR", "schedulers": [STEP, cyclic, LINEAR], "milestones": [2, 6]})
    nan = math.nan

    assert_momentum(schedule, [nan, nan, 0.9, 0.85, 0.8, 0.85, nan, nan])


def test_momentum_of_a_chain_is_that_of_its_cycling_part() -> None:
    cyclic = {"type": "CyclicLR", "base_lr": 0.1, "max_lr": 1.0, "step_size_up": 2}

    assert_momentum(parse({"type": "ChainedScheduler", "schedulers": [STEP, cyclic]}), [0.9, 0.85, 0.8, 0.85, 0.9])


def test_a_sequence_goes_on_from_last_epoch_in_the_part_whose_turn_it_is() -> None:
    spec = WARM_UP_THEN_DECAY | {"last_epoch": 1}

    assert curve(spec, 4) == pytest.approx([0.75, 1, 0.5, 0.25], rel=1e-15)


def test_a_multiplicative_part_starts_again_from_the_base_rate() -> None:
    multiplicative = {"type": "MultiplicativeLR", "lr_lambda": "1 / (epoch + 1)"}
    spec = {"type": "SequentialLR", "schedulers": [STEP, multiplicative], "milestones": [3]}

    assert curve(spec, 6) == pytest.approx([1, 1, 0.1, 1, 1 / 2, 1 / 6], rel=1e-15)


def test_cycles_that_outgrow_every_number_last_for_ever() -> None:
    cosine = {"type": "CosineAnnealingLR", "T_max": 4}
    spec = {"type": "Repeat", "cycle_steps": 4, "growth": 1000.0, "cycles": 10**6, "schedule": cosine}

    assert curve(spec, 4) == pytest.approx([0.5 * (1 + math.cos(math.pi * t / 4)) for t in range(4)], rel=1e-14)
    assert parse(spec).horizon == 10**18


def test_a_repeated_schedule_grows_and_decays_and_holds() -> None:
    line = {"type": "LinearLR", "start_factor": 0.5, "total_iters": 2}
    spec = {"type": "Repeat", "cycle_steps": 2, "growth": 2.0, "decay": 0.5, "cycles": 2, "schedule": line}

    assert curve(spec, 8) == [0.5, 0.75, 0.25, 0.375, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("shift", [0.0, 0.5, 1.0, 0.5, 0.25]),
        ("overlay", [0.0, 0.125, 0.25, 0.125, 0.0625]),
        ("overlay_to_base", [0.0, 0.5, 0.25, 0.125, 0.0625]),
        ("multiply", [0.0, 0.25, 0.25, 0.125, 0.0625]),
    ],
)
def test_a_warm_up_comes_before_over_or_on_its_schedule(mode: str, expected: list[float]) -> None:
    spec = {"type": "WarmUp", "warmup_steps": 2, "mode": mode, "schedule": EXPONENTIAL}

    assert curve(spec, 5) == expected


@pytest.mark.parametrize("shape", ["linear", "constant", "cosine", "exponential", "power", "log"])
def test_a_warm_up_starts_at_its_factor_and_ends_at_its_schedule(shape: str) -> None:
    spec = {"type": "WarmUp", "warmup_steps": 10, "shape": shape, "start": 0.25, "schedule": {"type": "Constant"}}

    rates_ = curve(spec, 12)
    assert rates_[0] == 0.25
    assert rates_[10:] == [1.0, 1.0]
    assert rates_ == sorted(rates_)
    assert all(0.25 <= rate <= 1 for rate in rates_)


def test_a_clamp_cuts_and_a_scale_multiplies_and_a_shift_moves() -> None:
    clamp = {"type": "Clamp", "min": 0.2, "max": 0.6, "schedule": EXPONENTIAL}

    assert curve(clamp, 4) == [0.6, 0.5, 0.25, 0.2]
    assert curve({"type": "Scale", "factor": 2.0, "schedule": clamp}, 4) == [1.2, 1.0, 0.5, 0.4]
    assert curve({"type": "Shift", "by": 1, "schedule": clamp}, 3) == [0.5, 0.25, 0.2]
    assert curve({"type": "Shift", "by": -2, "schedule": clamp}, 4) == [0.6, 0.6, 0.6, 0.5]


def test_the_square_root_scheduler_falls_with_the_root_of_the_step() -> None:
    assert curve({"type": "SquareRootScheduler", "lr": 0.1}, 50) == pytest.approx(
        [0.1 * pow(t + 1.0, -0.5) for t in range(50)], rel=1e-14
    )


def test_the_factor_scheduler_has_decayed_once_at_the_first_step() -> None:
    spec = {"type": "FactorScheduler", "factor": 0.8, "stop_factor_lr": 1e-2, "base_lr": 0.6}

    assert curve(spec, 1) == [pytest.approx(0.48, rel=1e-15)]


@laws(100)
@given(factor=st.floats(0.3, 1.0), stop=st.floats(1e-7, 0.5), base_lr=st.floats(1e-3, 1.0))
def test_the_factor_scheduler_decays_at_every_call_down_to_its_floor(
    factor: float, stop: float, base_lr: float
) -> None:
    expected, lr = [], base_lr
    for _ in range(60):
        lr = max(stop, lr * factor)
        expected.append(lr)

    spec = {"type": "FactorScheduler", "factor": factor, "stop_factor_lr": stop, "base_lr": base_lr}
    assert curve(spec, 60) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("warmup_steps", [0, 3])
def test_the_cosine_scheduler_warms_up_falls_and_holds(warmup_steps: int) -> None:
    expected = []
    for t in range(25):
        if t < warmup_steps:
            expected.append(0.2 * t / warmup_steps)
        elif t <= 10:
            turn = math.cos(math.pi * (t - warmup_steps) / (10 - warmup_steps))
            expected.append(0.02 + (0.2 - 0.02) * (1 + turn) / 2)
        else:
            expected.append(expected[-1])

    spec = {"type": "CosineScheduler", "max_update": 10, "base_lr": 0.2, "final_lr": 0.02, "warmup_steps": warmup_steps}
    assert curve(spec, 25) == pytest.approx(expected, rel=1e-13)


def test_the_cosine_scheduler_warms_up_from_its_first_rate() -> None:
    spec = {"type": "CosineScheduler", "max_update": 20, "base_lr": 0.3, "warmup_steps": 4, "warmup_begin_lr": 0.1}

    assert curve(spec, 5) == pytest.approx([0.1, 0.15, 0.2, 0.25, 0.3], rel=1e-14)


def curve(spec: Json, n: int, base_lr: float = 1.0) -> list[float]:
    return rates(parse(spec), np.arange(n), base_lr).tolist()


def momentum_or_nothing(schedule: Schedule, t: Rates) -> Rates:
    """Momentum where the schedule says something of it."""
    given = momentum(schedule, t)
    return np.zeros(0) if given is None else given[~np.isnan(given)]


def cycles(first: int, factor: int) -> Iterator[tuple[int, int]]:
    """Start and length of every cycle whose start is a step."""
    start, length = 0, first
    while start + length - 1 <= MAX_STEP:
        yield start, length
        start, length = start + length, length * factor


def changes(spec: Json, change: Json) -> bool:
    """Whether the curve, the momentum or the length is another one."""
    return accepted(spec | change) and seen(parse(spec)) != seen(parse(spec | change))


def seen(schedule: Schedule) -> tuple[int | None, bytes, bytes]:
    t = horizon(schedule, 120)
    cycled = None if schedule.metric_driven else momentum(schedule, t)
    return schedule.length, rates(schedule, t).tobytes(), b"" if cycled is None else cycled.tobytes()


def assert_momentum(schedule: Schedule, expected: list[float]) -> None:
    actual = momentum(schedule, np.arange(len(expected)))

    assert actual is not None
    np.testing.assert_allclose(actual, expected, rtol=1e-14, equal_nan=True)


class Slopes(Schedule):
    """A plug-in's schedule that is a formula and nothing else, with a field that has no hash."""

    type: Literal["Slopes"]
    slopes: dict[str, float]

    def formula_at(self, t: Node, base_lr: float) -> Value:
        return base_lr + sum(self.slopes.values()) * t


def test_a_schedule_may_be_its_formula_alone_whatever_its_fields_are() -> None:
    schedule = Slopes(type="Slopes", slopes={"a": 0.5, "b": 1.0})

    for base_lr in (0.25, 2.0):
        assert schedule.rates(Grid(2, 3, 3), base_lr).tolist() == [base_lr + 1.5 * t for t in (2, 5, 8)]
