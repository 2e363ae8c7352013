"""Specs as torch schedulers, stepped with real optimizers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from lrcore.curve import CurveRequest, sample
from lrcore.errors import CurveError
from lrcore.numerics.rate_table import BLOCK
from lrcore.schedules import SCHEDULES
from lrcore.torch_lr import SpecLR
from tests.lrcore.strategies import CALLS, Json

ONE_CYCLE = {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 40}
COSINE = {"type": "CosineAnnealingLR", "T_max": 30}


def sgd(*lrs: float) -> torch.optim.SGD:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in lrs or (0.3,)]
    return torch.optim.SGD(groups, momentum=0.5)


def walked(optimizer: torch.optim.Optimizer, scheduler: SpecLR, steps: int) -> list[tuple[float, float]]:
    """Rate and momentum of the first group in `steps` updates."""
    found = []
    for _ in range(steps):
        found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0].get("momentum", 0.0)))
        optimizer.step()
        scheduler.step()
    return found


def expected(spec: Json, steps: int, **rest: Any) -> Any:
    return sample(CurveRequest.model_validate({"schedule": spec, "base_lr": 0.3, "steps": steps} | rest))


@pytest.mark.parametrize("name", CALLS)
def test_an_optimizer_holds_the_curve(name: str) -> None:
    spec = SCHEDULES[name].example
    length = SCHEDULES[name].model_validate(spec).length
    steps = 30 if length is None else min(30, length - 1)
    optimizer = sgd()

    found = walked(optimizer, SpecLR(optimizer, spec), steps)

    curve = expected(spec, steps)
    assert [lr for lr, _ in found] == curve.lr[0].tolist()
    if curve.momentum is not None:
        assert [momentum for _, momentum in found] == curve.momentum[0].tolist()


@pytest.mark.parametrize("spec", [COSINE, ONE_CYCLE], ids=["cosine", "one cycle"])
def test_a_scheduler_goes_on_by_its_count_alone(spec: Json) -> None:
    optimizer = sgd()
    scheduler = SpecLR(optimizer, spec)
    before, state = walked(optimizer, scheduler, 17), scheduler.state_dict()
    after = walked(optimizer, scheduler, 12)

    fresh = sgd()
    resumed = SpecLR(fresh, spec)
    resumed.load_state_dict(state)

    assert state["last_epoch"] == 17
    assert len(before) == 17
    assert walked(fresh, resumed, 12) == after


def test_a_scheduler_may_begin_after_a_step() -> None:
    optimizer = sgd()
    for group in optimizer.param_groups:
        group["initial_lr"] = 0.3
        group["lr"] = 123.0  # whatever it was

    found = walked(optimizer, SpecLR(optimizer, COSINE, last_epoch=16), 5)

    assert [lr for lr, _ in found] == expected(COSINE, 5, start=17).lr[0].tolist()


def test_every_group_has_its_own_base_rate() -> None:
    optimizer = sgd(0.3, 0.03)
    scheduler = SpecLR(optimizer, COSINE)
    scheduler.step()

    assert scheduler.get_last_lr() == expected(COSINE, 2, base_lr=[0.3, 0.03]).lr[:, 1].tolist()


def test_momentum_is_beta1_for_adam() -> None:
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = SpecLR(optimizer, ONE_CYCLE)
    for _ in range(3):
        optimizer.step()
        scheduler.step()

    curve = expected(ONE_CYCLE, 4)
    assert curve.momentum is not None
    assert optimizer.param_groups[0]["betas"] == (curve.momentum[0, 3], 0.999)


def test_a_long_run_crosses_its_blocks() -> None:
    optimizer = sgd()
    steps = 2 * BLOCK + 3

    found = walked(optimizer, SpecLR(optimizer, {"type": "ExponentialLR", "gamma": 0.999}), steps)

    assert [lr for lr, _ in found] == expected({"type": "ExponentialLR", "gamma": 0.999}, steps).lr[0].tolist()


def test_a_length_may_be_a_share_of_the_run() -> None:
    optimizer = sgd()
    scheduler = SpecLR(optimizer, {"type": "StepLR", "step_size": "2ep"}, total_steps=100, steps_per_epoch=5)

    assert scheduler.schedule.step_size == 10  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"type": "StepLR"}, ValidationError),
        ({"type": "ReduceLROnPlateau"}, CurveError),
        ({"type": "greedy"}, CurveError),
        ({"type": "LambdaLR", "lr_lambda": ["1", "1"]}, CurveError),
        ({"type": "LambdaLR", "lr_lambda": "-1"}, CurveError),
    ],
)
def test_what_cannot_be_scheduled_is_refused(spec: Json, error: type[Exception]) -> None:
    with pytest.raises(error):
        SpecLR(sgd(), spec)
