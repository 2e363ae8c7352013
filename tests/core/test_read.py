"""Other frameworks' names and arguments, read into lrserve's own."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from lrcore.curve import CurveRequest, sample
from lrcore.dialects._read import read
from lrcore.schedules import SCHEDULES
from tests.core.strategies import Json

N = 30
LR = 0.3


def curve(spec: Json, **rest: Any) -> list[float]:
    return sample(CurveRequest.model_validate({"schedule": spec, "steps": N} | rest)).lr[0].tolist()


def product(factor: float, drops: Any) -> list[float]:
    return [LR * factor ** drops(t) for t in range(N)]


PADDLE: dict[str, tuple[Json, list[float]]] = {  # by the formulas of Paddle's documentation
    "StepDecay": ({"learning_rate": LR, "step_size": 4, "gamma": 0.5}, product(0.5, lambda t: t // 4)),
    "MultiStepDecay": (
        {"learning_rate": LR, "milestones": [3, 8]},
        product(0.1, lambda t: (t >= 3) + (t >= 8)),
    ),
    "ExponentialDecay": ({"learning_rate": LR, "gamma": 0.9}, product(0.9, lambda t: t)),
    "NaturalExpDecay": ({"learning_rate": LR, "gamma": 0.1}, [LR * math.exp(-0.1 * t) for t in range(N)]),
    "InverseTimeDecay": ({"learning_rate": LR, "gamma": 0.1}, [LR / (1 + 0.1 * t) for t in range(N)]),
    "PolynomialDecay": (
        {"learning_rate": LR, "decay_steps": 20, "power": 2.0},
        [(LR - 1e-4) * (1 - min(t, 20) / 20) ** 2 + 1e-4 for t in range(N)],
    ),
    "CosineAnnealingDecay": (
        {"learning_rate": LR, "T_max": 10, "eta_min": 0.01},
        [0.01 + (LR - 0.01) * (1 + math.cos(math.pi * t / 10)) / 2 for t in range(N)],
    ),
    "CosineAnnealingWarmRestarts": (
        {"learning_rate": LR, "T_0": 10},
        [LR * (1 + math.cos(math.pi * (t % 10) / 10)) / 2 for t in range(N)],
    ),
    "LinearLR": (
        {"learning_rate": LR, "total_steps": 10, "start_factor": 0.5},
        [LR * (0.5 + 0.5 * min(t, 10) / 10) for t in range(N)],
    ),
    "LambdaDecay": ({"learning_rate": LR, "lr_lambda": "0.95 ** epoch"}, product(0.95, lambda t: t)),
    "MultiplicativeDecay": ({"learning_rate": LR, "lr_lambda": "0.95"}, product(0.95, lambda t: t)),
    "CyclicLR": (
        {"base_learning_rate": 0.1, "max_learning_rate": 0.3, "step_size_up": 5},
        [0.1 + 0.2 * (1 - abs(t / 5 - 2 * (t // 10) - 1)) for t in range(N)],
    ),
    "LinearWarmup": (
        {"learning_rate": LR, "warmup_steps": 5, "start_lr": 0.0, "end_lr": LR},
        [LR * min(t, 5) / 5 for t in range(N)],
    ),
}


@pytest.mark.parametrize("name", PADDLE)
def test_a_schedule_of_paddle_is_what_paddle_says_it_is(name: str) -> None:
    arguments, expected = PADDLE[name]

    assert curve({"type": f"paddle.{name}"} | arguments) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_the_end_of_paddle_s_one_cycle_is_a_rate() -> None:
    spec = {"type": "paddle.OneCycleLR", "max_learning_rate": LR, "total_steps": N, "end_learning_rate": 0.001}

    rates = curve(spec)

    assert (rates[0], rates[-1]) == (pytest.approx(LR / 25), pytest.approx(0.001))


def test_a_schedule_may_be_inside_a_warm_up_of_paddle() -> None:
    inner = {"type": "paddle.StepDecay", "learning_rate": LR, "step_size": 4}
    spec = {"type": "paddle.LinearWarmup", "learning_rate": inner, "warmup_steps": 5, "start_lr": 0.0, "end_lr": LR}

    assert curve(spec)[5:10] == pytest.approx([LR, LR, LR, LR, LR / 10])


def test_optax_s_own_join_and_constant() -> None:
    constant = {"type": "optax.constant_schedule", "value": 0.2}
    ramp = {"type": "optax.linear_schedule", "init_value": 0.0, "end_value": 0.2, "transition_steps": 5}
    spec = {"type": "optax.join_schedules", "schedules": [ramp, constant], "boundaries": [5]}

    assert curve(spec) == pytest.approx([0.2 * min(t, 5) / 5 for t in range(N)])


@pytest.mark.parametrize("framework", ["keras", "optax", "paddle", "timm", "transformers"])
def test_a_name_taken_over_may_have_its_framework_before_it(framework: str) -> None:
    names = [name for name, cls in SCHEDULES.items() if cls.__module__ == f"lrcore.schedules.{framework}"]

    assert names
    for name in names:
        example = SCHEDULES[name].example
        assert read(example | {"type": f"{framework}.{name}"}) == example


def test_a_class_of_torch_may_have_torch_before_it() -> None:
    assert read({"type": "torch.StepLR", "step_size": 5}) == {"type": "StepLR", "step_size": 5}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"type": "paddle.StepDecay", "learning_rate": LR}, "step_size"),
        ({"type": "paddle.StepDecay", "learning_rate": LR, "step_size": 4, "surplus": 1}, "surplus"),
        ({"type": "paddle.Nothing"}, "paddle has no schedule 'Nothing'"),
        ({"type": "keras.cosine_decay_schedule", "init_value": LR, "decay_steps": 4}, "keras has no schedule"),
        ({"type": "chainer.StepLR", "step_size": 4}, "chainer.StepLR"),
    ],
)
def test_a_name_that_a_framework_does_not_have_is_refused(spec: Json, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CurveRequest.model_validate({"schedule": spec, "base_lr": LR, "steps": N})

    assert words in str(refused.value)
    assert refused.value.errors()[0]["loc"][0] == "schedule"
