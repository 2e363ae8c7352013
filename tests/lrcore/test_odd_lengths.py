"""Lengths that frameworks take although they look wrong: a warm-up without end, broken, none, negative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from lrcore.curve import CurveRequest, sample
from lrcore.dialects import translate
from lrcore.errors import CurveError
from tests.lrcore.strategies import Json, accepted, parse, rates
from tests.lrcore.test_frameworks import BASE_LR, arguments, optax_curve, timm_curve, transformers_curve

T = np.arange(60)

RUNS: list[Json] = [
    {"type": "linear"},
    {"type": "cosine"},
    {"type": "cosine", "num_cycles": 0.75},
    {"type": "cosine_with_restarts", "num_cycles": 3},
    {"type": "polynomial", "power": 2.0},
    {"type": "cosine_with_min_lr", "min_lr_rate": 0.1},
    {"type": "cosine_warmup_with_min_lr", "min_lr_rate": 0.1},
    {"type": "cosine_warmup_with_min_lr", "min_lr_rate": 0.1, "warmup_lr_rate": 0.2},
    {"type": "warmup_stable_decay", "num_decay_steps": 5},
    {"type": "warmup_stable_decay", "num_decay_steps": 0, "min_lr_ratio": 0.1},
    {"type": "warmup_stable_decay", "num_decay_steps": 30, "decay_type": "linear", "min_lr_ratio": 0.1},
]


@pytest.mark.parametrize("steps", [20, 19, 12, 1])
@pytest.mark.parametrize("spec", RUNS, ids=str)
def test_a_warm_up_as_long_as_the_run_is_what_transformers_makes_of_it(spec: Json, steps: int) -> None:
    spec = spec | {"num_warmup_steps": 20, "num_training_steps": steps}
    n = 20 if spec["type"] == "polynomial" and steps == 20 else len(T)  # it divides by 0 at the step after the run

    expected = transformers_curve(spec["type"], arguments(spec), n - (n == 20))

    ours = rates(parse(spec), T[: len(expected)], BASE_LR)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)
    assert ours[:12] == pytest.approx(expected[:12])


def test_a_warm_up_alone_is_t_over_its_steps() -> None:
    spec = {"type": "cosine", "num_warmup_steps": 20, "num_training_steps": 20}

    assert rates(parse(spec), T[:20], 1.0) == pytest.approx(T[:20] / 20)


@pytest.mark.parametrize("decay_t", [2.4, 0.5, 1.0, 7, 240.00000000000003, 1 / 3, 12.5])
@pytest.mark.parametrize("prefix", [True, False])
def test_decay_t_need_not_be_whole_in_timm(decay_t: float, prefix: bool) -> None:
    spec = {"type": "StepLRScheduler", "decay_t": decay_t, "decay_rate": 0.7, "warmup_t": 4, "warmup_prefix": prefix}

    expected = timm_curve("StepLRScheduler", arguments(spec), len(T))

    np.testing.assert_allclose(rates(parse(spec), T, BASE_LR), expected, rtol=1e-12)


def test_a_whole_decay_t_stays_an_integer() -> None:
    spec: Any = parse({"type": "StepLRScheduler", "decay_t": 30.0})

    assert spec.model_dump_json() == parse({"type": "StepLRScheduler", "decay_t": 30}).model_dump_json()
    assert not accepted({"type": "StepLRScheduler", "decay_t": 0})
    assert not accepted({"type": "StepLRScheduler", "decay_t": True})


@pytest.mark.parametrize("to", ["torch", "timm", "transformers"])
def test_a_decay_t_that_is_not_whole_is_translated_exactly(to: Any) -> None:
    spec = parse({"type": "StepLRScheduler", "decay_t": 2.4, "decay_rate": 0.7})

    found = translate(spec, BASE_LR, to)

    assert found.exact
    assert "2.4" in found.code


@pytest.mark.parametrize("factor", [1.5, 0, -1])
def test_t_mult_is_whole_and_positive_as_in_torch(factor: float) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)

    with pytest.raises(ValueError, match="T_mult"):
        torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=5, T_mult=factor)  # type: ignore[arg-type]
    assert not accepted({"type": "CosineAnnealingWarmRestarts", "T_0": 5, "T_mult": factor})


LINE = {"type": "linear_schedule", "init_value": 0.1, "end_value": 0.01}
DECAY = {"type": "exponential_decay", "init_value": 0.1, "decay_rate": 0.9}
WARM = {"type": "warmup_exponential_decay_schedule", "init_value": 0.0, "peak_value": 0.1, "warmup_steps": 5}
OPTAX: list[Json] = [
    *(LINE | {"transition_steps": steps} for steps in (0, -1, -20)),
    *(LINE | {"type": "polynomial_schedule", "power": 2.0, "transition_steps": steps} for steps in (0, -3)),
    *(DECAY | {"transition_steps": steps, "end_value": 0.5, "staircase": True} for steps in (0, -3)),
    DECAY | {"decay_rate": 0.0, "transition_steps": 5, "end_value": 0.2},
    LINE | {"transition_steps": 10, "transition_begin": -4},
    DECAY | {"transition_steps": 10, "transition_begin": -4},
    WARM | {"transition_steps": 0, "decay_rate": 0.9},
    WARM | {"transition_steps": 10, "transition_begin": -3, "decay_rate": 0.9},
    {"type": "warmup_constant_schedule", "init_value": 0.01, "peak_value": 0.1, "warmup_steps": 0},
    {"type": "warmup_constant_schedule", "init_value": 0.01, "peak_value": 0.1, "warmup_steps": -5},
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # optax divides by 0 before it chooses
@pytest.mark.parametrize("spec", OPTAX, ids=str)
def test_a_transition_without_steps_is_a_constant_as_in_optax(spec: Json) -> None:
    expected = optax_curve(spec["type"], arguments(spec), len(T))

    schedule = parse(spec)

    np.testing.assert_allclose(rates(schedule, T), expected, rtol=1e-12)
    assert [translate(schedule, None, to).exact for to in ("torch", "optax")] == [True, True]


PARTS: list[Json] = [
    {"type": "LinearLR", "start_factor": 0.1, "total_iters": 5},
    {"type": "ExponentialLR", "gamma": 0.9},
    {"type": "StepLR", "step_size": 3},
]


def test_a_group_without_a_rate_stays_at_0_under_a_chain_as_in_torch() -> None:
    optimizer = torch.optim.SGD([{"params": [torch.zeros(1)], "lr": lr} for lr in (0.1, 0.0)])
    scheduler = torch.optim.lr_scheduler
    chain = scheduler.ChainedScheduler(
        [
            scheduler.LinearLR(optimizer, 0.1, total_iters=5),
            scheduler.ExponentialLR(optimizer, 0.9),
            scheduler.StepLR(optimizer, 3),
        ]
    )
    expected = []
    for _ in range(20):
        expected.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        chain.step()

    request: Json = {"schedule": {"type": "ChainedScheduler", "schedulers": PARTS}, "base_lr": [0.1, 0.0], "steps": 20}
    np.testing.assert_allclose(sample(CurveRequest.model_validate(request)).lr, np.transpose(expected), rtol=1e-12)
    assert translate(parse(request["schedule"]), 0.0, "optax").exact


def test_a_part_with_a_rate_of_its_own_has_no_fraction_of_0() -> None:
    parts = [*PARTS, {"type": "CosineAnnealingLR", "T_max": 10, "eta_min": 0.01}]
    request = {"schedule": {"type": "ChainedScheduler", "schedulers": parts}, "base_lr": 0, "steps": 20}

    with pytest.raises(CurveError, match=r"schedulers\[3\], CosineAnnealingLR, does not"):
        sample(CurveRequest.model_validate(request | {"base_lr": 0.0}))


def test_a_run_may_end_with_its_stable_phase_or_its_warm_up() -> None:
    spec = parse({"type": "WSD", "warmup_steps": 4, "stable_steps": 3, "decay_steps": 0, "min_ratio": 0.5})

    assert rates(spec, T[:9], 1.0).tolist() == [0, 0.25, 0.5, 0.75, 1, 1, 1, 0.5, 0.5]
    assert translate(spec, 1.0, "torch").exact


def test_the_cosine_of_d2l_may_be_a_warm_up_alone() -> None:
    spec = parse({"type": "CosineScheduler", "max_update": 5, "warmup_steps": 10, "base_lr": 0.2})

    assert rates(spec, T[:12]) == pytest.approx([0.02 * min(t, 10) for t in range(12)])
    assert translate(spec, None, "keras").exact


def test_optax_refuses_a_cosine_without_steps_and_so_is_it_here() -> None:
    spec: Json = {"type": "warmup_cosine_decay_schedule", "init_value": 0.0, "peak_value": 0.1, "warmup_steps": 10}

    with pytest.raises(ValueError, match="positive decay_steps"):
        optax_curve(spec["type"], arguments(spec) | {"decay_steps": 10}, 5)
    with pytest.raises(ValidationError, match="must exceed warmup_steps"):
        parse(spec | {"decay_steps": 10})
