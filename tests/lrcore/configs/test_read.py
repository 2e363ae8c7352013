"""What is said about a configuration, and how one that is wrong is refused."""

from __future__ import annotations

import pkgutil
from typing import Any

import pytest

from lrcore import configs
from lrcore.configs import FRAMEWORKS, read
from lrcore.configs._flags import options_of
from lrcore.errors import CurveError

WARM_UP = {"type": "WarmupLR", "params": {"warmup_max_lr": 0.1, "warmup_num_steps": 10}}
RAMP = {"type": "LinearLR", "by_epoch": False, "end": 50}


def test_every_dialect_is_listed() -> None:
    found = {module.name for module in pkgutil.iter_modules(configs.__path__) if not module.name.startswith("_")}
    assert found == set(FRAMEWORKS)


def test_several_schedules_in_a_file_are_named() -> None:
    with pytest.raises(CurveError, match="several parts of it have a schedule, one, two"):
        read(None, {"one": WARM_UP, "two": WARM_UP})


def test_a_refusal_names_the_field_in_the_whole_of_a_file() -> None:
    with pytest.raises(CurveError) as refusal:
        read(None, {"mine": WARM_UP | {"params": {"warmup_num_steps": -1}}})

    assert refusal.value.field == ("config", "mine", "params", "warmup_num_steps")


def test_facts_are_those_of_the_curve_over_the_run() -> None:
    found = read("deepspeed", WARM_UP, total_steps=100)

    assert found.base_lr == 0.1
    assert (found.facts["steps"], found.facts["initial"], found.facts["final"]) == (100, 0.0, 0.1)
    assert found.facts["mean"] * 100 == pytest.approx(found.facts["integral"])


def test_facts_of_a_long_run_are_those_of_some_of_its_steps() -> None:
    found = read("deepspeed", WARM_UP, total_steps=10**12)

    assert found.facts["steps"] == 10**12
    assert found.facts["integral"] == pytest.approx(1e11, rel=1e-4)
    assert any("every" in note for note in found.notes)


def test_the_rate_of_the_request_goes_before_that_of_the_configuration() -> None:
    found = read("deepspeed", WARM_UP, base_lr=0.2, total_steps=100)

    assert found.base_lr == found.facts["final"] == 0.2
    assert "base_lr 0.2 of the request in place of the configuration's 0.1" in found.notes


def test_what_is_not_read_is_noted() -> None:
    found = read("deepspeed", {"scheduler": WARM_UP, "fp16": {"enabled": True}})

    assert "not read: fp16" in found.notes
    assert found.facts is None


@pytest.mark.parametrize(
    "kwargs", [{"factor": 0.9, "min_lr": 1e-6, "verbose": True}, '{"factor": 0.9, "min_lr": 1e-6}']
)
def test_greedy_of_transformers_is_read_with_its_arguments(kwargs: Any) -> None:
    found = read(None, {"lr_scheduler_type": "greedy", "lr_scheduler_kwargs": kwargs, "learning_rate": 2e-5})

    assert found.schedule == {"type": "greedy", "factor": 0.9, "min_lr": 1e-6}
    assert (found.base_lr, found.interval, found.facts) == (2e-5, "epoch", None)


WRONG: dict[str, tuple[Any, Any, tuple[str | int, ...], str]] = {
    "a number": ("mmengine", [3], ("config", 0), "object"),
    "no flags": ("deepspeed", "nothing", ("config",), "--lr"),
    "an unknown class": ("deepspeed", {"type": "WarmUpLR"}, ("config", "type"), "did you mean 'WarmupLR'?"),
    "an unknown argument": (
        "deepspeed",
        {"type": "WarmupLR", "params": {"warmup_steps": 3}},
        ("config", "params", "warmup_steps"),
        "did you mean",
    ),
    "a factor that cuts nothing": (
        "transformers",
        {"lr_scheduler_type": "greedy", "lr_scheduler_kwargs": {"factor": 1.0}},
        ("config", "lr_scheduler_kwargs", "factor"),
        "less than 1",
    ),
    "auto": (
        "deepspeed",
        {"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": "auto"}}},
        ("config", "scheduler", "params", "warmup_num_steps"),
        "'auto'",
    ),
    "no rate": ("deepspeed", {"type": "WarmupLR"}, ("base_lr",), "give base_lr"),
    "no epochs": (
        "mmengine",
        [RAMP, {"type": "MultiStepLR", "milestones": [8]}],
        ("steps_per_epoch",),
        "give steps_per_epoch",
    ),
    "no length": ("mmengine", [{"type": "PolyLR", "by_epoch": False}], ("total_steps",), "give total_steps"),
    "an item": (
        "mmengine",
        [RAMP, {"type": "MultiStepLR", "milestones": [8, "x"]}],
        ("config", 1, "milestones", 1),
        "integer",
    ),
    "too deep": ("mmengine", eval("[" * 40 + "]" * 40), ("config",), "32 deep"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_configuration_is_refused_with_the_path_of_the_field(case: str) -> None:
    framework, config, field, words = WRONG[case]
    given = {} if case == "no rate" else {"base_lr": 0.1}

    with pytest.raises(CurveError) as refused:
        read(framework, config, **given)

    assert refused.value.field == field
    assert words in str(refused.value)


def test_flags_of_a_command_line_are_options() -> None:
    text = "torchrun train.py --sched step --decay-epochs 2.4 \\\n --lr=.05 --decay-milestones 30 60 --amp # why"

    assert options_of(text) == {
        "sched": "step",
        "decay_epochs": 2.4,
        "lr": 0.05,
        "decay_milestones": [30, 60],
        "amp": True,
    }
