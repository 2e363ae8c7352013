"""Torch's cases of warnings, errors, states, checkpoints and what a scheduler leaves behind."""

from __future__ import annotations

import copy
import gc
import io
import weakref
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

import pytest
import torch
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, SequentialLR

from tests.parity.torch_harness import Maker, Scheduler, case, no_warning, one_group, refuses, two_groups

ORDER = "how-to-adjust-learning-rate"  # the page that torch's warning names


# The order of optimizer.step() and scheduler.step()


def resumable() -> SGD:
    optimizer = two_groups()
    for group in optimizer.param_groups:
        group["initial_lr"] = 0.01
    return optimizer


def override_step(optimizer: Optimizer) -> None:
    before = optimizer.step
    optimizer.step = MethodType(lambda self, *args: before(*args), optimizer)  # type: ignore[method-assign]


def alternate(first: Any, second: Any) -> None:
    for _ in range(35):
        first.step()
        second.step()


def wrong_order(optimizer_of: Callable[[], SGD], last_epoch: int, overridden: bool, make: Maker) -> None:
    optimizer = optimizer_of()
    with no_warning():
        scheduler = make(optimizer, "StepLR", last_epoch=last_epoch, gamma=0.1, step_size=3)
    if overridden:
        override_step(optimizer)
    with pytest.warns(UserWarning, match=ORDER):
        alternate(scheduler, optimizer)


def right_order(make: Maker) -> None:
    optimizer = two_groups()
    with no_warning():
        scheduler = make(optimizer, "StepLR", gamma=0.1, step_size=3)
        alternate(optimizer, scheduler)


case("test_old_pattern_warning")(partial(wrong_order, two_groups, -1, False))
case("test_old_pattern_warning_with_arg")(partial(wrong_order, two_groups, -1, False))
case("test_old_pattern_warning_resuming")(partial(wrong_order, resumable, 10, False))
case("test_old_pattern_warning_resuming_with_arg")(partial(wrong_order, resumable, 10, False))
case("test_old_pattern_warning_with_overridden_optim_step")(partial(wrong_order, resumable, 10, True))
case("test_new_pattern_no_warning")(right_order)
case("test_new_pattern_no_warning_with_arg")(right_order)


@case("test_new_pattern_no_warning_with_overridden_optim_step")
def _(make: Maker) -> None:
    optimizer = two_groups()
    scheduler = make(optimizer, "StepLR", gamma=0.1, step_size=3)
    override_step(optimizer)
    with pytest.warns(UserWarning, match=r"`optimizer.step\(\)` has been overridden"):
        alternate(optimizer, scheduler)


@case("test_sequentiallr_no_warnings")
def _(make: Maker) -> None:
    optimizer = two_groups()
    first = make(optimizer, "LinearLR", start_factor=0.5, end_factor=0.1, total_iters=5)
    scheduler = SequentialLR(optimizer, [first, make(optimizer, "ExponentialLR", gamma=0.9)], [5])
    with no_warning():
        for _ in range(10):
            optimizer.step()
            scheduler.step()


# Errors


@case("test_raise_error_when_last_epoch_is_greater_than_0_and_initial_lr_is_not_specified")
def _(make: Maker) -> None:
    expected = r"param 'initial_lr' is not specified in param_groups\[0\] when resuming scheduler with last_epoch >= 0"
    with pytest.raises(KeyError, match=expected):
        make(one_group(), "StepLR", last_epoch=1, step_size=3, gamma=0.1)


@case("test_linearlr_start_factor_limits1")
def _(make: Maker) -> None:
    refuses("(?i)start", lambda: make(two_groups(), "LinearLR", start_factor=0.0, total_iters=4))


@case("test_linearlr_start_factor_limits2")
def _(make: Maker) -> None:
    refuses("(?i)start", lambda: make(two_groups(), "LinearLR", start_factor=1.1, total_iters=4))


# No cycles of references: memory comes back without the collector


def without_collector(name: str, fields: dict[str, Any], steps: int, make: Maker) -> None:
    def used() -> weakref.ref[Scheduler]:
        parameter = torch.zeros(1, requires_grad=True)
        optimizer = Adam([parameter])
        scheduler = make(optimizer, name, **fields)
        for _ in range(steps):
            parameter.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
        return weakref.ref(scheduler)

    gc.disable()
    try:
        assert used()() is None
    finally:
        gc.enable()


case("test_no_cyclic_references_in_step")(partial(without_collector, "LambdaLR", {"lr_lambda": "1.0"}, 1))
case("test_cycle_lr_removed_after_out_of_scope")(
    partial(without_collector, "CyclicLR", {"base_lr": 1, "max_lr": 5, "cycle_momentum": False}, 0)
)


@case("test_no_cyclic_references")
def _(make: Maker) -> None:
    optimizer = one_group(0.5)
    scheduler = make(optimizer, "LambdaLR", lr_lambda="1.0")
    gone = weakref.ref(optimizer)
    gc.collect()
    gc.disable()
    try:
        del scheduler
        assert gc.get_referrers(optimizer) == []
        del optimizer
        assert gone() is None
    finally:
        gc.enable()


# A state takes the place of a scheduler that was made otherwise


def takes_place(one: dict[str, Any], other: dict[str, Any], name: str, make: Maker) -> None:
    optimizer, second = two_groups(), two_groups()
    scheduler, copied = make(optimizer, name, **one), make(second, name, **other)
    for _ in range(10):
        optimizer.step()
        scheduler.step()
    copied.load_state_dict(scheduler.state_dict())
    assert copied.get_last_lr() == scheduler.get_last_lr()
    second.load_state_dict(optimizer.state_dict())
    for _ in range(10):
        scheduler.step()
        copied.step()
        assert copied.get_last_lr() == scheduler.get_last_lr()


STATES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "test_step_lr_state_dict": ({"gamma": 0.1, "step_size": 3}, {"gamma": 0.005, "step_size": 1}, "StepLR"),
    "test_multi_step_lr_state_dict": (
        {"gamma": 0.1, "milestones": [2, 5, 19]}, {"gamma": 0.01, "milestones": [1, 4, 16]}, "MultiStepLR"
    ),
    "test_exp_step_lr_state_dict": ({"gamma": 0.1}, {"gamma": 0.01}, "ExponentialLR"),
    "test_cosine_lr_state_dict": (
        {"T_max": 30, "eta_min": 1e-10}, {"T_max": 25, "eta_min": 1e-10 / 2}, "CosineAnnealingLR"
    ),
    "test_CosineAnnealingWarmRestarts_lr_state_dict": (
        {"T_0": 10, "T_mult": 2}, {"T_0": 100}, "CosineAnnealingWarmRestarts"
    ),
    "test_swa_lr_state_dict": (
        {"anneal_epochs": 13, "swa_lr": 0.5}, {"anneal_epochs": 15, "anneal_strategy": "linear", "swa_lr": 5.0}, "SWALR"
    ),
}  # fmt: skip
for _name, _both in STATES.items():
    case(_name)(partial(takes_place, *_both))


# States on disk, new schedulers on an optimizer that was loaded, and rates in a Tensor that its owner changes

Named = tuple[str, dict[str, Any]]
SIMPLE: list[Named] = [
    ("LambdaLR", {"lr_lambda": "epoch // 10"}),
    ("MultiplicativeLR", {"lr_lambda": "0.95"}),
    ("StepLR", {"step_size": 30}),
    ("MultiStepLR", {"milestones": [30, 80]}),
    ("ConstantLR", {}),
    ("LinearLR", {}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("PolynomialLR", {}),
    ("CosineAnnealingLR", {"T_max": 10}),
]
RESTARTS: Named = ("CosineAnnealingWarmRestarts", {"T_0": 20})
CYCLIC: Named = ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1})
ONE_CYCLE: Named = ("OneCycleLR", {"max_lr": 0.01, "total_steps": 10, "anneal_strategy": "linear"})
SWA: Named = ("SWALR", {"swa_lr": 0.01})


def in_torch_class(which: str, optimizer: Optimizer, make: Maker) -> Any:
    parts = [make(optimizer, "ConstantLR") for _ in range(2)]
    return ChainedScheduler(parts) if which == "ChainedScheduler" else SequentialLR(optimizer, parts, [2])


# In the order of torch's list, where ReduceLROnPlateau is at 11
SAVED: dict[int, Named] = dict(enumerate(SIMPLE)) | {
    9: ("ChainedScheduler", {}),
    10: ("SequentialLR", {}),
    12: CYCLIC,
    13: ONE_CYCLE,
    14: RESTARTS,
    15: SWA,
}


def saved(named: Named, weights_only: bool, make: Maker) -> None:
    optimizer = two_groups()
    name, fields = named

    def made() -> Any:
        around = name in ("ChainedScheduler", "SequentialLR")
        return in_torch_class(name, optimizer, make) if around else make(optimizer, name, **fields)

    state, file = made().state_dict(), io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=weights_only)
    assert loaded == state
    other = made()
    other.load_state_dict(loaded)
    assert other.state_dict() == state


for _index, _named in SAVED.items():
    for _weights_only in (True, False):
        _name = f"test_lr_scheduler_state_dict_load_LRClass{_index}_weights_only_{_weights_only}"
        case(_name)(partial(saved, _named, _weights_only))


def constant_initial(named: Named, make: Maker) -> None:
    lr = torch.as_tensor(0.1)
    optimizer = one_group(lr)
    scheduler = make(optimizer, named[0], **named[1])
    before = copy.deepcopy(optimizer.param_groups[0]["initial_lr"])
    for epoch in range(2):
        optimizer.step()
        scheduler.step(epoch)
        lr.multiply_(0.1)
        assert optimizer.param_groups[0]["initial_lr"] == before
        assert list(map(float, scheduler.base_lrs)) == pytest.approx([0.1])
        assert scheduler.base_lrs[0] is not optimizer.param_groups[0]["initial_lr"]


for _index, _named in enumerate([*SIMPLE, RESTARTS]):
    case(f"test_constant_initial_lr_LRClass{_index}")(partial(constant_initial, _named))


def checkpoint(named: Named, make: Maker) -> None:
    parameters = list(torch.nn.Linear(3, 3).parameters())
    optimizer, second = AdamW(parameters), AdamW(parameters)
    scheduler = make(optimizer, named[0], **named[1])
    optimizer.step()
    scheduler.step()
    second.load_state_dict(optimizer.state_dict())
    assert make(second, named[0], last_epoch=0, **named[1]).get_last_lr() == [optimizer.param_groups[0]["lr"]]


CHECKPOINTS: list[Named] = [
    ("ExponentialLR", {"gamma": 0.999}),
    ("LambdaLR", {"lr_lambda": "epoch // 30"}),
    *SIMPLE[1:6],
    ("PolynomialLR", {}),
    ("CosineAnnealingLR", {"T_max": 10}),
    RESTARTS,
    CYCLIC,
    ("OneCycleLR", {"max_lr": 0.01, "total_steps": 10}),
    SWA,
]
for _index, _named in enumerate(CHECKPOINTS):
    case(f"test_lr_scheduler_checkpoint_LRClass{_index}")(partial(checkpoint, _named))
