"""What people do with schedulers besides stepping them, with torch's classes and with SpecLR."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from lrcore.errors import CurveError
from lrcore.schedules import SCHEDULES
from lrcore.torch_lr import SCALING, SpecLR
from tests.lrcore.strategies import CALLS, Json, is_composite, parse
from tests.parity.torch_harness import MAKERS, Maker, function_of, make_spec, make_torch, one_group, rates

IN_TORCH = [name for name, cls in CALLS.items() if hasattr(lr_scheduler, name) and not is_composite(cls)] + ["SWALR"]
ENDING = [name for name, cls in CALLS.items() if parse(cls.example).length is not None]
ONE_CYCLE = {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 10}
STEP = {"type": "StepLR", "step_size": 3}

both_makers = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def arguments(name: str) -> Json:
    return {field: value for field, value in SCHEDULES[name].example.items() if field != "type"}


def stepped(optimizer: torch.optim.Optimizer, scheduler: Any, steps: int) -> list[float]:
    """The first group's rate in each of `steps` updates."""
    found = []
    for _ in range(steps):
        found.append(rates(optimizer)[0])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("name", IN_TORCH)
def test_a_rate_that_something_else_changed_is_treated_as_in_torch(name: str) -> None:
    found = {}
    for kind, make in MAKERS.items():
        optimizer = one_group(0.3)
        scheduler = make(optimizer, name, **arguments(name))
        before = stepped(optimizer, scheduler, 2)
        optimizer.param_groups[0]["lr"] *= 0.5
        found[kind] = before + stepped(optimizer, scheduler, 7)

    assert found["SpecLR"] == pytest.approx(found["torch"], rel=1e-9, abs=1e-15)


def test_the_scaling_schedules_are_those_that_torch_has() -> None:
    kept = set()
    for name in IN_TORCH:
        optimizer = one_group(0.3)
        scheduler = make_torch(optimizer, name, **arguments(name))
        optimizer.step()
        optimizer.param_groups[0]["lr"] = 123.0
        scheduler.step()
        kept |= {name} if rates(optimizer)[0] > 1 else set()

    assert kept == set(SCALING)


@pytest.mark.parametrize("name", ENDING)
def test_a_run_may_end_with_its_schedule(name: str) -> None:
    spec = parse(SCHEDULES[name].example)
    assert spec.length is not None
    optimizer = one_group(0.3)
    scheduler = SpecLR(optimizer, spec)
    stepped(optimizer, scheduler, spec.length - 1)
    last = rates(optimizer)
    stepped(optimizer, scheduler, 1)

    assert rates(optimizer) == scheduler.get_last_lr() == last
    assert scheduler.total_steps == spec.length
    resumed, fresh = one_group(0.3), one_group(0.3)
    loaded = SpecLR(resumed, spec)
    loaded.load_state_dict(scheduler.state_dict())
    fresh.param_groups[0]["initial_lr"] = 0.3
    again = SpecLR(fresh, spec, last_epoch=spec.length - 1)
    assert rates(resumed) == rates(fresh) == last
    for each in (scheduler, loaded, again):
        with pytest.raises(CurveError, match=f"ends after {spec.length} steps"):
            each.step()


@both_makers
@pytest.mark.parametrize(
    ("name", "fields", "steps"),
    [
        ("LambdaLR", {"lr_lambda": "1 - epoch / 100"}, 100),
        ("LambdaLR", {"lr_lambda": "1 - epoch / 99"}, 100),  # negative from step 100 on, which is not used
        ("ExponentialLR", {"gamma": 3.0}, 600),
    ],
)
def test_no_step_is_refused_for_a_rate_that_is_not_used(name: str, fields: Json, steps: int, make: Maker) -> None:
    optimizer = one_group(0.3)
    scheduler = make(optimizer, name, **fields)
    found = stepped(optimizer, scheduler, steps)

    shape = function_of(fields.get("lr_lambda", "3.0 ** epoch"))
    assert found == pytest.approx([0.3 * shape(t) for t in range(steps)], rel=1e-9)


def test_a_rate_that_is_used_is_refused_with_its_step() -> None:
    optimizer = one_group(0.3)
    scheduler = SpecLR(optimizer, {"type": "LambdaLR", "lr_lambda": "1 - epoch / 99"})
    stepped(optimizer, scheduler, 100)

    with pytest.raises(CurveError, match=r"the rate at step 100 would be .*, negative"):
        scheduler.step()


@pytest.mark.parametrize("name", CALLS)
def test_a_rate_in_a_tensor_stays_the_same_tensor(name: str) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    lr, beta1 = torch.tensor(0.3), torch.tensor(0.9)
    optimizer = torch.optim.Adam(
        [parameter], lr=lr, betas=(beta1, torch.tensor(0.999)), capturable=False, foreach=False
    )
    scheduler = SpecLR(optimizer, SCHEDULES[name].example)
    for _ in range(3):
        scheduler.step()
    scheduler.load_state_dict(scheduler.state_dict())

    plain = one_group(float(lr.new_tensor(0.3)))
    expected = SpecLR(plain, SCHEDULES[name].example)
    for _ in range(3):
        expected.step()
    group = optimizer.param_groups[0]
    assert group["lr"] is lr
    assert group["betas"][0] is beta1
    assert float(lr) == pytest.approx(rates(plain)[0], rel=1e-6)


@both_makers
@pytest.mark.parametrize("optimizer_first", [True, False])
@pytest.mark.parametrize("name", IN_TORCH)
def test_a_run_resumes_in_a_script_with_another_rate(name: str, optimizer_first: bool, make: Maker) -> None:
    optimizer = one_group(0.3)
    scheduler = make(optimizer, name, **arguments(name))
    stepped(optimizer, scheduler, 4)
    states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
    expected = stepped(optimizer, scheduler, 5)

    other = one_group(7.0)
    resumed = make(other, name, **arguments(name))
    if optimizer_first:
        other.load_state_dict(states[0])
    resumed.load_state_dict(states[1])
    if not optimizer_first:
        other.load_state_dict(states[0])

    assert stepped(other, resumed, 5) == expected


@pytest.mark.parametrize("name", IN_TORCH)
def test_states_of_older_versions_and_of_torch_load(name: str) -> None:
    optimizer = one_group(0.3)
    scheduler = make_torch(optimizer, name, **arguments(name))
    stepped(optimizer, scheduler, 4)
    saved = copy.deepcopy(optimizer.state_dict())
    states: list[Json] = [{"last_epoch": 4}, copy.deepcopy(scheduler.state_dict())]
    expected = stepped(optimizer, scheduler, 5)

    for state in states:
        other = one_group(7.0)
        resumed = make_spec(other, name, **arguments(name))
        other.load_state_dict(saved)
        resumed.load_state_dict(state)
        assert stepped(other, resumed, 5) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@both_makers
@pytest.mark.parametrize("plateau", [False, True])
def test_two_schedulers_on_one_optimizer_resume(plateau: bool, make: Maker) -> None:
    def run(lr: float) -> tuple[torch.optim.SGD, list[Any]]:
        optimizer = one_group(lr)
        second = (
            lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
            if plateau
            else make(optimizer, "ExponentialLR", gamma=0.5)
        )
        return optimizer, [make(optimizer, "CosineAnnealingLR", T_max=30), second]

    def go(optimizer: torch.optim.SGD, schedulers: list[Any], steps: int) -> list[float]:
        found = []
        for _ in range(steps):
            optimizer.step()
            schedulers[0].step()
            schedulers[1].step(*[1.0] * plateau)
            found.append(rates(optimizer)[0])
        return found

    optimizer, schedulers = run(0.3)
    go(optimizer, schedulers, 5)
    states = copy.deepcopy([each.state_dict() for each in (optimizer, *schedulers)])
    expected = go(optimizer, schedulers, 5)
    other, resumed = run(0.3)
    for each, state in zip((other, *resumed), states, strict=True):
        each.load_state_dict(state)

    assert go(other, resumed, 5) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", CALLS)
def test_a_scheduler_is_copied_and_pickled_with_its_optimizer(name: str) -> None:
    optimizer = one_group(0.3)
    scheduler = SpecLR(optimizer, SCHEDULES[name].example)
    stepped(optimizer, scheduler, 3)
    copied, unpickled = copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))
    expected = stepped(optimizer, scheduler, 3)

    for each in (copied, unpickled):
        assert stepped(each.optimizer, each, 3) == expected


def with_new_group(make: Maker, name: str) -> list[float]:
    optimizer = one_group(0.3)
    scheduler = make(optimizer, name, **arguments(name))
    stepped(optimizer, scheduler, 3)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.02})
    optimizer.param_groups[1]["swa_lr"] = 0.05  # which torch's SWALR looks for there
    stepped(optimizer, scheduler, 4)
    return rates(optimizer)


@pytest.mark.parametrize("name", sorted(SCALING.keys() - {"MultiplicativeLR"}))  # which fails in torch
def test_a_new_parameter_group_is_scaled_with_the_others(name: str) -> None:
    assert with_new_group(make_spec, name) == pytest.approx(with_new_group(make_torch, name), rel=1e-9)


@both_makers
@pytest.mark.parametrize("name", [name for name in IN_TORCH if name not in SCALING])
def test_a_new_parameter_group_without_a_base_rate_is_an_error(name: str, make: Maker) -> None:
    with pytest.raises((ValueError, KeyError), match=r"2 parameter groups, not 1|zip|initial_lr"):
        with_new_group(make, name)


def test_a_schedule_with_a_new_group_is_made_anew() -> None:
    optimizer = one_group(0.3)
    scheduler = SpecLR(optimizer, {"type": "LambdaLR", "lr_lambda": "0.9 ** epoch"})
    stepped(optimizer, scheduler, 3)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.02, "initial_lr": 0.02})
    SpecLR(optimizer, {"type": "LambdaLR", "lr_lambda": "0.9 ** epoch"}, last_epoch=2)

    assert rates(optimizer) == pytest.approx([0.3 * 0.9**3, 0.02 * 0.9**3])


@both_makers
@pytest.mark.parametrize("name", IN_TORCH)
@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
def test_a_whole_number_may_be_a_float(name: str, make: Maker) -> None:
    found = []
    for epoch in (3, 3.0):
        optimizer = one_group(0.3)
        scheduler: Any = make(optimizer, name, **arguments(name))
        optimizer.step()
        scheduler.step(epoch)
        found.append(rates(optimizer))

    assert found[0] == found[1]


@both_makers
def test_warm_restarts_go_on_from_a_fraction(make: Maker) -> None:
    optimizer = one_group(0.3)
    scheduler: Any = make(optimizer, "CosineAnnealingWarmRestarts", T_0=10, T_mult=2)
    scheduler.step(12.25)
    found = [rates(optimizer)[0], *stepped(optimizer, scheduler, 3)[1:], rates(optimizer)[0]]

    assert found == pytest.approx([0.15 * (1 + math.cos(math.pi * (2.25 + i) / 20)) for i in range(4)])


def test_a_fraction_of_a_step_is_refused_elsewhere() -> None:
    with pytest.raises(CurveError, match=r"StepLR has rates at whole steps only, not at 2.5.*batch"):
        SpecLR(one_group(), STEP).step(2.5)


def test_momentum_needs_an_optimizer_that_has_it() -> None:
    optimizer = torch.optim.Adagrad([torch.nn.Parameter(torch.zeros(1))])
    with pytest.raises(
        CurveError, match="OneCycleLR cycles momentum, but Adagrad has none: set cycle_momentum to false"
    ):
        SpecLR(optimizer, ONE_CYCLE)

    SpecLR(optimizer, ONE_CYCLE | {"cycle_momentum": False})


def test_a_run_resumes_with_another_schedule() -> None:
    """A decay from a checkpoint of a constant rate, as WSD is used."""
    optimizer = one_group(0.3)
    scheduler = SpecLR(optimizer, {"type": "Constant"})
    stepped(optimizer, scheduler, 50)

    other = one_group(0.3)
    decay = SpecLR(
        other, {"type": "WSD", "warmup_steps": 0, "stable_steps": 50, "decay_steps": 10, "cooldown": "linear"}
    )
    other.load_state_dict(optimizer.state_dict())
    decay.load_state_dict(scheduler.state_dict())

    assert stepped(other, decay, 3) == pytest.approx([0.3, 0.27, 0.24])


def test_the_parameters_are_attributes_as_in_torch() -> None:
    scheduler: Any = SpecLR(one_group(), {"type": "CosineAnnealingLR", "T_max": 20})

    assert (scheduler.T_max, scheduler.eta_min, scheduler.base_lrs, scheduler.last_epoch) == (20, 0.0, [0.1], 0)
    assert not hasattr(scheduler, "total_steps")  # accelerate takes it for the end
    with pytest.raises(AttributeError, match="no attribute 'gamma'"):
        scheduler.gamma  # noqa: B018
