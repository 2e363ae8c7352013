from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.optim import lr_scheduler, swa_utils

from lrcore.schedules import SCHEDULES, Rates, Schedule
from lrcore.schedules.plateau import ReduceLROnPlateau
from tests.lrcore.strategies import (
    CALLS,
    Json,
    Limits,
    horizon,
    is_composite,
    laws,
    momentum,
    parse,
    rates,
    specs,
    without_last_epoch,
)

Reference = tuple[str, dict[str, Any]]

TORCH: dict[str, type[lr_scheduler.LRScheduler]] = {
    name: cls
    for name, cls in vars(lr_scheduler).items()
    if inspect.isclass(cls)
    and issubclass(cls, lr_scheduler.LRScheduler)
    and cls is not lr_scheduler.LRScheduler
    and not name.startswith("_")
} | {"SWALR": swa_utils.SWALR}

IN_TORCH = [name for name, cls in CALLS.items() if parse(cls.example).torch_reference() is not None]
RESUMABLE = [
    name
    for name in IN_TORCH
    if "last_epoch" in SCHEDULES[name].model_fields
    and name != "SequentialLR"  # torch's does not resume from last_epoch
    and name != "SWALR"  # torch's anneal starts over, whatever last_epoch is
]
REAPPLIES = {
    "ConstantLR",
    "MultiStepLR",
    "StepLR",
}  # torch's constructor takes the step's factor from the rate before it
MULTIPLYING = {
    "ConstantLR",
    "ExponentialLR",
    "LinearLR",
    "MultiplicativeLR",
    "MultiStepLR",
    "PolynomialLR",
    "StepLR",
}

PARTS = {  # what torch can compose
    "ChainedScheduler": (*sorted(MULTIPLYING), "ChainedScheduler"),
    "SequentialLR": tuple(n for n in IN_TORCH if not is_composite(CALLS[n]) and n not in ("CyclicLR", "OneCycleLR")),
}

base_rates = st.lists(st.floats(-4, 0).map(lambda power: float(10**power)), min_size=1, max_size=2)
metric_series = st.lists(
    st.sampled_from([1.0, 0.99, 0.9, 0.5, 0.1, 0.0, -0.5, -1.0, math.nan]) | st.floats(-2, 2), min_size=1, max_size=60
)


def test_every_scheduler_class_of_torch_was_found() -> None:
    assert set(TORCH) >= {"LambdaLR", "MultiplicativeLR", "ReduceLROnPlateau", "OneCycleLR", "SequentialLR", "SWALR"}
    assert len(TORCH) >= 16


@pytest.mark.parametrize("name", TORCH)
def test_a_scheduler_of_torch_is_a_schedule_of_the_same_name(name: str) -> None:
    assert name in SCHEDULES


@pytest.mark.parametrize("name", TORCH)
def test_every_argument_of_a_torch_scheduler_is_a_field(name: str) -> None:
    arguments = set(inspect.signature(TORCH[name]).parameters) - {"optimizer"}

    assert arguments <= set(SCHEDULES[name].model_fields)


@pytest.mark.parametrize("name", TORCH)
def test_a_field_left_out_is_what_torch_takes_for_it(name: str) -> None:
    signature = inspect.signature(TORCH[name])
    expected = {n: p.default for n, p in signature.parameters.items() if n != "optimizer" and p.default is not p.empty}

    assert {n: SCHEDULES[name].model_fields[n].get_default() for n in expected} == expected


@pytest.mark.parametrize("name", TORCH)
def test_a_torch_scheduler_is_its_own_reference(name: str) -> None:
    reference = parse(SCHEDULES[name].example).torch_reference()

    assert reference is not None
    assert reference[0] == name


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", IN_TORCH)
@laws(100)
@given(data=st.data(), base_lrs=base_rates)
def test_the_curve_is_what_torch_steps_through(name: str, data: st.DataObject, base_lrs: list[float]) -> None:
    drawn = specs(SCHEDULES[name]) | specs(SCHEDULES[name], Limits(parts=PARTS.get(name, tuple(CALLS))))
    schedule = parse(without_last_epoch(data.draw(drawn)))
    reference = schedule.torch_reference()
    assume(reference is not None and torch_means_the_same(reference))
    t = horizon(schedule)

    lr, cycled = stepped(reference, base_lrs, len(t))

    for group, base_lr in enumerate(base_lrs):
        assert_close(rates(schedule, t, base_lr, group), lr[group])
        assert_momentum(momentum(schedule, t, group), cycled[group])


@pytest.mark.parametrize("name", RESUMABLE)
@laws(100)
@given(data=st.data(), base_lrs=base_rates, k=st.integers(1, 60))
def test_last_epoch_goes_on_where_torch_does(name: str, data: st.DataObject, base_lrs: list[float], k: int) -> None:
    spec = without_last_epoch(data.draw(specs(SCHEDULES[name])))
    plain, resumed = parse(spec), parse(spec | {"last_epoch": k - 1})
    t = horizon(resumed, 40)
    assume(len(t) > 0 and torch_means_the_same(expect(plain)))
    if name == "CosineAnnealingWarmRestarts":  # torch takes off the length of one cycle, however many have passed
        assume(plain.T_mult == 1 or k < 2 * plain.T_0)  # type: ignore[attr-defined]
    optimizer = sgd(base_lrs)
    before, _ = walked(build(expect(plain), optimizer), optimizer, k if name in REAPPLIES else k + 1)

    lr, cycled = walked(build(expect(resumed), optimizer), optimizer, len(t))

    for group, base_lr in enumerate(base_lrs):
        assert_close(rates(resumed, t, base_lr, group), lr[group], largest=before[group].max())
        assert_momentum(momentum(resumed, t, group), cycled[group])


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "LambdaLR", "lr_lambda": ["0.95 ** epoch", "1 / (epoch + 1)"]},
        {"type": "MultiplicativeLR", "lr_lambda": ["0.95", "1 - 1 / (epoch + 10)"]},
        {"type": "SWALR", "swa_lr": [0.05, 0.2], "anneal_epochs": 7},
        {"type": "CyclicLR", "base_lr": [0.01, 0.02], "max_lr": 0.1, "step_size_up": 4, "step_size_down": 3},
        {"type": "CyclicLR", "base_lr": 0.01, "max_lr": [0.1, 0.4], "step_size_up": 4, "base_momentum": [0.7, 0.8]},
        {"type": "OneCycleLR", "max_lr": [0.1, 0.4], "total_steps": 33},
        {
            "type": "OneCycleLR",
            "max_lr": 0.1,
            "total_steps": 33,
            "base_momentum": [0.8, 0.7],
            "max_momentum": [0.9, 0.95],
        },
    ],
    ids=lambda spec: spec["type"],
)
def test_one_value_a_parameter_group_means_what_it_does_in_torch(spec: Json) -> None:
    schedule, base_lrs = parse(spec), [0.1, 0.03]
    t = horizon(schedule, 60)

    lr, cycled = stepped(expect(schedule), base_lrs, len(t))

    for group, base_lr in enumerate(base_lrs):
        assert_close(rates(schedule, t, base_lr, group), lr[group])
        assert_momentum(momentum(schedule, t, group), cycled[group])


@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
@pytest.mark.parametrize("mode", ["min", "max"])
@laws(100)
@given(data=st.data(), base_lrs=base_rates, metrics=metric_series)
def test_a_plateau_cuts_the_rate_when_torch_does(
    mode: str, threshold_mode: str, data: st.DataObject, base_lrs: list[float], metrics: list[float]
) -> None:
    drawn = data.draw(specs(ReduceLROnPlateau))
    drawn.pop("initial_lr", None)  # torch has only the optimizer's
    schedule = ReduceLROnPlateau.model_validate(drawn | {"mode": mode, "threshold_mode": threshold_mode})

    assert_close(schedule.follow(base_lrs, metrics), torch_plateau(schedule, base_lrs, metrics))


def test_a_plateau_has_one_floor_a_parameter_group_as_in_torch() -> None:
    schedule = ReduceLROnPlateau.model_validate({"type": "ReduceLROnPlateau", "patience": 1, "min_lr": [0.01, 1e-4]})
    base_lrs, metrics = [0.1, 0.03], [1.0] * 20

    assert_close(schedule.follow(base_lrs, metrics), torch_plateau(schedule, base_lrs, metrics))


def torch_means_the_same(reference: Reference) -> bool:
    """Whether torch does what its class says: it is known to stop, or to lose the rate, in the other cases."""
    name, arguments = reference
    parts: list[Reference] = arguments.get("schedulers", [])
    first, later = {part[0] for part in parts[:1]}, {part[0] for part in parts[1:]}
    match name:
        case "ConstantLR" if arguments["factor"] == 0:
            return False  # divides by the factor when it ends
        case "SequentialLR" if (first | later) & {"SequentialLR", "ChainedScheduler"}:
            return False  # skips a step of a first part that has parts, and cannot start a later one
        case "SequentialLR" if (first | later) & {"CyclicLR", "OneCycleLR"}:
            return False  # they change the base rate of the other parts
        case "SequentialLR" if later & {"MultiplicativeLR", "SWALR"}:
            return False  # go on from the rate before them, not from the base rate
        case "ChainedScheduler" if later and not all(multiplies(part) for part in parts):
            return False  # the others overwrite the rate, or add to it
    return all(torch_means_the_same(part) for part in parts)


def multiplies(reference: Reference) -> bool:
    name, arguments = reference
    return name in MULTIPLYING or (name == "ChainedScheduler" and all(multiplies(p) for p in arguments["schedulers"]))


def expect(schedule: Schedule) -> Reference:
    reference = schedule.torch_reference()
    assert reference is not None
    return reference


def sgd(base_lrs: list[float]) -> torch.optim.SGD:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in base_lrs])


def build(reference: Reference, optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler:
    name, arguments = reference
    arguments = {key: argument(key, value, optimizer) for key, value in arguments.items()}
    return (
        TORCH[name](arguments.pop("schedulers"), **arguments)
        if name == "ChainedScheduler"
        else TORCH[name](optimizer, **arguments)
    )


def argument(name: str, value: Any, optimizer: torch.optim.Optimizer) -> Any:
    if name == "schedulers":
        return [build(part, optimizer) for part in value]
    if name in ("lr_lambda", "scale_fn"):
        return [function(text) for text in value] if isinstance(value, list | tuple) else function(value)
    return value


def function(source: object) -> Callable[[float], float]:
    """The same text as Python reads it."""
    code = compile(str(getattr(source, "source", source)), "<expression>", "eval")
    names = {name: getattr(math, name) for name in ("ceil", "cos", "e", "exp", "floor", "log", "pi", "sin", "sqrt")}
    names |= {"abs": abs, "max": max, "min": min, "where": lambda test, then, otherwise: then if test else otherwise}
    return lambda t: float(eval(code, {"__builtins__": {}}, names | {"epoch": t, "step": t, "x": t}))


def stepped(reference: Reference | None, base_lrs: list[float], n: int) -> tuple[Rates, Rates]:
    """Rate and momentum of each group before each of `n` calls of step, shape (groups, n)."""
    assert reference is not None
    optimizer = sgd(base_lrs)
    return walked(build(reference, optimizer), optimizer, n)


def walked(scheduler: lr_scheduler.LRScheduler, optimizer: torch.optim.Optimizer, n: int) -> tuple[Rates, Rates]:
    rows = []
    for i in range(n):
        rows.append([(group["lr"], group["momentum"]) for group in optimizer.param_groups])
        if i < n - 1:
            scheduler.step()
    lr, cycled = np.array(rows, dtype=np.float64).transpose(2, 1, 0)
    return lr, cycled


def torch_plateau(schedule: ReduceLROnPlateau, base_lrs: list[float], metrics: list[float]) -> Rates:
    optimizer = sgd(base_lrs)
    _, arguments = schedule.torch_reference()
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, **arguments)  # type: ignore[arg-type]
    rows = [list(base_lrs)]
    for metric in metrics:
        scheduler.step(metric)
        rows.append([group["lr"] for group in optimizer.param_groups])
    return np.array(rows, dtype=np.float64).T


def assert_close(actual: Rates, expected: Rates, largest: float = 0.0) -> None:
    """Equal to 12 digits, but for 1e-12 of the curve's largest rate: torch's recursion loses digits near zero."""
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12 * max(largest, np.abs(expected).max()))


def assert_momentum(actual: Rates | None, expected: Rates) -> None:
    assert_close(np.zeros(expected.shape) if actual is None else actual, expected)
