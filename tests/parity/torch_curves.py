"""Torch's cases that compare rates and momenta with a formula."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch.optim.lr_scheduler import ChainedScheduler, ReduceLROnPlateau, SequentialLR

from tests.parity.torch_harness import (
    Factor,
    Maker,
    assert_follows,
    assert_near,
    case,
    one_deprecation,
    one_group,
    rates,
    two_groups,
)

Named = tuple[str, dict[str, Any]]


def product(*factors: Factor) -> Factor:
    return lambda t: math.prod(factor(t) for factor in factors)


def steps(length: int) -> Factor:
    return lambda t: 0.1 ** (t // length)


def milestones(*edges: int) -> Factor:
    return lambda t: 0.1 ** sum(edge <= t for edge in edges)


def exponential(gamma: float) -> Factor:
    return lambda t: gamma**t


def constant(factor: float, length: int) -> Factor:
    return lambda t: factor if t < length else 1.0


def linear(start: float, end: float, length: int) -> Factor:
    return lambda t: start + (end - start) * min(t, length) / length


def polynomial(power: float, length: int) -> Factor:
    return lambda t: (1 - min(t, length) / length) ** power


def cosine(length: int) -> Factor:
    return lambda t: (1 + math.cos(math.pi * t / length)) / 2


STEP: Named = ("StepLR", {"gamma": 0.1, "step_size": 3})
MULTI: Named = ("MultiStepLR", {"gamma": 0.1, "milestones": [2, 5, 9]})
EXP: Named = ("ExponentialLR", {"gamma": 0.9})
CONSTANT: Named = ("ConstantLR", {"factor": 0.5, "total_iters": 5})
LINEAR: Named = ("LinearLR", {"start_factor": 0.5, "total_iters": 4})
WARMUP: Named = ("LinearLR", {"start_factor": 0.4, "total_iters": 4})
POLY: Named = ("PolynomialLR", {"power": 0.9, "total_iters": 5})
COSINE: Named = ("CosineAnnealingLR", {"T_max": 10, "eta_min": 1e-10})
MULTI_FACTOR, WARMUP_FACTOR = milestones(2, 5, 9), linear(0.4, 1, 4)

# One scheduler, or several that step in turn
FOLLOWED: dict[str, tuple[list[Named], Factor]] = {
    "test_step_lr": ([STEP], steps(3)),
    "test_multi_step_lr": ([MULTI], MULTI_FACTOR),
    "test_constantlr": ([CONSTANT], constant(0.5, 5)),
    "test_linearlr": ([LINEAR], linear(0.5, 1, 4)),
    "test_exp_lr": ([EXP], exponential(0.9)),
    "test_poly_lr": ([POLY], polynomial(0.9, 5)),
    "test_cos_anneal_lr": ([COSINE], cosine(10)),
    "test_compound_step_and_multistep_lr": ([STEP, MULTI], product(steps(3), MULTI_FACTOR)),
    "test_compound_step_and_exp_lr": ([STEP, EXP], product(steps(3), exponential(0.9))),
    "test_compound_exp_and_multistep_lr": ([MULTI, EXP], product(MULTI_FACTOR, exponential(0.9))),
    "test_compound_exp_and_linearlr": (
        [("LinearLR", {"start_factor": 0.4, "end_factor": 0.9, "total_iters": 4}), EXP],
        product(linear(0.4, 0.9, 4), exponential(0.9)),
    ),
    "test_compound_step_and_constantlr": (
        [STEP, ("ConstantLR", {"factor": 0.4, "total_iters": 4})],
        product(steps(3), constant(0.4, 4)),
    ),
    "test_compound_linearlr_and_multistep_lr": ([MULTI, WARMUP], product(MULTI_FACTOR, WARMUP_FACTOR)),
    "test_compound_cosanneal_and_step_lr": ([COSINE, STEP], product(cosine(10), steps(3))),
    "test_compound_cosanneal_and_multistep_lr": ([COSINE, MULTI], product(cosine(10), MULTI_FACTOR)),
    "test_compound_cosanneal_and_linearlr": ([WARMUP, COSINE], product(WARMUP_FACTOR, cosine(10))),
    "test_compound_cosanneal_and_exp_lr": (
        [COSINE, ("ExponentialLR", {"gamma": 0.1})],
        product(cosine(10), exponential(0.1)),
    ),
}


def follow(named: list[Named], factor: Factor, make: Maker) -> None:
    optimizer = two_groups()
    assert_follows(optimizer, [make(optimizer, name, **fields) for name, fields in named], factor, 10)


for _name, _args in FOLLOWED.items():
    case(_name)(partial(follow, *_args))


# torch's ChainedScheduler around them
CHAINED: dict[str, tuple[list[Named], Factor]] = {
    "test_chained_lr1": ([STEP], steps(3)),
    "test_chained_lr2": ([("LinearLR", {"start_factor": 0.4, "total_iters": 3})], linear(0.4, 1, 3)),
    "test_chained_lr3": (
        [
            ("LinearLR", {"start_factor": 0.4, "total_iters": 3}),
            ("MultiStepLR", {"milestones": [4, 8, 10], "gamma": 0.1}),
        ],
        product(linear(0.4, 1, 3), milestones(4, 8, 10)),
    ),
    "test_chained_lr4": (
        [EXP, ("ConstantLR", {"factor": 0.2, "total_iters": 4}), STEP],
        product(exponential(0.9), constant(0.2, 4), steps(3)),
    ),
    "test_chained_lr5": (
        [POLY, ("ConstantLR", {"factor": 0.1})],
        product(polynomial(0.9, 5), constant(0.1, 5)),
    ),
}


def chain(named: list[Named], factor: Factor, make: Maker) -> None:
    optimizer = two_groups()
    parts = [make(optimizer, name, **fields) for name, fields in named]
    chained = ChainedScheduler(parts)
    assert_follows(optimizer, [chained], factor, 10)
    assert chained.get_last_lr() == parts[-1].get_last_lr()


for _name, _args in CHAINED.items():
    case(_name)(partial(chain, *_args))


@case("test_chained_lr2_get_last_lr_before_step")
def _(make: Maker) -> None:
    optimizer = two_groups()
    parts = [make(optimizer, *WARMUP[:1], **WARMUP[1]), make(optimizer, MULTI[0], **MULTI[1])]
    assert ChainedScheduler(parts).get_last_lr() == parts[-1].get_last_lr()


# torch's SequentialLR around them: parts, milestones, the factor of each part from its own step 0
SLOW: Named = ("ExponentialLR", {"gamma": 0.8})
TENTH: Named = ("ConstantLR", {"factor": 0.1, "total_iters": 3})
HALVES: Named = ("StepLR", {"gamma": 0.1, "step_size": 2})
SEQUENTIAL: dict[str, tuple[list[Named], list[int], list[Factor], int]] = {
    "test_sequentiallr1": (
        [SLOW, ("StepLR", {"gamma": 0.1, "step_size": 4})], [3], [exponential(0.8), steps(4)], 19
    ),
    "test_sequentiallr2": ([TENTH, EXP], [3], [constant(0.1, 3), exponential(0.9)], 13),
    "test_sequentiallr3": ([TENTH, SLOW, HALVES], [3, 6], [constant(0.1, 3), exponential(0.8), steps(2)], 12),
    "test_get_last_lr_sequentiallr": (
        [TENTH, SLOW, HALVES], [3, 6], [constant(0.1, 3), exponential(0.8), steps(2)], 12
    ),
}  # fmt: skip


def piecewise(edges: list[int], factors: list[Factor]) -> Factor:
    def factor(t: float) -> float:
        part = sum(edge <= t for edge in edges)
        return factors[part](t - [0, *edges][part])

    return factor


def sequence(named: list[Named], edges: list[int], factors: list[Factor], epochs: int, make: Maker) -> None:
    optimizer = two_groups()
    parts = [make(optimizer, name, **fields) for name, fields in named]
    scheduler = SequentialLR(optimizer, parts, edges)
    factor = piecewise(edges, factors)
    for epoch in range(epochs):
        expected = [0.05 * factor(epoch), 0.5 * factor(epoch)]
        assert_near(rates(optimizer), expected, epoch)
        assert_near([float(lr) for lr in scheduler.get_last_lr()], expected, epoch)
        scheduler.step()


for _name, _turns in SEQUENTIAL.items():
    case(_name)(partial(sequence, *_turns))


@case("test_sequentiallr4")
def _(make: Maker) -> None:
    optimizer = one_group(0.1)
    parts = [make(optimizer, "ConstantLR", factor=factor) for factor in (1.0, 0.1)]
    SequentialLR(optimizer, parts, [10])
    assert optimizer.param_groups[0]["lr"] == 0.1


@case("test_sequentiallr5")
def _(make: Maker) -> None:
    optimizer = two_groups()
    held = make(optimizer, "ConstantLR", factor=0.1, total_iters=5)
    rising = make(optimizer, "LinearLR", start_factor=0.1, total_iters=5)
    parts = [ChainedScheduler([rising, held]), make(optimizer, "ConstantLR", factor=0.5, total_iters=5)]
    first = product(linear(0.1, 1, 5), constant(0.1, 5))
    scheduler = SequentialLR(optimizer, parts, [5])
    assert_follows(optimizer, [scheduler], piecewise([5], [first, constant(0.5, 5)]), 10)


@case("test_sequentiallr_does_not_alias_lr_and_initial_lr")
def _(make: Maker) -> None:
    optimizer = one_group(torch.tensor(2.0))
    up = make(optimizer, "LinearLR", start_factor=0.1, end_factor=0.8, total_iters=4)
    down = make(optimizer, "LinearLR", start_factor=0.8, end_factor=0.1, total_iters=4)
    scheduler = SequentialLR(optimizer, [up, down], [4])
    for expected in [0.2, 0.55, 0.9, 1.25, 1.6, 1.25, 0.9, 0.55]:
        assert_near(rates(optimizer), [expected])
        scheduler.step()


# get_last_lr, step(epoch), and the same number again and again
LAST: dict[str, tuple[Named, Factor]] = {
    "test_get_last_lr_step_lr": (STEP, steps(3)),
    "test_get_last_lr_multi_step_lr": (MULTI, MULTI_FACTOR),
    "test_get_last_lr_constantlr": (CONSTANT, constant(0.5, 5)),
    "test_get_last_lr_linearlr": (
        ("LinearLR", {"start_factor": 0.25, "end_factor": 0.6, "total_iters": 4}),
        linear(0.25, 0.6, 4),
    ),
}
BY_EPOCH: dict[str, tuple[Named, Factor]] = {
    "test_multi_step_lr_with_epoch": (MULTI, MULTI_FACTOR),
    "test_constantlr_with_epoch": (CONSTANT, constant(0.5, 5)),
    "test_linearlr_with_epoch": (LINEAR, linear(0.5, 1, 4)),
}
SAME_EPOCH: dict[str, Named] = {
    "test_step_lr_is_constant_for_constant_epoch": ("StepLR", {"step_size": 2}),
    "test_exponential_lr_is_constant_for_constant_epoch": EXP,
    "test_constantlr_is_constant_for_constant_epoch": ("ConstantLR", {}),
    "test_linear_linearlr_is_constant_for_constant_epoch": ("LinearLR", {}),
    "test_polynomial_lr_is_constant_for_constant_epoch": ("PolynomialLR", {"power": 0.9}),
}
CLOSED_FORM: dict[str, Named] = {
    "test_closed_form_step_lr": STEP,
    "test_closed_form_linearlr": ("LinearLR", {"start_factor": 1 / 3, "end_factor": 0.7, "total_iters": 4}),
    "test_closed_form_constantlr": ("ConstantLR", {"factor": 1 / 3, "total_iters": 4}),
    "test_closed_form_multi_step_lr": MULTI,
    "test_closed_form_exp_lr": EXP,
    "test_closed_form_poly_lr": ("PolynomialLR", {"power": 0.9}),
    "test_closed_form_cos_anneal_lr": ("CosineAnnealingLR", {"T_max": 5, "eta_min": 1e-10}),
}


def last(named: Named, factor: Factor, make: Maker) -> None:
    optimizer = two_groups()
    scheduler = make(optimizer, named[0], **named[1])
    for epoch in range(10):
        assert_near([float(lr) for lr in scheduler.get_last_lr()], [0.05 * factor(epoch), 0.5 * factor(epoch)])
        optimizer.step()
        scheduler.step()


def by_epoch(named: Named, factor: Factor, make: Maker) -> None:
    optimizer = two_groups()
    scheduler = make(optimizer, named[0], **named[1])
    for epoch in range(10):
        optimizer.step()
        with one_deprecation():
            scheduler.step(epoch)
        assert_near(rates(optimizer), [0.05 * factor(epoch), 0.5 * factor(epoch)])


def same_epoch(named: Named, make: Maker) -> None:
    optimizer, found = two_groups(), set()
    scheduler = make(optimizer, named[0], **named[1])
    for _ in range(10):
        optimizer.step()
        with one_deprecation():
            scheduler.step(2)
        found.add(tuple(rates(optimizer)))
    assert len(found) == 1


def closed_form(named: Named, make: Maker) -> None:
    one, other = two_groups(), two_groups()
    stepped, asked = make(one, named[0], **named[1]), make(other, named[0], **named[1])
    for epoch in range(20):
        other.step()
        with one_deprecation():
            asked.step(epoch)
        assert_near(rates(one), rates(other), epoch)
        one.step()
        stepped.step()


for _table, _check in ((LAST, last), (BY_EPOCH, by_epoch)):
    for _name, _both in _table.items():
        case(_name)(partial(_check, *_both))
for _names, _alone in ((SAME_EPOCH, same_epoch), (CLOSED_FORM, closed_form)):
    for _name, _named in _names.items():
        case(_name)(partial(_alone, _named))


@case("test_cos_anneal_lr_continue")
def _(make: Maker) -> None:
    optimizer = two_groups()
    scheduler = make(optimizer, "CosineAnnealingLR", T_max=5, eta_min=0.1)
    optimizer.step()
    scheduler.step()
    before = list(map(float, scheduler.get_last_lr()))
    after = make(optimizer, "CosineAnnealingLR", T_max=5, eta_min=0.1, last_epoch=0).get_last_lr()
    assert_near(before, list(map(float, after)))


def two_lambdas(name: str, texts: list[str], make: Maker) -> None:
    optimizer = two_groups()
    optimizer.param_groups[1]["lr"] = 0.4
    scheduler = make(optimizer, name, lr_lambda=texts)
    for epoch in range(10):
        assert_near(rates(optimizer), [0.05 * 0.9**epoch, 0.4 * 0.8**epoch])
        scheduler.step()


case("test_lambda_lr")(partial(two_lambdas, "LambdaLR", ["0.9 ** epoch", "0.8 ** epoch"]))
case("test_multiplicative_lr")(partial(two_lambdas, "MultiplicativeLR", ["0.9", "0.8"]))

# Beside torch's ReduceLROnPlateau: its arguments, the metrics, its factor by epoch, the scheduler beside it
FALLING = [10 - 0.0165 * i for i in range(22)]
REDUCED: Factor = lambda t: 0.1 ** sum(edge <= t for edge in (6, 13, 20))  # noqa: E731
ABSOLUTE = {"threshold_mode": "abs", "patience": 5, "cooldown": 0, "threshold": 0.1}
PLATEAU: dict[str, tuple[dict[str, Any], list[float], Factor, Named, Factor]] = {
    "test_compound_reduce_lr_on_plateau1": (
        ABSOLUTE | {"threshold": 0.01, "cooldown": 5}, [10 - i * 0.0167 for i in range(10)], lambda t: 1.0,
        STEP, steps(3)
    ),
    "test_compound_reduce_lr_on_plateau2": (
        ABSOLUTE, FALLING, REDUCED, ("MultiStepLR", {"gamma": 0.1, "milestones": [3, 8, 12]}), milestones(3, 8, 12)
    ),
    "test_compound_reduce_lr_on_plateau3": (
        {"mode": "max", "patience": 5, "cooldown": 5, "threshold_mode": "abs"}, [-0.8] * 2 + [-0.234] * 20,
        lambda t: 0.1 ** sum(edge <= t for edge in (8, 19)), ("ExponentialLR", {"gamma": 0.5}), exponential(0.5)
    ),
    "test_compound_reduce_lr_on_plateau4": (
        {"mode": "max", "patience": 3, "threshold_mode": "rel", "threshold": 0.1}, [1.5 * 1.025**i for i in range(10)],
        lambda t: 1.0, COSINE, cosine(10)
    ),
    "test_compound_reduce_lr_on_plateau5": (ABSOLUTE, FALLING, REDUCED, WARMUP, WARMUP_FACTOR),
}  # fmt: skip


def plateau(
    arguments: dict[str, Any], metrics: list[float], reduced: Factor, named: Named, factor: Factor, make: Maker
) -> None:
    optimizer = two_groups()
    both = ReduceLROnPlateau(optimizer, **arguments), make(optimizer, named[0], **named[1])
    for epoch, metric in enumerate(metrics):
        optimizer.step()
        both[0].step(metric)
        both[1].step()
        expected = reduced(epoch) * factor(epoch + 1)
        assert_near(rates(optimizer), [0.05 * expected, 0.5 * expected], epoch)


for _name, _setting in PLATEAU.items():
    case(_name)(partial(plateau, *_setting))
