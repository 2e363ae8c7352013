"""Every schedule under a framework's name, against the framework itself."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from lrcore.datasets._torchvision import torchvision_datasets
from lrcore.family import home_of
from lrcore.schedules import SCHEDULES, Rates
from lrcore.schedules.transformers import GreedyLR
from tests.lrcore.strategies import Json, laws, parse, rates, specs

BASE_LR = 0.3
STEPS = 150

os.environ.setdefault("KERAS_BACKEND", "jax")

Framework = Callable[[str, Json, int], Rates]


def of(framework: str) -> list[str]:
    """The functions of the step."""
    return [name for name, cls in SCHEDULES.items() if home_of(cls) == framework and not cls.metric_driven]


def arguments(spec: Json) -> Json:
    return {name: value for name, value in spec.items() if name != "type"}


def optax_schedule(name: str, arguments: Json) -> Any:
    import optax

    if "boundaries_and_scales" in arguments:
        scales = {int(step): scale for step, scale in arguments["boundaries_and_scales"].items()}
        arguments = arguments | {"boundaries_and_scales": scales}
    return getattr(optax, name)(**arguments)


def optax_curve(name: str, arguments: Json, n: int) -> Rates:
    import jax

    with jax.enable_x64(True):
        schedule = optax_schedule(name, arguments)
        return np.broadcast_to(np.asarray(jax.vmap(schedule)(jax.numpy.arange(n))), n)


def keras_curve(name: str, arguments: Json, n: int) -> Rates:
    import jax
    import keras

    schedule = getattr(keras.optimizers.schedules, name)(**arguments)
    return np.asarray(jax.vmap(schedule)(jax.numpy.arange(n)))


def timm_curve(name: str, arguments: Json, n: int) -> Rates:
    scheduler = getattr(timm_schedulers(), name)(sgd(), **arguments)
    return np.array([scheduler._get_lr(t)[0] for t in range(n)])


def transformers_curve(name: str, arguments: Json, n: int) -> Rates:
    from transformers import get_scheduler

    own = {k: v for k, v in arguments.items() if k not in ("num_warmup_steps", "num_training_steps") and v is not None}
    scheduler = get_scheduler(
        name, sgd(), arguments.get("num_warmup_steps"), arguments.get("num_training_steps"), own or None
    )
    found = []
    for _ in range(n):
        found.append(scheduler.get_last_lr()[0])
        scheduler.step()
    return np.array(found)


def timm_schedulers() -> Any:
    torchvision_datasets()  # timm imports torchvision, which needs help beside some torches
    import timm.scheduler

    return timm.scheduler


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1)], lr=BASE_LR)


FRAMEWORKS: dict[str, tuple[Framework, float]] = {
    "optax": (optax_curve, 1e-11),
    "keras": (keras_curve, 3e-6),  # computes in float32
    "timm": (timm_curve, 1e-12),
    "transformers": (transformers_curve, 1e-12),
}
CASES = [(framework, name) for framework in FRAMEWORKS for name in of(framework)]


def test_every_schedule_of_transformers_is_here() -> None:
    from transformers.trainer_utils import SchedulerType

    assert {kind.value for kind in SchedulerType} - {"reduce_lr_on_plateau"} <= set(SCHEDULES)


def test_every_schedule_of_keras_is_here() -> None:
    import keras

    theirs = {name for name in dir(keras.optimizers.schedules) if name[0].isupper()} - {"LearningRateSchedule"}
    assert theirs <= set(SCHEDULES)


def test_every_scheduler_of_timm_is_here() -> None:
    theirs = {name for name in dir(timm_schedulers()) if name.endswith("LRScheduler")} - {"PlateauLRScheduler"}
    assert theirs <= set(SCHEDULES)


@pytest.mark.parametrize(("framework", "name"), CASES, ids=[f"{framework}-{name}" for framework, name in CASES])
@laws(20)
@given(data=st.data())
def test_a_schedule_is_what_its_framework_computes(framework: str, name: str, data: st.DataObject) -> None:
    spec = data.draw(specs(SCHEDULES[name]))
    assume(known_to_work(spec))
    curve, tolerance = FRAMEWORKS[framework]

    expected = curve(name, arguments(spec), STEPS)

    ours = rates(parse(spec), np.arange(STEPS), BASE_LR)
    off = np.abs(ours - expected) > tolerance * max(expected.max(), 1e-30)
    assert not off.any() or excused(framework, spec, off, ours, expected), (spec, np.flatnonzero(off))


def known_to_work(spec: Json, steps: int = STEPS) -> bool:
    """Whether the framework computes what it documents."""
    match spec:
        case {"type": "piecewise_interpolate_schedule", "boundaries_and_scales": dict(scales)}:
            return len(scales) > 0
        case {"type": "polynomial", "num_warmup_steps": warm, "num_training_steps": steps} if warm == steps:
            return False  # transformers divides by 0 at the step after the run
        case {"type": "PolynomialDecay", "power": float(power)} if 0 < power < np.finfo(np.float32).tiny:
            return False  # to Keras, which computes in float32, the power is 0, and 0 ** 0 is 1
        case {"cycle_mul": float(mul), "t_initial": int(first)} if mul < 1:
            return first / (1 - mul) > steps  # timm takes the logarithm of a negative number beyond
    return True


def excused(framework: str, spec: Json, off: Any, ours: Rates, expected: Rates) -> bool:
    """Whether the steps that differ are restarts, which a logarithm in float32 or a quotient misses by a step."""
    if spec.get("cycle"):
        return not (np.flatnonzero(off) % spec["decay_steps"]).any()
    factor = spec.get("cycle_mul", spec.get("t_mul", 2.0 if spec["type"] == "CosineDecayRestarts" else 1.0))
    return factor != 1 and off.sum() <= 2 * math.log(STEPS) + 2


BOUNDARIES = st.lists(st.integers(1, 60), min_size=1, max_size=3, unique=True).map(sorted)


@laws(30)
@given(boundaries=BOUNDARIES, data=st.data())
def test_keras_changes_the_rate_one_step_after_a_boundary(boundaries: list[int], data: st.DataObject) -> None:
    values = data.draw(st.lists(st.floats(1e-3, 1), min_size=len(boundaries) + 1, max_size=len(boundaries) + 1))
    spec = {"type": "PiecewiseConstantDecay", "boundaries": boundaries, "values": values}

    expected = keras_curve("PiecewiseConstantDecay", arguments(spec), 70)

    np.testing.assert_allclose(rates(parse(spec), np.arange(70)), expected, rtol=1e-6)


@laws(50)
@given(d_model=st.integers(1, 1024), warm=st.integers(1, 50), lr=st.floats(0.1, 2))
def test_noam_is_the_formula_of_the_paper_from_step_1(d_model: int, warm: int, lr: float) -> None:
    spec = {"type": "NoamDecay", "d_model": d_model, "warmup_steps": warm, "learning_rate": lr}
    paper = [lr * d_model**-0.5 * min(t**-0.5, t * warm**-1.5) for t in range(1, 100)]

    np.testing.assert_allclose(
        rates(parse({"type": "Shift", "by": 1, "schedule": spec}), np.arange(99)), paper, rtol=1e-13
    )


BASE_LRS = [0.1, 0.02]
rules_of_greedy = st.fixed_dictionaries(
    {"patience": st.integers(0, 2), "factor": st.floats(0.3, 0.95)},
    optional={
        "mode": st.sampled_from(["min", "max"]),
        "threshold": st.sampled_from([0.0, 0.1]),
        "threshold_mode": st.sampled_from(["rel", "abs"]),
        "cooldown": st.integers(0, 3),
        "warmup": st.integers(0, 3),
        "min_lr": st.sampled_from([0.0, 0.01, 0.05, [0.03, 0.001]]),
        "max_lr": st.sampled_from([0.05, 0.2, [0.3, 0.02]]),
        "eps": st.sampled_from([0.0, 1e-3]),
        "smooth": st.booleans(),
        "window_size": st.integers(1, 6),
        "reset_start": st.integers(0, 3),
    },
)
# runs of the same value, whose mean is another one in the last bits
metric_runs = st.lists(st.tuples(st.integers(-30, 30), st.integers(1, 15)), min_size=1, max_size=10)


@laws(300)
@given(rules=rules_of_greedy, runs=metric_runs, falling=st.integers(0, 30), resumed=st.integers(0, 60))
def test_greedy_is_what_transformers_computes_to_the_last_bit(
    rules: Json, runs: list[tuple[int, int]], falling: int, resumed: int
) -> None:
    from transformers import get_scheduler

    sign = -1 if rules.get("mode") == "max" else 1
    metrics = [sign * (3 - k / 7) for k in range(falling)] + [value / 30 for value, n in runs for _ in range(n)]
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in BASE_LRS])
    scheduler = get_scheduler("greedy", optimizer, scheduler_specific_kwargs=rules)
    schedule = GreedyLR.model_validate({"type": "greedy"} | rules)
    state, expected = schedule.begin(BASE_LRS), [BASE_LRS]
    for step, metric in enumerate(metrics):
        if step == resumed:
            saved, state = json.loads(json.dumps(state.state())), schedule.begin(BASE_LRS)
            state.load(saved)
            assert state.state() == saved
        scheduler.step(metric)
        state.step(metric)
        expected.append([group["lr"] for group in optimizer.param_groups])
        assert (state.lr, state.best) == (expected[-1], scheduler.best)

    assert schedule.follow(BASE_LRS, metrics).T.tolist() == expected


def test_greedy_rises_falls_and_starts_anew() -> None:
    spec = {"type": "greedy", "patience": 1, "factor": 0.5, "min_lr": 0.05, "max_lr": 0.2, "reset_start": 2}
    metrics = [3.0, 2.0] + [2.5] * 8

    rates = GreedyLR.model_validate(spec).follow([0.1], metrics)[0]

    assert rates.tolist() == [0.1, 0.1, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05, 0.1, 0.1, 0.1]
