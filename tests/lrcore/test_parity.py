"""Every framework that a schedule is said to come from: run here, or by vectors of its own source."""

from __future__ import annotations

import inspect
import json
import os
import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lrcore.curve import CurveRequest, sample
from lrcore.dialects._read import FRAMEWORKS as READ
from lrcore.dialects._read import names, own_names
from lrcore.schedules import SCHEDULES, Rates
from tests.lrcore.strategies import Json, laws
from tests.lrcore.test_frameworks import CASES, sgd, timm_schedulers, transformers_curve
from tests.lrcore.test_torch_parity import TORCH

os.environ.setdefault("KERAS_BACKEND", "jax")

Vector = dict[str, Any]
VECTORS: list[Vector] = tomllib.loads(Path(__file__).with_name("framework_vectors.toml").read_text())["vectors"]
LR = 0.3
N = 40

MENTIONS = {
    "allennlp": r"AllenNLP",
    "caffe": r"Caffe",
    "composer": r"Composer",
    "d2l": r"d2l",
    "darknet": r"darknet",
    "deepspeed": r"deepspeed|DeepSpeed",
    "detectron2": r"detectron2",
    "fairseq": r"fairseq",
    "fastai": r"fastai",
    "icefall": r"icefall",
    "keras": r"[Kk]eras",
    "megatron": r"Megatron",
    "olmo-core": r"OLMo-core",
    "optax": r"optax",
    "paddle": r"[Pp]addle",
    "pytorch_optimizer": r"pytorch_optimizer",
    "timm": r"\btimm",
    "torch": r"\btorch\.optim",
    "torch-lr-finder": r"torch-lr-finder",
    "transformers": r"transformers",
}
ELSEWHERE = r"MLX|mmengine|mmcv|NeMo|Lightning|ignite|TensorFlow|Flax|MXNet|OLMo(?!-core)|fvcore"
PAPER = r"arXiv:\d{4}\.\d{5}|lrserve"


def curve(spec: Json, **rest: Any) -> Rates:
    return sample(CurveRequest.model_validate({"schedule": spec, "steps": N} | rest)).lr[0]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['framework']}-{vector['schedule']}")
def test_a_schedule_has_the_rates_of_the_source_it_is_named_after(vector: Vector) -> None:
    fields = {key: vector[key] for key in ("base_lr", "metrics") if key in vector}

    rates = curve(json.loads(vector["spec"]), steps=max(vector["steps"]) + 1, **fields)[vector["steps"]]

    tolerance = vector.get("tolerance", 1e-13)
    np.testing.assert_allclose(rates, vector["rates"], rtol=tolerance, atol=tolerance * max(vector["rates"]))


def optax_rates(name: str, *positional: Any, **arguments: Any) -> Rates:
    import jax
    import optax

    with jax.enable_x64(True):
        schedule = getattr(optax, name)(*positional, **arguments)
        return np.broadcast_to(np.asarray(jax.vmap(schedule)(jax.numpy.arange(N))), N)


def timm_rates(name: str, lr: float = LR, scale: float = 1.0, **arguments: Any) -> Rates:
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr, "lr_scale": scale}])
    scheduler = getattr(timm_schedulers(), name)(optimizer, **arguments)
    found = []
    for t in range(N):
        scheduler.step(t)
        found.append(optimizer.param_groups[0]["lr"])
    return np.array(found)


def keras_rates(name: str, **arguments: Any) -> Rates:
    import jax
    import keras

    return np.asarray(jax.vmap(getattr(keras.optimizers.schedules, name)(**arguments))(jax.numpy.arange(N)))


COSINE = {"type": "CosineAnnealingLR", "T_max": 30}
HALVING = {"type": "ExponentialLR", "gamma": 0.5}


def warm_timm(prefix: bool, total: int) -> Callable[[], Rates]:
    def run() -> Rates:
        return timm_rates(
            "CosineLRScheduler", t_initial=total, warmup_t=10, warmup_lr_init=LR / 4, warmup_prefix=prefix
        )

    return run


RUN: dict[tuple[str, str], tuple[Json, Callable[[], Rates]]] = {
    ("WarmUp", "timm"): (
        {"type": "WarmUp", "warmup_steps": 10, "start": 0.25, "schedule": COSINE},
        warm_timm(prefix=True, total=30),
    ),
    ("WarmUp overlay_to_base", "timm"): (
        {"type": "WarmUp", "warmup_steps": 10, "start": 0.25, "mode": "overlay_to_base",
         "schedule": COSINE | {"T_max": 40}},
        warm_timm(prefix=False, total=40),
    ),
    ("WarmUp", "transformers"): (
        {"type": "WarmUp", "warmup_steps": 10, "schedule": COSINE},
        lambda: transformers_curve("cosine", {"num_warmup_steps": 10, "num_training_steps": 40}, N),
    ),
    ("Noise", "timm"): (
        {"type": "Noise", "noise_range_t": [5, 35], "noise_seed": 7, "schedule": {"type": "StepLR", "step_size": 9}},
        lambda: timm_rates("StepLRScheduler", decay_t=9, decay_rate=0.1, noise_range_t=[5, 35], noise_seed=7),
    ),
    ("Repeat", "timm"): (
        {"type": "Repeat", "cycle_steps": 8, "decay": 0.5, "schedule": {"type": "CosineAnnealingLR", "T_max": 8}},
        lambda: timm_rates("CosineLRScheduler", t_initial=8, cycle_decay=0.5, cycle_limit=10),
    ),
    ("Repeat", "keras"): (
        {"type": "Repeat", "cycle_steps": 8, "decay": 0.5, "schedule": {"type": "CosineAnnealingLR", "T_max": 8}},
        lambda: keras_rates(
            "CosineDecayRestarts", initial_learning_rate=LR, first_decay_steps=8, t_mul=1.0, m_mul=0.5
        ),
    ),
    ("BaseLR", "optax"): (
        {"type": "BaseLR", "base_lr": 0.7, "schedule": HALVING},
        lambda: optax_rates("exponential_decay", init_value=0.7, transition_steps=1, decay_rate=0.5),
    ),
    ("Scale", "timm"): (
        {"type": "Scale", "factor": 0.1, "schedule": {"type": "StepLR", "step_size": 7, "gamma": 0.5}},
        lambda: timm_rates("StepLRScheduler", scale=0.1, decay_t=7, decay_rate=0.5),
    ),
    ("Clamp", "optax"): (
        {"type": "Clamp", "min": 0.01, "schedule": HALVING},
        lambda: optax_rates("exponential_decay", init_value=LR, transition_steps=1, decay_rate=0.5, end_value=0.01),
    ),
    ("Shift", "optax"): (
        {"type": "Shift", "by": -10, "schedule": HALVING},
        lambda: optax_rates("exponential_decay", init_value=LR, transition_steps=1, decay_rate=0.5,
                            transition_begin=10),
    ),
    ("Constant", "optax"): ({"type": "Constant"}, lambda: optax_rates("constant_schedule", LR)),
    ("optax.constant_schedule", "optax"): (
        {"type": "optax.constant_schedule", "value": 0.2},
        lambda: optax_rates("constant_schedule", 0.2),
    ),
    ("optax.join_schedules", "optax"): (
        {
            "type": "optax.join_schedules",
            "schedules": [
                {"type": "optax.linear_schedule", "init_value": 0.0, "end_value": 0.2, "transition_steps": 5},
                {"type": "optax.exponential_decay", "init_value": 0.2, "transition_steps": 3, "decay_rate": 0.5},
            ],
            "boundaries": [5],
        },
        lambda: joined(),
    ),
}  # fmt: skip


def joined() -> Rates:
    import optax

    parts = [optax.linear_schedule(0.0, 0.2, 5), optax.exponential_decay(0.2, 3, 0.5)]
    return optax_rates("join_schedules", parts, [5])


@pytest.mark.parametrize("pair", RUN, ids=" ".join)
def test_a_schedule_does_what_the_framework_in_its_origin_does(pair: tuple[str, str]) -> None:
    spec, theirs = RUN[pair]

    tolerance = 1e-6 if pair[1] == "keras" else 1e-12  # Keras computes in float32
    np.testing.assert_allclose(curve(spec, base_lr=LR), theirs(), rtol=tolerance, atol=tolerance * LR)


sixteenths = st.integers(-8, 16).map(lambda k: k / 16)  # exact in float32, in which Keras compares
metric_series = st.lists(sixteenths, min_size=1, max_size=40)
plateau_rules = st.fixed_dictionaries(
    {"factor": st.floats(0.1, 0.9), "patience": st.integers(0, 4), "min_lr": st.sampled_from([0.0, 0.01])}
)
rules_of_keras = st.fixed_dictionaries(
    {},
    optional={
        "cooldown": st.integers(0, 3),
        "min_delta": st.integers(0, 8).map(lambda k: k / 32),
        "mode": st.sampled_from(["min", "max"]),
    },
)


@cache
def keras_model() -> Any:
    import keras

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(LR))
    return model


def keras_plateau(arguments: Json, metrics: list[float]) -> Rates:
    import keras

    model = keras_model()
    model.optimizer.learning_rate = LR
    callback = keras.callbacks.ReduceLROnPlateau(**arguments)
    callback.set_model(model)
    callback.on_train_begin()
    found = [LR]
    for epoch, metric in enumerate(metrics):
        callback.on_epoch_end(epoch, {"val_loss": metric})
        found.append(float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)))
    return np.array(found)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of numpy about Keras
@laws(60)
@given(rules=plateau_rules, more=rules_of_keras, metrics=metric_series)
def test_a_plateau_of_keras_cuts_when_keras_does(rules: Json, more: Json, metrics: list[float]) -> None:
    arguments = rules | more

    ours = curve({"type": "keras.ReduceLROnPlateau"} | arguments, base_lr=LR, steps=len(metrics) + 1, metrics=metrics)

    np.testing.assert_allclose(ours, keras_plateau(arguments, metrics), rtol=1e-5)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_plateau_of_keras_cuts_at_the_epoch_of_its_patience() -> None:
    spec = {"type": "keras.ReduceLROnPlateau", "factor": 0.2, "patience": 5, "min_lr": 0.001}

    rates = curve(spec, base_lr=0.1, steps=13, metrics=[1.0] + [0.9] * 11)

    assert rates.tolist() == pytest.approx([0.1] * 7 + [0.02] * 5 + [0.004])


@laws(40)
@given(rules=plateau_rules, metrics=metric_series)
def test_a_plateau_of_timm_cuts_when_timm_does(rules: Json, metrics: list[float]) -> None:
    arguments = {"decay_rate": rules["factor"], "patience_t": rules["patience"], "lr_min": rules["min_lr"]}
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=LR)
    with pytest.warns(FutureWarning):
        scheduler = timm_schedulers().PlateauLRScheduler(optimizer, **arguments)
    expected = [LR]
    for epoch, metric in enumerate(metrics, 1):
        scheduler.step(epoch, metric)
        expected.append(optimizer.param_groups[0]["lr"])

    spec = {"type": "timm.PlateauLRScheduler"} | arguments

    ours = curve(spec, base_lr=LR, steps=len(expected), metrics=metrics)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


@laws(40)
@given(rules=plateau_rules, metrics=metric_series)
def test_a_plateau_of_transformers_cuts_when_it_does(rules: Json, metrics: list[float]) -> None:
    from transformers import get_scheduler

    optimizer = sgd()
    scheduler = get_scheduler("reduce_lr_on_plateau", optimizer, scheduler_specific_kwargs=rules)
    expected = [LR]
    for metric in metrics:
        scheduler.step(metric)
        expected.append(optimizer.param_groups[0]["lr"])

    spec = {"type": "transformers.reduce_lr_on_plateau"} | rules

    ours = curve(spec, base_lr=LR, steps=len(expected), metrics=metrics)
    np.testing.assert_allclose(ours, expected, rtol=1e-12)


PLATEAUS = {"keras.ReduceLROnPlateau", "timm.PlateauLRScheduler", "transformers.reduce_lr_on_plateau"}


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("cosine_with_min_lr", {"min_lr": 5e-7}),
        ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
        ("cosine_warmup_with_min_lr", {"min_lr": 5e-7}),
        ("cosine_warmup_with_min_lr", {"min_lr": 5e-7, "warmup_lr_rate": 0.2}),
        ("polynomial", {"lr_end": 5e-7, "power": 2.0}),
    ],
)
@pytest.mark.parametrize("around", [None, "Shift", "SequentialLR"])
def test_a_floor_of_transformers_is_a_share_of_each_group_s_rate(name: str, own: Json, around: str | None) -> None:
    from transformers import get_scheduler

    base_lrs, counts = [1e-5, 1e-4], {"num_warmup_steps": 5, "num_training_steps": 50}
    groups = [{"params": [torch.zeros(1)], "lr": lr} for lr in base_lrs]
    scheduler = get_scheduler(name, torch.optim.SGD(groups, lr=base_lrs[0]), *counts.values(), own)
    expected = [[base * part(t) for t in range(50)] for base, part in zip(base_lrs, scheduler.lr_lambdas, strict=True)]
    spec: Json = {"type": name} | counts | own
    spec = {
        None: spec,
        "Shift": {"type": "Shift", "by": 0, "schedule": spec},
        "SequentialLR": {"type": "SequentialLR", "schedulers": [spec], "milestones": []},
    }[around]

    request = CurveRequest.model_validate({"schedule": spec, "steps": 50, "base_lr": base_lrs})

    np.testing.assert_allclose(sample(request).lr, expected, rtol=1e-12, atol=1e-19)


def test_the_lowest_rate_of_a_group_is_as_far_below_its_own_as_the_default_s() -> None:
    spec = {"type": "cosine_with_min_lr", "num_warmup_steps": 5, "num_training_steps": 50, "min_lr": 5e-7}

    last = sample(CurveRequest.model_validate({"schedule": spec, "steps": 50, "base_lr": [1e-5, 1e-4]})).lr[1][-1]

    assert last == pytest.approx(5.116e-6, rel=1e-4)


COVERED = (
    {(name, framework) for framework, name in CASES}
    | {(name, "torch") for name in TORCH}
    | {(vector["schedule"].rpartition(".")[2], vector["framework"]) for vector in VECTORS}
    | {(name, framework) for name, framework in RUN}
    | {("greedy", "transformers")}  # test_frameworks.py
    | {("BaseLR", "paddle")}  # what most of Paddle's names are read as
)


def mentioned(text: str) -> set[str]:
    return {framework for framework, pattern in MENTIONS.items() if re.search(pattern, text)}


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_framework_in_an_origin_has_a_parity_test(name: str) -> None:
    cls = SCHEDULES[name]

    assert mentioned(cls.origin) or re.search(PAPER, cls.origin), "no known source: add its framework to MENTIONS"
    for framework in mentioned(cls.origin):
        assert (name, framework) in COVERED, f"{name} names {framework}: add a vector or a run"


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_framework_in_a_docstring_has_a_parity_test(name: str) -> None:
    text = f"{SCHEDULES[name].origin} {inspect.getdoc(SCHEDULES[name])}"

    assert not re.search(ELSEWHERE, text)
    for framework in mentioned(text):
        assert (name, framework) in COVERED, f"{name} names {framework}: add a vector or a run"


@pytest.mark.parametrize("name", [f"{framework}.{name}" for framework in READ for name in names(framework)])
def test_every_name_that_is_read_has_a_parity_test(name: str) -> None:
    framework, _, short = name.partition(".")

    run = {pair[0] for pair in RUN} | {vector["schedule"] for vector in VECTORS} | PLATEAUS
    assert name in run or ((short, framework) in COVERED and short in own_names(framework))


def has(framework: str) -> set[str]:
    """The names of schedules that a framework has."""
    match framework:
        case "torch":
            return set(torch.optim.lr_scheduler.__all__) - {"LRScheduler"} | {"SWALR"}
        case "optax":
            import optax.schedules

            found = {name for name in dir(optax.schedules) if inspect.isfunction(getattr(optax.schedules, name))}
            return {name for name in found if not name.startswith("inject_")}
        case "keras":
            import keras

            return {name for name in dir(keras.optimizers.schedules) if name[0].isupper()} - {
                "LearningRateSchedule"
            } | {name for name in dir(keras.callbacks) if name.endswith("Plateau")}
        case "timm":
            return {name for name in dir(timm_schedulers()) if name.endswith("LRScheduler")}
        case "transformers":
            from transformers.trainer_utils import SchedulerType

            return {kind.value for kind in SchedulerType}
        case "deepspeed":  # VALID_LR_SCHEDULES of DeepSpeed 0.19.8
            return {"LRRangeTest", "OneCycle", "WarmupLR", "WarmupDecayLR", "WarmupCosineLR"}
    assert framework == "paddle"  # __all__ of paddle.optimizer.lr 3.3.1
    return {
        "CosineAnnealingDecay", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialDecay", "InverseTimeDecay",
        "LambdaDecay", "LinearLR", "LinearWarmup", "MultiStepDecay", "MultiplicativeDecay", "NaturalExpDecay",
        "NoamDecay", "OneCycleLR", "PiecewiseDecay", "PolynomialDecay", "ReduceOnPlateau", "StepDecay",
    }  # fmt: skip


NOT_HERE = {
    "deepspeed": {"OneCycle", "WarmupDecayLR", "WarmupCosineLR"},
}


@pytest.mark.parametrize("framework", READ)
def test_a_framework_s_prefix_is_for_what_the_framework_has(framework: str) -> None:
    assert set(names(framework)) == has(framework) - NOT_HERE.get(framework, set())
