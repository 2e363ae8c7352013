"""Generated code, run by the frameworks that it is for."""

from __future__ import annotations

import ast
import os
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, reject
from hypothesis import strategies as st

from lrcore.dialects import FRAMEWORKS, Framework, translate
from lrcore.dialects._base import Translation
from lrcore.errors import CurveError
from lrcore.family import home_of
from lrcore.schedules import SCHEDULES, Rates, Schedule
from tests.lrcore.strategies import CALLS, Json, horizon, laws, parse, rates, specs
from tests.lrcore.test_frameworks import timm_schedulers

os.environ.setdefault("KERAS_BACKEND", "jax")

BASE_LR = 0.3
STEPS = 201
RUN = tuple(name for name in FRAMEWORKS if name not in ("deepspeed", "mmengine", "composer"))  # see test_trainers.py
TOLERANCE = {"lightning": 1e-9, "torch": 1e-9, "transformers": 1e-9, "timm": 1e-9, "optax": 1e-6, "keras": 1e-6}
REFUSALS = (
    "factors that change from step to step",  # MultiplicativeLR
    "must be less than the initial rate",  # transformers' polynomial
    "it must not be 0",  # ChainedScheduler
    "with a base rate of 0 every part must stay at 0",
    "has no rate at step 0",
    "noise is no formula of the step",
)


def names(code: str, framework: str) -> dict[str, Any]:
    """What the code defines."""
    if framework == "timm":
        timm_schedulers()
    namespace: dict[str, Any] = {}
    exec(compile(code, "<generated>", "exec"), namespace)
    return namespace


def drawn_by_framework(code: str, framework: str, n: int, base_lr: float) -> Rates:
    """The first n rates of generated code."""
    if framework in ("optax", "keras"):
        import jax

        schedule = names(code, framework)["schedule"]
        values = jax.jit(jax.vmap(schedule))(jax.numpy.arange(STEPS))  # compiled, as in a train step
        assert np.asarray(values).dtype in (np.float32, np.int32)
        return np.broadcast_to(np.asarray(values, dtype=np.float64), STEPS)[:n]
    return stepped(code, framework, n, base_lr)


def stepped(code: str, framework: str, n: int, base_lr: float) -> Rates:
    """The first n rates of a generated scheduler of torch."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=base_lr, momentum=0.9)
    if framework == "lightning":
        configured = names(code, framework)["configure_optimizers"](torch.nn.Linear(1, 1))
        optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    else:
        scheduler = names(code, framework)["make_scheduler"](optimizer)
    found = []
    for t in range(n):
        found.append(optimizer.param_groups[0]["lr"])
        if t < n - 1:
            scheduler.step(t + 1) if "timm" in type(scheduler).__module__ else scheduler.step()
    return np.array(found, dtype=np.float64)


def ours(schedule: Schedule, base_lr: float) -> Rates:
    """lrserve's rates, up to the first step at which there is none."""
    found = rates(schedule, horizon(schedule, STEPS), base_lr)
    bad = np.flatnonzero(~(found >= 0) | np.isinf(found))
    return found[: bad[0]] if len(bad) else found


def initial(schedule: Schedule) -> float:
    own = schedule.own_base_lr
    assert not isinstance(own, tuple)
    return BASE_LR if own is None else own


WRITTEN = [(name, to) for name in CALLS for to in RUN if name != "Noise" or to == "timm"]


@pytest.mark.sampled(8)
@pytest.mark.parametrize(("name", "framework"), WRITTEN)
@laws(4)
@given(data=st.data())
def test_what_is_called_exact_is_what_the_framework_computes(
    name: str, framework: Framework, data: st.DataObject
) -> None:
    schedule = parse(data.draw(specs(CALLS[name])))
    base_lr = initial(schedule)
    translation = translated(schedule, framework)
    expected = ours(schedule, base_lr)

    compile(translation.code, "<generated>", "exec")
    assert translation.exact or translation.notes
    if translation.exact:
        found = drawn_by_framework(translation.code, framework, len(expected), base_lr)
        off = np.abs(found - expected) > TOLERANCE[framework] * max(expected.max(), 1e-30)
        assert not off.any(), (schedule, np.flatnonzero(off), translation.code)


def translated(schedule: Schedule, framework: Framework) -> Translation:
    """The translation. What is refused is drawn again."""
    try:
        return translate(schedule, None if schedule.own_base_lr is not None else BASE_LR, framework)
    except CurveError as error:
        if not expected_refusal(error):
            raise
        reject()


def expected_refusal(error: CurveError) -> bool:
    return any(reason in str(error) for reason in REFUSALS)


PLATEAU = SCHEDULES["ReduceLROnPlateau"].example
GREEDY = {"type": "greedy", "min_lr": [0.01, 0.001]}
WARM_COSINE = SCHEDULES["SequentialLR"].example
STEP = {"type": "StepLR", "step_size": 5, "gamma": 0.5}
MILESTONES = {"type": "MultiStepLR", "milestones": [3, 8], "gamma": 0.5}
COSINE = {"type": "CosineAnnealingLR", "T_max": 50}
NOISE = SCHEDULES["Noise"].example
CALLED: list[tuple[Framework, Json, str]] = [
    ("torch", STEP, "torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)"),
    ("torch", {"type": "SWALR", "swa_lr": 0.05}, "torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.05)"),
    ("torch", WARM_COSINE, "torch.optim.lr_scheduler.SequentialLR("),
    ("torch", {"type": "LambdaLR", "lr_lambda": "1/(1+epoch)"}, "lr_lambda=lambda epoch: 1.0 / (1.0 + epoch))"),
    ("torch", {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 20}, "OneCycleLR(optimizer, max_lr=0.1, total_"),
    ("torch", PLATEAU, 'ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=5)'),
    ("optax", STEP, "optax.exponential_decay(init_value=0.3, transition_steps=5, decay_rate=0.5, staircase=True)"),
    ("optax", MILESTONES, "optax.piecewise_constant_schedule(init_value=0.3, boundaries_and_scales={3: 0.5, 8: 0.5})"),
    ("optax", {"type": "ExponentialLR", "gamma": 0.9}, "optax.exponential_decay("),
    ("optax", {"type": "LinearLR"}, "optax.linear_schedule("),
    ("optax", {"type": "PolynomialLR", "power": 2.0}, "optax.polynomial_schedule("),
    ("optax", COSINE, "optax.cosine_decay_schedule(init_value=0.3, decay_steps=50)"),
    ("optax", WARM_COSINE, "optax.warmup_cosine_decay_schedule("),
    ("optax", {"type": "linear", "num_warmup_steps": 5, "num_training_steps": 20}, "optax.join_schedules("),
    ("optax", {"type": "Constant"}, "optax.constant_schedule(0.3)"),
    ("keras", STEP, "keras.optimizers.schedules.ExponentialDecay("),
    ("keras", MILESTONES, "PiecewiseConstantDecay(boundaries=[2, 7], values=[0.3, 0.15, 0.075])"),
    ("keras", COSINE, "keras.optimizers.schedules.CosineDecay(initial_learning_rate=0.3, decay_steps=50)"),
    ("keras", WARM_COSINE, "warmup_target=0.3"),
    ("keras", {"type": "LinearLR"}, "keras.optimizers.schedules.PolynomialDecay("),
    ("transformers", {"type": "Constant"}, 'transformers.get_scheduler("constant", optimizer)'),
    ("transformers", COSINE, '"cosine", optimizer, num_warmup_steps=0, num_training_steps=50)'),
    ("transformers", {"type": "WarmUp", "warmup_steps": 5, "schedule": COSINE}, "num_training_steps=55"),
    ("transformers", STEP, "torch.optim.lr_scheduler.StepLR("),
    ("transformers", PLATEAU, '"reduce_lr_on_plateau"'),
    ("transformers", GREEDY, '"greedy", optimizer, scheduler_specific_kwargs={"min_lr": [0.01, 0.001]}'),
    ("timm", STEP, "timm.scheduler.StepLRScheduler(optimizer, decay_t=5, decay_rate=0.5)"),
    ("timm", MILESTONES, "timm.scheduler.MultiStepLRScheduler(optimizer, decay_t=[4, 9], decay_rate=0.5)"),
    ("timm", COSINE, "timm.scheduler.CosineLRScheduler(optimizer, t_initial=50)"),
    ("timm", WARM_COSINE, "warmup_t=5"),
    ("timm", {"type": "LinearLR"}, "torch.optim.lr_scheduler.LinearLR("),
    ("timm", NOISE, "noise_range_t=[10, 40]"),
]


@pytest.mark.parametrize(("framework", "spec", "expected"), CALLED, ids=lambda value: str(value)[:40])
def test_a_framework_s_own_schedule_is_called_by_its_name(framework: Framework, spec: Json, expected: str) -> None:
    translation = translate(parse(spec), BASE_LR, framework)

    assert expected in translation.code
    assert callable(next(value for name, value in names(translation.code, framework).items() if name in DEFINED))


DEFINED = ("make_scheduler", "schedule")
OF_FRAMEWORKS = [(home_of(cls), name) for name, cls in CALLS.items() if home_of(cls) in RUN]


@pytest.mark.parametrize(("framework", "name"), OF_FRAMEWORKS, ids=lambda value: value)
def test_a_framework_s_own_schedule_stays_its_own(framework: Framework, name: str) -> None:
    schedule = parse(CALLS[name].example)

    code = translate(schedule, initial(schedule), framework).code

    assert f"{name}(" in code or f'get_scheduler("{name}"' in code.replace("\n        ", "")


@pytest.mark.parametrize("framework", ["optax", "keras", "timm"])
@pytest.mark.parametrize("steps", [10, 30])
def test_a_cosine_that_does_not_rise_again_is_said_not_to(framework: Framework, steps: int) -> None:
    translation = translate(parse({"type": "CosineAnnealingLR", "T_max": steps}), BASE_LR, framework)

    found = drawn_by_framework(translation.code, framework, 2 * steps, BASE_LR)

    assert not translation.exact
    assert f"after {steps} steps" in translation.notes[0]
    expected = ours(parse({"type": "CosineAnnealingLR", "T_max": steps}), BASE_LR)[: 2 * steps]
    np.testing.assert_allclose(found[: steps + 1], expected[: steps + 1], atol=1e-6 * BASE_LR)
    np.testing.assert_allclose(found[steps:], 0, atol=1e-6 * BASE_LR)


def test_a_cosine_whose_turn_ends_before_it_rises_is_exact() -> None:
    parts = [{"type": "CosineAnnealingLR", "T_max": 20}, {"type": "ConstantLR"}]
    spec = {"type": "SequentialLR", "schedulers": parts, "milestones": [20]}

    translation = translate(parse(spec), BASE_LR, "optax")

    assert translation.exact
    assert "optax.join_schedules(" in translation.code


TORCH_DOES_OTHERWISE: list[Json] = [
    {"type": "StepLR", "step_size": 5, "last_epoch": 3},
    {"type": "ConstantLR", "factor": 0.0},
    {"type": "ChainedScheduler", "schedulers": [COSINE, STEP]},
    {"type": "SequentialLR", "schedulers": [WARM_COSINE, STEP], "milestones": [9]},
    {"type": "SequentialLR", "schedulers": [STEP, {"type": "SWALR", "swa_lr": 0.05}], "milestones": [9]},
    {
        "type": "SequentialLR",
        "schedulers": [STEP, {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 20, "cycle_momentum": False}],
        "milestones": [9],
    },
]


@pytest.mark.parametrize("spec", TORCH_DOES_OTHERWISE, ids=lambda spec: spec["type"])
def test_where_torch_means_something_else_the_formula_is_written(spec: Json) -> None:
    schedule = parse(spec)
    translation = translate(schedule, BASE_LR, "torch")

    expected = ours(schedule, BASE_LR)

    assert translation.exact
    assert "LambdaLR(optimizer, lambda t: rate(t) / 0.3)" in translation.code
    found = drawn_by_framework(translation.code, "torch", len(expected), BASE_LR)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * expected.max())


def test_a_formula_keeps_the_ratio_of_parameter_groups() -> None:
    code = translate(parse(SCHEDULES["WSD"].example), BASE_LR, "torch").code
    groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in (BASE_LR, BASE_LR / 10)]
    optimizer = torch.optim.SGD(groups)

    scheduler = names(code, "torch")["make_scheduler"](optimizer)

    for _ in range(90):
        scheduler.step()
        first, second = (group["lr"] for group in optimizer.param_groups)
        assert second == pytest.approx(first / 10, rel=1e-12)


def test_one_value_a_parameter_group_is_for_torch_alone() -> None:
    schedule = parse({"type": "CyclicLR", "base_lr": [0.01, 0.02], "max_lr": 0.1, "step_size_up": 4})

    assert "base_lr=[0.01, 0.02]" in translate(schedule, None, "torch").code
    with pytest.raises(CurveError, match="one schedule for all parameter groups"):
        translate(schedule, None, "optax")


def test_momentum_that_is_left_out_is_said_to_be() -> None:
    schedule = parse({"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 20})

    assert not translate(schedule, None, "torch").notes
    assert any("momentum" in note for note in translate(schedule, None, "optax").notes)


def test_growth_beyond_float32_is_not_called_exact() -> None:
    translation = translate(parse({"type": "ExponentialLR", "gamma": 1.1}), BASE_LR, "optax")

    assert not translation.exact
    assert "float32 loses digits" in translation.notes[0]


@pytest.mark.parametrize(
    ("source", "exact"), [("where(epoch < 1, 1, 1 / epoch)", True), ("min(1, 1 / epoch)", False)], ids=str
)
def test_an_expression_that_python_cannot_compute_is_said_to_be_one(source: str, exact: bool) -> None:
    translation = translate(parse({"type": "LambdaLR", "lr_lambda": source}), BASE_LR, "torch")

    assert translation.exact is exact
    assert exact or "step 0 Python stops with ZeroDivisionError" in translation.notes[0]


@pytest.mark.parametrize("framework", RUN)
def test_an_expression_is_written_anew_and_not_pasted(framework: Framework) -> None:
    source = "(  0.5)**(epoch//10)  # a comment\n"

    code = translate(parse({"type": "LambdaLR", "lr_lambda": source}), BASE_LR, framework).code

    assert "0.3 * 0.5 ** " in code or "0.5 ** (" in code
    assert "comment" not in code
    imported = {
        alias.name for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import) for alias in node.names
    }
    assert imported <= {"torch", "jax.numpy", "keras", "math", "bisect"}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("framework", RUN)
@pytest.mark.parametrize("name", CALLS)
def test_a_rate_of_zero_is_translated_or_refused(name: str, framework: Framework) -> None:
    try:
        code = translate(parse(CALLS[name].example), 0.0, framework).code
    except CurveError as error:
        if not expected_refusal(error):
            raise
    else:
        compile(code, "<generated>", "exec")


@pytest.mark.parametrize("framework", ["optax", "keras", "timm"])
def test_a_plateau_is_refused_where_there_is_none(framework: Framework) -> None:
    with pytest.raises(CurveError) as refused:
        translate(parse(PLATEAU), BASE_LR, framework)

    assert refused.value.field == ("schedule", "type")


@pytest.mark.parametrize("framework", [each for each in FRAMEWORKS if each != "transformers"])
def test_greedy_is_refused_with_the_framework_that_has_it(framework: Framework) -> None:
    with pytest.raises(CurveError, match="translate it to transformers"):
        translate(parse({"type": "greedy"}), BASE_LR, framework)


@pytest.mark.parametrize("framework", ["torch", "optax", "keras", "transformers"])
def test_noise_is_refused_where_there_is_none(framework: Framework) -> None:
    with pytest.raises(CurveError) as refused:
        translate(parse(NOISE), BASE_LR, framework)

    assert refused.value.field == ("schedule", "noise_range_t")


def test_a_part_that_cannot_be_written_is_named() -> None:
    product = {"type": "MultiplicativeLR", "lr_lambda": "1 - 1 / (epoch + 10)"}
    spec = {"type": "Scale", "factor": 0.5, "schedule": {"type": "ChainedScheduler", "schedulers": [STEP, product]}}

    with pytest.raises(CurveError) as refused:
        translate(parse(spec), BASE_LR, "optax")

    assert refused.value.field == ("schedule", "schedule", "schedulers", 1, "lr_lambda")


def test_an_expression_for_one_of_several_groups_is_looked_at_too() -> None:
    translation = translate(parse({"type": "LambdaLR", "lr_lambda": ["1", "(3 - epoch) ** 0.5"]}), BASE_LR, "torch")

    assert not translation.exact
    assert "step 4 Python stops with TypeError" in translation.notes[0]


def test_code_does_not_grow_with_the_steps_of_a_schedule() -> None:
    inner: Json = COSINE
    for _ in range(6):
        inner = {"type": "Repeat", "cycle_steps": 10**9, "growth": 2.0, "schedule": inner}

    assert len(translate(parse(inner), BASE_LR, "torch").code) < 50_000
