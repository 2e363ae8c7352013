"""Other frameworks' names and arguments, read into lrserve's own."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from pydantic import ValidationError

from lrcore.curve import CurveRequest, sample
from lrcore.dialects._read import FRAMEWORKS, known_elsewhere, own_names, read
from lrcore.schedules import SCHEDULES
from tests.lrcore.strategies import Json

N = 30
LR = 0.3


def curve(spec: Json, **rest: Any) -> list[float]:
    return sample(CurveRequest.model_validate({"schedule": spec, "steps": N} | rest)).lr[0].tolist()


def test_a_schedule_may_be_inside_a_warm_up_of_paddle() -> None:
    inner = {"type": "paddle.StepDecay", "learning_rate": LR, "step_size": 4}
    spec = {"type": "paddle.LinearWarmup", "learning_rate": inner, "warmup_steps": 5, "start_lr": 0.0, "end_lr": LR}

    assert curve(spec)[5:10] == pytest.approx([LR, LR, LR, LR, LR / 10])


def test_optax_s_own_join_and_constant() -> None:
    constant = {"type": "optax.constant_schedule", "value": 0.2}
    ramp = {"type": "optax.linear_schedule", "init_value": 0.0, "end_value": 0.2, "transition_steps": 5}
    spec = {"type": "optax.join_schedules", "schedules": [ramp, constant], "boundaries": [5]}

    assert curve(spec) == pytest.approx([0.2 * min(t, 5) / 5 for t in range(N)])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_name_taken_over_may_have_its_framework_before_it(framework: str) -> None:
    names = set(own_names(framework)) - set(importlib.import_module(f"lrcore.dialects.{framework}").READERS)

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
        (
            {"type": "paddle.Nothing"},
            "paddle has no schedule 'Nothing' that is known here; known: CosineAnnealingDecay, ",
        ),
        ({"type": "keras.StepLR", "step_size": 4}, "known: CosineDecay, CosineDecayRestarts, ExponentialDecay, "),
        ({"type": "keras.CyclicLR", "base_lr": 0.1, "max_lr": 0.3, "step_size_up": 4}, "keras has no schedule 'Cyc"),
        (
            {"type": "optax.WarmUp", "warmup_steps": 4, "schedule": {"type": "Constant"}},
            "no schedule 'WarmUp'",
        ),
        ({"type": "optax.Scale", "factor": 0.5, "schedule": {"type": "Constant"}}, "optax has no schedule 'Scale'"),
        ({"type": "torch.LinearRangeTest"}, "torch has no schedule 'LinearRangeTest'"),
        ({"type": "torch.linear", "num_warmup_steps": 0, "num_training_steps": 9}, "torch has no schedule 'linear'"),
        ({"type": "transformers.greedily"}, "transformers has no schedule 'greedily'"),
        ({"type": "keras.ReduceLROnPlateau", "monitor": "val_accuracy"}, "give 'min' or 'max'"),
        ({"type": "keras.ReduceLROnPlateau", "threshold": 0.1}, "threshold"),
        ({"type": "paddle.ReduceOnPlateau", "learning_rate": LR, "cooldown": 2}, "during a cooldown"),
        ({"type": "timm.PlateauLRScheduler", "warmup_t": 2}, "warmup_t"),
        ({"type": "deepspeed.WarmupLR", "warmup_min_lr": 0.1}, "give it, too"),
        ({"type": "keras.cosine_decay_schedule", "init_value": LR, "decay_steps": 4}, "keras has no schedule"),
        ({"type": "chainer.StepLR", "step_size": 4}, "chainer.StepLR"),
    ],
)
def test_a_name_that_a_framework_does_not_have_is_refused(spec: Json, words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CurveRequest.model_validate({"schedule": spec, "base_lr": LR, "steps": N})

    assert words in str(refused.value)
    assert refused.value.errors()[0]["loc"][0] == "schedule"


def test_a_name_that_is_known_after_its_framework_s_alone_is_pointed_to() -> None:
    hint = known_elsewhere("WarmupLR")

    assert "write 'deepspeed.WarmupLR' for DeepSpeed's" in hint
    assert '"type": "WarmUp"' in hint
    assert '"shape": "log"' in hint
    assert known_elsewhere("StepDecay") == "write 'paddle.StepDecay' for Paddle's"
    assert known_elsewhere("NoSuchSchedule") == ""


def test_a_plateau_of_paddle_brings_its_rate() -> None:
    spec = {"type": "paddle.ReduceOnPlateau", "learning_rate": LR, "factor": 0.5, "patience": 0}

    assert curve(spec, metrics=[1.0] * N)[:3] == [LR, LR, LR / 2]
