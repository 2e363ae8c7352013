"""What a curve is said to cost before it is computed, against what it takes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import lrcore.numerics.cost
from lrcore import lint
from lrcore.compare import CompareRequest
from lrcore.curve import CurveRequest, sample
from lrcore.dialects import FRAMEWORKS, translate
from lrcore.dialects._base import MAX_CODE
from lrcore.dialects._foreign import MAX_TEXT
from lrcore.errors import CurveError
from lrcore.expressions.expression import Expression
from lrcore.numerics.cost import SECOND, Load
from lrcore.schedules import SCHEDULES
from lrcore.schedules import _shapes as shapes
from tests.lrcore.costs import Json, accepted, drawn, measured, slowness
from tests.lrcore.strategies import CALLS, laws, parse, specs

MOST = 3.0  # times the estimate
SLACK = 0.001  # seconds
MEASURED = 0.1  # seconds, the largest estimate of what a test computes

EXPONENTIAL = {"type": "ExponentialLR", "gamma": 0.99}
COSINE = {"type": "CosineAnnealingLR", "T_max": 1000}
STRIDE = 123_456_789
CYCLES = {"type": "CosineLRScheduler", "cycle_mul": 0.999, "cycle_limit": 10_000}
KNOTS = {
    "type": "piecewise_interpolate_schedule",
    "init_value": 0.1,
    "interpolate_type": "cosine",
    "boundaries_and_scales": {str(3 * i): 1.0 for i in range(1, 3001)},
}


def repeated(schedule: Json, times: int = 1, **fields: Any) -> Json:
    for _ in range(times):
        schedule = {"type": "Repeat", "cycle_steps": 1, "growth": 1.001, "schedule": schedule} | fields
    return schedule


def warmed(schedule: Json, times: int) -> Json:
    for _ in range(times):
        schedule = {"type": "WarmUp", "warmup_steps": 10**6, "mode": "overlay", "schedule": schedule}
    return schedule


def chained(*parts: Json) -> Json:
    return {"type": "ChainedScheduler", "schedulers": list(parts)}


def expression(text: str, steps: int = 20_000, **fields: Any) -> Json:
    return {"schedule": {"type": "LambdaLR", "lr_lambda": text}, "steps": steps, "start": 1} | fields


WORST: dict[str, Json] = {
    "cycles of cycles, far apart": {"schedule": repeated(EXPONENTIAL, 2), "steps": 300, "stride": 10**11},
    "seven times": {"schedule": repeated(EXPONENTIAL, 7), "steps": 200, "stride": 10**11},
    "growing cycles, each step": {"schedule": repeated(EXPONENTIAL), "steps": 5000},
    "a stride that fits no period": {
        "schedule": repeated(repeated(COSINE, growth=1, cycle_steps=1_000_003), growth=1, cycle_steps=10**8 + 7),
        "steps": 10_000,
        "stride": STRIDE,
    },
    "ten thousand cycles that shrink": {"schedule": CYCLES | {"t_initial": 10**15}, "steps": 1},
    "a chain of such": {"schedule": chained(*(CYCLES | {"t_initial": 10**6 + i} for i in range(20)))},
    "a repeated list of knots": {
        "schedule": repeated(KNOTS, growth=1, cycle_steps=9001), "steps": 200, "stride": 9000 - 7,
    },
    "ramps on ramps": {"schedule": warmed(EXPONENTIAL, 7), "steps": 20_000, "start": 990_000},
    "ramps to a far product": {
        "schedule": warmed({"type": "MultiplicativeLR", "lr_lambda": "1 - 1 / (step + 3)"}, 2), "steps": 10,
    },
    "nearly a thousand parts": {"schedule": chained(*[chained(*[EXPONENTIAL] * 31)] * 32), "steps": 100},
    "subnormal rates": {"schedule": {"type": "ExponentialLR", "gamma": 0.9999999}, "base_lr": 1e-307, "steps": 300_000},
    "a subnormal factor, scattered": {
        "schedule": {"type": "ExponentialLR", "gamma": 1e-310}, "steps": 20_000, "stride": 7,
    },
    "subnormal cosines": {"schedule": COSINE | {"T_max": 10**6}, "base_lr": 1e-310, "steps": 300_000},
    "a subnormal ramp": {
        "schedule": warmed(COSINE, 1) | {"shape": "exponential", "start": 5e-324, "mode": "shift"}, "steps": 20_000,
    },
    "restarts far apart": {
        "schedule": {"type": "CosineDecayRestarts", "initial_learning_rate": 0.1, "first_decay_steps": 4097,
                     "t_mul": 1.01}, "steps": 100, "stride": 10**9 + 7,
    },
    "a long fractal": {"schedule": {"type": "Chebyshev", "log2_steps": 20}, "steps": 20_000},
    "a tiny divisor": expression("+".join(["step%1e-300"] * 10), 3000),
    "a subnormal divisor": expression("+".join(["step//5e-324"] * 5), 3000),
    "a subnormal dividend": expression("1 + step * 5e-324 % 0.999999"),
    "a subnormal remainder": expression("1 + (step * 1e-300 % 3e-301) * 1e-10 // 7"),
    "a dividend that grows": expression("1 + exp(step % 700) % 3"),
    "subnormal powers": expression("*".join(["(1e-310) ** (1 / (step + 1))"] * 8)),
    "powers of subnormal results": expression("0.5 ** (1023 + step / 1e6) + 0.25 ** (512 + step / 1e6)"),
    "exp of subnormal results": expression("exp(-730 - step * 1e-9) + exp(-740 + step * 1e-9)"),
    "sines of huge numbers": expression("4 + sin(step * 1e290) + cos(step * 1e280)"),
    "subnormal arithmetic": expression("step * 5e-324 * 3 / 2 / 2 * 3"),
    "decimals": expression("+".join(["round(step/3,15)"] * 4), 3000),
    "decimals of large numbers": expression("+".join(["round(step*1e11/3,5)+round(1e300+step,3)"] * 4), 3000),
    "tangents of huge numbers": expression("1 + 0 * (" + "+".join(["tan(step * 1e290)"] * 8) + ")"),
    "hyperbolic functions": expression("1 + 0 * (" + "+".join(["tanh(sinh(step / 30)) + cosh(step / 28)"] * 5) + ")"),
    "logarithms of subnormal numbers": expression("4000 + " + "+".join(["log10(step*1e-320)+log2(step*1e-320)"] * 4)),
    "and, or, not, in": expression("1 + (" + " or ".join(["step in [7,8,9] and not step % 5"] * 9) + ")"),
    "every cut of a plateau": {
        "schedule": {"type": "ReduceLROnPlateau", "patience": 0, "factor": 0.9999999, "eps": 0.0},
        "metrics": [1.0] * 30_000, "steps": 30_001,
    },
    "a metric that always improves": {
        "schedule": {"type": "ReduceLROnPlateau"}, "metrics": list(range(100_000, 0, -1)), "steps": 100_001,
    },
    "every change of a greedy rate": {
        "schedule": {"type": "greedy", "patience": 0, "factor": 0.9999999, "eps": 0.0, "max_lr": 1e300},
        "metrics": list(range(100_000, 0, -1)), "steps": 100_001,
    },
    "a wide window of a greedy rate": {
        "schedule": {"type": "greedy", "smooth": True, "window_size": 10_000},
        "metrics": [1.0] * 100_000, "steps": 100_001,
    },
    "the last steps": {"schedule": repeated(chained(EXPONENTIAL, COSINE), 3), "start": 10**15 - 100, "steps": 100},
}  # fmt: skip


@pytest.fixture(scope="module")
def slow() -> float:
    """How many times as long this machine takes as the one that the figures are from."""
    return slowness()


def holds(fields: Json, slow: float) -> None:
    request = CurveRequest.model_validate({"base_lr": 0.1, "steps": 20} | fields)
    for repeats in (1, 5, 20):  # the least of several: what interrupts a process only adds to its time
        found = measured(request, slow, repeats)
        if found.seconds <= MOST * found.limit + SLACK:
            return
    raise AssertionError(f"{found.seconds:.4f} s, said to be {found.limit:.4f} s: {json.dumps(fields)[:500]}")


@pytest.mark.parametrize("case", WORST)
def test_the_worst_of_each_family_takes_no_longer_than_it_is_said_to(case: str, slow: float) -> None:
    holds(WORST[case], slow)


@pytest.mark.parametrize("name", CALLS)
@laws(15)
@given(
    data=st.data(), start=st.integers(0, 10**15), stride=st.integers(1, 10**11), count=st.sampled_from((1, 50, 3000))
)
def test_no_drawn_schedule_takes_longer_than_it_is_said_to(
    name: str, slow: float, data: st.DataObject, start: int, stride: int, count: int
) -> None:
    spec = data.draw(specs(SCHEDULES[name]))
    base = None if parse(spec).groups else 0.1
    for first, apart in ((0, 1), (start % 10_000, stride % 1000 + 1), (start, stride)):
        fields = {"schedule": spec, "base_lr": base, "start": first, "stride": apart, "steps": count}
        request = accepted(fields)
        if request is not None and request.cost < MEASURED * SECOND:
            holds(fields, slow)


@pytest.mark.parametrize("name", SCHEDULES)
def test_no_schedule_of_extremes_takes_longer_than_it_is_said_to(
    name: str, slow: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lrcore.numerics.cost, "MOST", MEASURED * SECOND)
    random = Random(name)
    requests = [fields for _ in range(15) if (fields := drawn(random, name)) is not None]

    assert requests
    for fields in requests:
        holds(fields, slow)


def test_a_common_curve_is_answered_at_once() -> None:
    for schedule in (EXPONENTIAL, COSINE, {"type": "StepLR", "step_size": 30}, warmed(COSINE, 1)):
        request = CurveRequest.model_validate({"schedule": schedule, "base_lr": 0.1, "steps": 10_000})

        assert request.cost + lint.cost(request) < lrcore.numerics.cost.AT_ONCE


def test_a_long_curve_of_a_few_parts_is_answered() -> None:
    request = CurveRequest.model_validate({"schedule": chained(EXPONENTIAL, COSINE), "base_lr": 0.1, "steps": 10**7})

    assert request.cost < lrcore.numerics.cost.MOST


def test_curves_are_compared_at_the_cost_of_all() -> None:
    curve = {"schedule": {"type": "LambdaLR", "lr_lambda": "step % 1e-300"}, "base_lr": 0.1}
    few, many = ([curve | {"name": str(i)} for i in range(count)] for count in (2, 60))

    CompareRequest.model_validate({"steps": 100_000, "curves": few})
    with pytest.raises(ValidationError, match="fewer steps, or for fewer curves at once"):
        CompareRequest.model_validate({"steps": 100_000, "curves": many})


@pytest.mark.parametrize("seed", range(200))
def test_a_cycle_is_found_as_if_all_were_counted(seed: int) -> None:
    random = Random(seed)
    first, factor = random.choice((1, 2, 3, 50, 10**6)), random.choice((1.001, 1.01, 1.5, 2.0, 3.7, 1000.0))
    step = random.choice((0, 1, random.randrange(10**4), random.randrange(10**15)))

    def begin(cycle: int) -> int:
        return round(shapes.cycle_start(first, factor, cycle))

    counted = 0
    while begin(counted + 1) <= step:
        counted += 1
    near = random.choice((0, counted, max(0, counted - 1), 5))
    assert shapes.growing(begin, first, factor)(step, near) == (counted, begin(counted + 1))


def test_a_height_that_overflows_is_no_rate() -> None:
    spec = repeated({"type": "Constant"}, decay=2.0)

    with pytest.raises(CurveError, match="not a finite number"):
        sample(CurveRequest.model_validate({"schedule": spec, "base_lr": 0.1, "steps": 1, "start": 10**9}))


@pytest.mark.parametrize(
    ("text", "most"),
    [("step % 7", 100), ("(step + 3) % 2 ** 10", 120), ("1 if step % 7 < 3 else 0.5", 150), ("0.5", 10)],
)
def test_a_common_remainder_is_cheap(text: str, most: float) -> None:
    assert Expression(text).cost(10**6) / 10**6 < most


def test_a_load_is_split_without_loss() -> None:
    load = Load(0, 999, 100, dense=False)
    parts = [load.part(0, 10), load.part(10, 500), load.part(500)]

    assert sum(part.values for part in parts) >= load.values
    assert [(part.first, part.last) for part in parts] == [(0, 9), (10, 499), (500, 999)]
    assert load.part(2000).values == 0
    assert Load(0, 9, 10).part(3, 5).values == 2


def takes(do: Callable[[], object], at_most: float) -> bool:
    """Whether something takes so many seconds of the processor, or less: once, or at best of three times."""

    def once() -> float:
        began = time.process_time()
        do()
        return time.process_time() - began

    return any(once() < at_most for _ in range(3))


LONGEST = "+".join(["min(" + ",".join(["step"] * 16) + ")"] * 10)  # nearly as many parts as an expression may have

BODIES: dict[str, tuple[Json, str | None]] = {
    "expressions": (
        {"schedule": {"type": "LambdaLR", "lr_lambda": [f"{LONGEST}+{i}" for i in range(64)]}, "base_lr": [1.0] * 64},
        None,
    ),
    "more expressions": (
        {"schedule": chained(*[{"type": "LambdaLR", "lr_lambda": ["step+" * 100 + "1"] * 64}] * 4)},
        f"more than {MAX_TEXT} characters of text",
    ),
    "parts": ({"schedule": chained(*[chained(*[chained(*[{"type": "Constant"}] * 31)] * 32)] * 32)}, "2000 parts"),
    "fields": ({"schedule": {"type": "Constant"} | {f"k{i}": 1 for i in range(100_000)}}, "more than 100 fields"),
    "milestones": (
        {"schedule": chained(*[{"type": "MultiStepLR", "milestones": list(range(10_000))}] * 31)},
        None,
    ),
    "another framework's lists": ({"schedule": {"type": "optax.x", "a": [[1] * 1000] * 1000}}, "no schedule 'x'"),
}  # fmt: skip


@pytest.mark.sampled(2)
@pytest.mark.parametrize("case", BODIES)
def test_reading_a_body_takes_little_time(case: str, slow: float) -> None:
    fields, words = BODIES[case]
    body = json.dumps({"base_lr": 0.1, "steps": 20} | fields)

    def read() -> str:
        try:
            CurveRequest.model_validate_json(body)
        except ValidationError as error:
            return str(error.errors(include_input=False)[0]["msg"])
        return ""

    assert (words or "") in read()
    assert bool(read()) == (words is not None)
    assert takes(read, 1.0 * slow)


@pytest.mark.parametrize(
    "schedule",
    [
        {
            "type": "SequentialLR",
            "schedulers": [chained(*[chained(*[EXPONENTIAL] * 31)] * 15)] * 2,
            "milestones": [50],
        },
        {
            "type": "SequentialLR",
            "schedulers": [EXPONENTIAL, *[{"type": "MultiplicativeLR", "lr_lambda": "1 - 1 / (step + 3)"}] * 30],
            "milestones": [100_000 * i for i in range(1, 31)],
        },
    ],
)
def test_warnings_take_no_longer_than_they_are_said_to(schedule: Json, slow: float) -> None:
    fields = {"schedule": schedule, "base_lr": 0.1, "steps": 20, "total_steps": 10**7}
    request = CurveRequest.model_validate(fields)
    curve = sample(request)

    assert takes(lambda: lint.warnings(request, curve), (MOST * lint.cost(request) / SECOND + 0.01) * slow)
    assert lint.cost(request) < 4 * lint.MOST


LONG_CODE = {
    "cycles of 1.001": chained(*[repeated(EXPONENTIAL)] * 10),
    "many cycles of 1.001": chained(*[chained(*[repeated(EXPONENTIAL)] * 15)] * 32),
    "cycles in cycles": repeated(EXPONENTIAL, 7),
    "fractals": chained(*[{"type": "Chebyshev", "log2_steps": 10}] * 32),
    "milestones": chained(*[{"type": "MultiStepLR", "milestones": list(range(10_000))}] * 32),
    "tangents": chained(*[{"type": "TanhLRScheduler", "t_initial": 1, "cycle_mul": 1.001, "cycle_limit": 10**9}] * 32),
    "parts": chained(*[chained(*[{"type": "WSD", "warmup_steps": 1, "stable_steps": 3, "decay_steps": 5}] * 31)] * 32),
    "expressions": {"type": "LambdaLR", "lr_lambda": [LONGEST] * 64},
}


@pytest.mark.sampled(12)
@pytest.mark.parametrize("case", LONG_CODE)
@pytest.mark.parametrize("to", FRAMEWORKS)
def test_code_that_would_be_too_long_is_refused_soon(case: str, to: Any, slow: float) -> None:
    schedule = parse(LONG_CODE[case])

    def refused() -> None:
        with pytest.raises(CurveError, match=f"no translation to {to}") as refusal:
            translate(schedule, 0.1, to)
        assert refusal.value.field[0] == "schedule"

    assert takes(refused, 2.0 * slow)


def test_one_schedule_with_many_cycles_is_translated() -> None:
    for to in set(FRAMEWORKS) - {"deepspeed"}:  # whose configuration has no cycles
        assert 10**5 < len(translate(parse(repeated(EXPONENTIAL)), 0.1, to).code) < MAX_CODE
