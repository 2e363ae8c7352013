"""Torch's cases of CyclicLR, OneCycleLR, CosineAnnealingWarmRestarts and SWALR."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch.optim import Adam, Optimizer, Rprop

from tests.parity.torch_harness import (
    Factor,
    Maker,
    assert_near,
    case,
    rates,
    refuses,
    two_groups,
    two_groups_of_adam,
)

Curves = list[Factor]  # one per parameter group


def assert_cycles(optimizer: Optimizer, scheduler: Any, lr: Curves, momentum: Curves | None, steps: int) -> None:
    for step in range(steps):
        assert_near(rates(optimizer), [curve(step) for curve in lr], step)
        if momentum is not None:
            found = [group["betas"][0] if "betas" in group else group["momentum"] for group in optimizer.param_groups]
            assert_near(found, [curve(step) for curve in momentum], step)
        optimizer.step()
        scheduler.step()


def cycle(start: float, middle: float, up: int, down: int, scale: Callable[[int, int], float]) -> Factor:
    """A triangle from `start` to `middle` and back; scale(cycle, step) is its height."""

    def value(t: float) -> float:
        number, place = divmod(int(t), up + down)
        share = place / up if place <= up else (up + down - place) / down
        return start + (middle - start) * share * scale(number, int(t))

    return value


SCALES: dict[str, Callable[[int, int], float]] = {
    "triangular": lambda number, step: 1.0,
    "triangular2": lambda number, step: 0.5**number,
    "exp_range": lambda number, step: 0.9**step,
}

# mode, both ends of each group, steps up and down
CYCLES: dict[str, tuple[str, list[tuple[float, float]], int, int]] = {
    "test_cycle_lr_triangular_mode_one_lr": ("triangular", [(1, 5)], 4, 4),
    "test_cycle_lr_triangular2_mode_one_lr": ("triangular2", [(1, 5)], 4, 4),
    "test_cycle_lr_exp_range_mode_one_lr": ("exp_range", [(1, 5)], 4, 4),
    "test_cycle_lr_triangular_mode": ("triangular", [(1, 5), (2, 6)], 4, 4),
    "test_cycle_lr_triangular2_mode": ("triangular2", [(1, 5), (3, 7)], 4, 4),
    "test_cycle_lr_exp_range_mode": ("exp_range", [(1, 5), (5, 12)], 4, 4),
    "test_cycle_lr_triangular_mode_step_size_up_down": ("triangular", [(1, 5)], 4, 6),
    "test_cycle_lr_triangular2_mode_step_size_up_down": ("triangular2", [(1, 5), (3, 7)], 2, 6),
    "test_cycle_lr_exp_range_mode_step_size_up_down": ("exp_range", [(1, 5)], 2, 6),
}


def cycles(mode: str, ends: list[tuple[float, float]], up: int, down: int, make: Maker) -> None:
    optimizer = two_groups()
    low, high = (ends[0] if len(ends) == 1 else tuple(map(list, zip(*ends, strict=True))))  # fmt: skip
    scheduler = make(
        optimizer, "CyclicLR", base_lr=low, max_lr=high, base_momentum=low, max_momentum=high,
        step_size_up=up, step_size_down=down, mode=mode, gamma=0.9,
    )  # fmt: skip
    both = ends * 2 if len(ends) == 1 else ends
    scale = SCALES[mode]
    lr = [cycle(first, peak, up, down, scale) for first, peak in both]
    momentum = [cycle(peak, first, up, down, scale) for first, peak in both]
    assert_cycles(optimizer, scheduler, lr, momentum, 24)


for _name, _setting in CYCLES.items():
    case(_name)(partial(cycles, *_setting))


def no_momentum(optimizer_of: Callable[[], Optimizer], make: Maker) -> None:
    optimizer = optimizer_of()
    before = [group.get("momentum", group.get("betas")) for group in optimizer.param_groups]
    scheduler = make(optimizer, "CyclicLR", base_lr=1, max_lr=5, step_size_up=4, cycle_momentum=False)
    assert_cycles(optimizer, scheduler, [cycle(1, 5, 4, 4, SCALES["triangular"])] * 2, None, 11)
    assert [group.get("momentum", group.get("betas")) for group in optimizer.param_groups] == before


case("test_cycle_lr_triangular_mode_one_lr_no_momentum")(partial(no_momentum, two_groups))
case("test_cycle_lr_with_momentumless_optimizer")(partial(no_momentum, two_groups_of_adam))


@case("test_cycle_lr_invalid_mode")
def _(make: Maker) -> None:
    refuses("mode", lambda: make(two_groups(), "CyclicLR", base_lr=0, max_lr=0, mode="CATS"))


@case("test_cycle_lr_cycle_momentum_fail_with_momentumless_optimizer")
def _(make: Maker) -> None:
    optimizer = Rprop([torch.zeros(1)])
    refuses("momentum", lambda: make(optimizer, "CyclicLR", base_lr=1, max_lr=5, cycle_momentum=True))


@case("test_cycle_lr_cycle_momentum_with_beta1_optimizer")
def _(make: Maker) -> None:
    make(Adam([torch.zeros(1)]), "CyclicLR", base_lr=1, max_lr=5, cycle_momentum=True)


@case("test_cosine_then_cyclic")
def _(make: Maker) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    falling: Any = make(optimizer, "CosineAnnealingLR", T_max=20, eta_min=0.1)
    cycling = make(optimizer, "CyclicLR", base_lr=0.1, max_lr=0.3, step_size_up=1, step_size_down=3)
    for step in range(40):
        optimizer.step()
        (falling if step <= falling.T_max else cycling).step()
    assert optimizer.param_groups[0]["lr"] <= 0.3


# OneCycleLR


def phases(knots: Sequence[float], values: Sequence[float], shape: Callable[[float], float]) -> Factor:
    """Through `values` at `knots`; shape(u) is the share of the way, from 0 to 1."""

    def value(t: float) -> float:
        i = max(bisect_left(knots, t), 1)
        (begin, end), (start, stop) = list(pairwise(knots))[i - 1], list(pairwise(values))[i - 1]
        return start + (stop - start) * shape((t - begin) / (end - begin))

    return value


STRAIGHT: Factor = lambda u: u  # noqa: E731
WAVE: Factor = lambda u: (1 - math.cos(math.pi * u)) / 2  # noqa: E731
ONE_CYCLE = {"max_lr": 25, "final_div_factor": 2, "base_momentum": 1, "max_momentum": 22, "total_steps": 10}
THREE = ONE_CYCLE | {"final_div_factor": 4, "div_factor": 25, "pct_start": 0.4, "three_phase": True}


def one_cycle(optimizer_of: Callable[[], Optimizer], fields: dict[str, Any], shape: Factor, make: Maker) -> None:
    optimizer = optimizer_of()
    scheduler = make(optimizer, "OneCycleLR", **fields)
    if "three_phase" in fields:
        knots, lr, momentum = [0, 3, 6, 9], [1, 25, 1, 0.25], [22, 1, 22, 22]
    else:
        knots, lr, momentum = [0, 2, 9], [1, 25, 0.5], [22, 1, 22]
    assert_cycles(optimizer, scheduler, [phases(knots, lr, shape)] * 2, [phases(knots, momentum, shape)] * 2, 10)


LINEARLY = {"anneal_strategy": "linear"}
case("test_onecycle_lr_linear_annealing")(partial(one_cycle, two_groups, ONE_CYCLE | LINEARLY, STRAIGHT))
case("test_onecycle_lr_linear_annealing_three_phases")(partial(one_cycle, two_groups, THREE | LINEARLY, STRAIGHT))
case("test_onecycle_lr_cosine_annealing")(partial(one_cycle, two_groups, ONE_CYCLE, WAVE))
case("test_cycle_lr_with_adam")(partial(one_cycle, two_groups_of_adam, ONE_CYCLE | LINEARLY, STRAIGHT))


@case("test_onecycle_lr_invalid_anneal_strategy")
def _(make: Maker) -> None:
    refuses(
        "anneal_strategy", lambda: make(two_groups(), "OneCycleLR", max_lr=1e-3, total_steps=10, anneal_strategy="CATS")
    )


@case("test_onecycle_lr_invalid_pct_start")
def _(make: Maker) -> None:
    refuses("pct_start", lambda: make(two_groups(), "OneCycleLR", max_lr=1e-3, total_steps=10, pct_start=1.1))


@case("test_onecycle_lr_cannot_calculate_total_steps")
def _(make: Maker) -> None:
    refuses("total_steps", lambda: make(two_groups(), "OneCycleLR", max_lr=1e-3))


# CosineAnnealingWarmRestarts


def restarts(first: int, factor: int) -> Factor:
    """The share of the height, by restarts counted one after another."""

    def value(t: float) -> float:
        length, left = first, t
        while left >= length:
            left, length = left - length, length * factor
        return (1 + math.cos(math.pi * left / length)) / 2

    return value


def asked(factor: int, epochs: list[float], make: Maker) -> None:
    """By step(epoch), in any order and at fractions."""
    optimizer, share = two_groups(), restarts(10, factor)
    scheduler: Any = make(optimizer, "CosineAnnealingWarmRestarts", T_0=10, T_mult=factor, eta_min=1e-10)
    for epoch in epochs:
        scheduler.step(epoch)
        assert_near(rates(optimizer), [0.05 * share(epoch), 0.5 * share(epoch)], epoch)


def stepped(factor: int, make: Maker) -> None:
    optimizer, share = two_groups(), restarts(10, factor)
    scheduler = make(optimizer, "CosineAnnealingWarmRestarts", T_0=10, T_mult=factor, eta_min=1e-10)
    for epoch in range(100):
        assert_near(rates(optimizer), [0.05 * share(epoch), 0.5 * share(epoch)], epoch)
        scheduler.step()


for _factor in (1, 2, 4):
    case(f"test_CosineAnnealingWarmRestarts_lr1_T_mult_{_factor}")(partial(stepped, _factor))


@case("test_CosineAnnealingWarmRestarts_lr2")
def _(make: Maker) -> None:
    for factor in (1, 2, 4):
        asked(factor, [round(0.1 * i, 1) for i in range(300)], make)


@case("test_CosineAnnealingWarmRestarts_lr3")
def _(make: Maker) -> None:
    asked(1, [0, 1, 2, 3, 4, 5, 12, 27, 3, 4, 5, 6, 13], make)
    asked(2, [0, 1, 2, 3, 4, 5, 25, 32, 33, 34, 80, 81, 3], make)
    asked(3, [0, 0.1, 0.2, 0.3, 1.3, 2.3, 17.5, 18.5, 19.5, 29.5, 30.5, 31.5, 50], make)


# SWALR, from the sixth epoch on


def averaging(before: float | None, swa: float | list[float], length: int, shape: Factor, make: Maker) -> None:
    """After a MultiplicativeLR by `before`, or after nothing."""
    optimizer = two_groups()
    start = 5
    fields = {"anneal_strategy": "linear"} if shape is STRAIGHT else {}
    first = None if before is None else make(optimizer, "MultiplicativeLR", lr_lambda=str(before))
    anneal = make(optimizer, "SWALR", swa_lr=swa, anneal_epochs=length, **fields)
    ends = swa if isinstance(swa, list) else [swa, swa]
    for epoch in range(15):
        done = min(1.0, max(0, epoch - start) / length)
        reached = [base * (before or 1) ** min(epoch, start) for base in (0.05, 0.5)]
        assert_near(
            rates(optimizer), [lr + (end - lr) * shape(done) for lr, end in zip(reached, ends, strict=True)], epoch
        )
        optimizer.step()
        if epoch >= start:
            anneal.step()
        elif first is not None:
            first.step()


case("test_swalr_no_anneal")(partial(averaging, None, 0.01, 1, WAVE))
case("test_swalr_cosine_anneal_after_multiplicative")(partial(averaging, 0.9, 0.01, 5, WAVE))
case("test_swalr_linear_anneal_after_multiplicative")(partial(averaging, 0.9, [0.01, 0.02], 4, STRAIGHT))


@case("test_swalr_hypers")
def _(make: Maker) -> None:
    optimizer = two_groups()
    refuses("anneal_strategy", lambda: make(optimizer, "SWALR", anneal_strategy="exponential", swa_lr=1.0))
    refuses("anneal_epochs", lambda: make(optimizer, "SWALR", anneal_epochs=-1, swa_lr=1.0))
    refuses("anneal_epochs", lambda: make(optimizer, "SWALR", anneal_epochs=1.7, swa_lr=1.0))
    refuses("swa_lr", lambda: make(optimizer, "SWALR", swa_lr=[1.0, 0.1, 0.01]))
