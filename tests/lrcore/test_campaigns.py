"""The campaigns of tests.campaign, a short part of each."""

from __future__ import annotations

import pytest

from lrcore.dialects import Framework, translate
from tests.campaign import curves
from tests.campaign import translate as translations
from tests.campaign.drawing import RECIPROCAL
from tests.examples import examples
from tests.lrcore.strategies import Json, parse

POWER: Json = {"type": "polynomial_schedule", "init_value": 0.1, "end_value": 0.0, "power": 0.1, "transition_steps": 41}
STAIRS: list[Json] = [
    {"type": "StepLR", "gamma": 0.5},
    {"type": "ExponentialDecay", "initial_learning_rate": 0.1, "decay_rate": 0.5, "staircase": True},
    {"type": "InverseTimeDecay", "initial_learning_rate": 0.1, "decay_rate": 0.5, "staircase": True},
    {"type": "exponential_decay", "init_value": 0.1, "decay_rate": 0.5, "staircase": True},
    {"type": "LambdaLR", "lr_lambda": "0.5 ** ceil(epoch / {})"},
    {"type": "LambdaLR", "lr_lambda": "0.5 ** floor(epoch / {})"},
    {"type": "LambdaLR", "lr_lambda": "0.5 ** (epoch // {})"},
    {"type": "PolynomialLR", "power": 0.1},
]
LENGTH = {"StepLR": "step_size", "exponential_decay": "transition_steps", "PolynomialLR": "total_iters"}


def of_length(spec: Json, length: int) -> Json:
    if "lr_lambda" in spec:
        return spec | {"lr_lambda": spec["lr_lambda"].format(length)}
    return spec | {LENGTH.get(spec["type"], "decay_steps"): length}


@pytest.mark.drawn
def test_drawn_code_that_is_called_exact_is_so_compiled() -> None:
    assert translations.faults(examples(60), seed=0) == []


@pytest.mark.drawn
def test_drawn_curves_are_those_of_their_frameworks() -> None:
    assert curves.faults(examples(60), seed=0) == []


@pytest.mark.parametrize("framework", ["optax", "keras"])
@pytest.mark.parametrize("spec", STAIRS, ids=lambda spec: spec.get("lr_lambda", spec["type"]))
def test_stairs_whose_reciprocal_falls_short_are_exact_or_said_not_to_be(framework: Framework, spec: Json) -> None:
    for length in RECIPROCAL[:3]:
        assert translations.check((framework, of_length(spec, length))) is None


def test_a_decay_of_no_steps_that_transformers_divides_by_is_written_otherwise() -> None:
    spec = {"type": "polynomial", "num_warmup_steps": 7, "num_training_steps": 7, "lr_end": 1e-9}

    assert translations.check(("transformers", spec)) is None


@pytest.mark.parametrize("framework", ["optax", "keras"])
@pytest.mark.parametrize("length", [41, 7, 2**31, 2**33])
def test_a_step_of_any_size_has_exact_code(framework: Framework, length: int) -> None:
    spec = {"type": "StepLR", "step_size": length, "gamma": 0.5}

    assert translate(parse(spec), 0.3, framework).exact
    assert translations.check((framework, spec)) is None


@pytest.mark.parametrize(
    ("framework", "spec"),
    [
        ("optax", of_length(STAIRS[3], 41)),
        ("keras", of_length(STAIRS[1], 41)),
        ("keras", of_length(STAIRS[2], 41)),
        ("optax", POWER),
        ("keras", {"type": "PolynomialDecay", "initial_learning_rate": 0.1, "power": 0.1, "decay_steps": 41}),
    ],
    ids=str,
)
def test_a_framework_s_own_schedule_that_is_late_when_compiled_is_said_to_be(framework: Framework, spec: Json) -> None:
    translation = translate(parse(spec), 0.1, framework)

    assert not translation.exact
    assert "XLA multiplies" in translation.notes[0]
