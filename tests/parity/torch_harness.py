"""What the cases of torch's scheduler tests are written with: makers of schedulers, and a registry of cases.

A case has the name that it has in torch's test/optim/test_lrscheduler.py and is written anew. It gets a maker, which
makes a scheduler from the name and the arguments of torch's class: an instance of that class, or a SpecLR.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.optim import Optimizer, lr_scheduler, swa_utils

from lrcore.torch_lr import SpecLR

Scheduler = lr_scheduler.LRScheduler
Maker = Callable[..., Scheduler]
Case = Callable[[Maker], None]
Factor = Callable[[float], float]

CASES: dict[str, Case] = {}


def torch_class(name: str) -> Any:
    return swa_utils.SWALR if name == "SWALR" else getattr(lr_scheduler, name)


def function_of(text: str) -> Factor:
    found: Factor = eval(f"lambda epoch: {text}")  # texts of this package alone
    return found


def make_torch(optimizer: Optimizer, name: str, /, last_epoch: int = -1, **arguments: Any) -> Scheduler:
    """An instance of torch's class. Its lambdas are given as text, as a spec has them."""
    if "lr_lambda" in arguments:
        found = arguments["lr_lambda"]
        arguments["lr_lambda"] = function_of(found) if isinstance(found, str) else list(map(function_of, found))
    made: Scheduler = torch_class(name)(optimizer, last_epoch=last_epoch, **arguments)
    return made


def make_spec(optimizer: Optimizer, name: str, /, last_epoch: int = -1, **arguments: Any) -> Scheduler:
    return SpecLR(optimizer, {"type": name, **arguments}, last_epoch=last_epoch)


MAKERS: dict[str, Maker] = {"torch": make_torch, "SpecLR": make_spec}


def case(name: str) -> Callable[[Case], Case]:
    """Register a case under its name in torch's tests."""

    def register(function: Case) -> Case:
        assert name not in CASES, name
        CASES[name] = function
        return function

    return register


def parameter() -> Any:
    return torch.nn.Parameter(torch.zeros(1))


def two_groups() -> torch.optim.SGD:
    """Torch's own optimizer for these tests: a plain rate, and one in a Tensor."""
    return torch.optim.SGD([{"params": [parameter()]}, {"params": [parameter()], "lr": torch.tensor(0.5)}], lr=0.05)


def two_groups_of_adam() -> torch.optim.Adam:
    return torch.optim.Adam([{"params": [parameter()]}, {"params": [parameter()], "lr": 0.5}], lr=0.05)


def one_group(lr: Any = 0.1) -> torch.optim.SGD:
    return torch.optim.SGD([parameter()], lr=lr)


def rates(optimizer: Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def assert_near(found: Sequence[float], expected: Sequence[float], what: object = None) -> None:
    """Within the tolerance of torch's tests."""
    assert list(map(float, found)) == pytest.approx(list(map(float, expected)), abs=1e-5, rel=0), what


def assert_follows(optimizer: Optimizer, schedulers: Sequence[Any], factor: Factor, epochs: int) -> None:
    """In epoch t every group has its first rate times factor(t)."""
    for epoch in range(epochs):
        assert_near(rates(optimizer), [0.05 * factor(epoch), 0.5 * factor(epoch)], epoch)
        for scheduler in schedulers:
            scheduler.step()


@contextmanager
def no_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@contextmanager
def one_deprecation() -> Iterator[None]:
    """`step(epoch)` warns once, in torch's words."""
    with pytest.warns(UserWarning, match="epoch parameter") as seen:
        yield
    assert [warning.message.args[0] for warning in seen] == [lr_scheduler.EPOCH_DEPRECATION_WARNING]  # type: ignore[union-attr]


def refuses(field: str, make: Callable[[], object]) -> None:
    """A ValueError that names the argument, in whatever words."""
    with pytest.raises(ValueError, match=field):
        make()
