"""Paddle: its schedules in. Those that Paddle coined are lrserve's own under the same names."""

from __future__ import annotations

import math
from typing import Any, Literal

from lrcore.errors import CurveError
from lrcore.family import Flag
from lrcore.schedules._base import Factor, Fraction, Milestones, Rate, StepCount
from lrcore.schedules.plateau import Count, FactorBelowOne

Json = dict[str, Any]


def _with_rate(learning_rate: Rate, type_: str, **arguments: Any) -> Json:
    return {"type": "BaseLR", "base_lr": learning_rate, "schedule": {"type": type_} | arguments}


def _step(learning_rate: Rate, step_size: StepCount, gamma: Factor = 0.1) -> Json:
    return _with_rate(learning_rate, "StepLR", step_size=step_size, gamma=gamma)


def _multi_step(learning_rate: Rate, milestones: Milestones, gamma: Factor = 0.1) -> Json:
    return _with_rate(learning_rate, "MultiStepLR", milestones=milestones, gamma=gamma)


def _exponential(learning_rate: Rate, gamma: Factor) -> Json:
    return _with_rate(learning_rate, "ExponentialLR", gamma=gamma)


def _inverse_time(learning_rate: Rate, gamma: Rate) -> Json:
    return {
        "type": "InverseTimeDecay",
        "initial_learning_rate": learning_rate,
        "decay_steps": 1,
        "decay_rate": gamma,
    }


def _polynomial(
    learning_rate: Rate, decay_steps: StepCount, end_lr: Rate = 1e-4, power: Factor = 1.0, cycle: Flag = False
) -> Json:
    return {
        "type": "PolynomialDecay",
        "initial_learning_rate": learning_rate,
        "decay_steps": decay_steps,
        "end_learning_rate": end_lr,
        "power": power,
        "cycle": cycle,
    }


def _cosine(learning_rate: Rate, T_max: StepCount, eta_min: Rate = 0.0) -> Json:
    return _with_rate(learning_rate, "CosineAnnealingLR", T_max=T_max, eta_min=eta_min)


def _warm_restarts(learning_rate: Rate, T_0: StepCount, T_mult: Count = 1, eta_min: Rate = 0.0) -> Json:
    return _with_rate(learning_rate, "CosineAnnealingWarmRestarts", T_0=T_0, T_mult=T_mult, eta_min=eta_min)


def _linear(
    learning_rate: Rate, total_steps: StepCount, start_factor: Fraction = 1 / 3, end_factor: Fraction = 1.0
) -> Json:
    return _with_rate(
        learning_rate, "LinearLR", total_iters=total_steps, start_factor=start_factor, end_factor=end_factor
    )


def _linear_warmup(learning_rate: Rate | Json, warmup_steps: StepCount, start_lr: Rate, end_lr: Rate) -> Json:
    ramp = {"type": "linear_schedule", "init_value": start_lr, "end_value": end_lr, "transition_steps": warmup_steps}
    after = learning_rate if isinstance(learning_rate, dict) else _with_rate(learning_rate, "Constant")
    return {"type": "SequentialLR", "schedulers": [ramp, after], "milestones": [warmup_steps]}


def _lambda(learning_rate: Rate, lr_lambda: str) -> Json:
    return _with_rate(learning_rate, "LambdaLR", lr_lambda=lr_lambda)


def _multiplicative(learning_rate: Rate, lr_lambda: str) -> Json:
    return _with_rate(learning_rate, "MultiplicativeLR", lr_lambda=lr_lambda)


def _one_cycle(
    max_learning_rate: Rate,
    total_steps: StepCount,
    divide_factor: Factor = 25.0,
    end_learning_rate: Factor = 1e-4,
    phase_pct: Fraction = 0.3,
    anneal_strategy: Literal["cos", "linear"] = "cos",
    three_phase: Flag = False,
) -> Json:
    end = max_learning_rate / divide_factor / end_learning_rate  # Paddle's end is a rate
    if not 0 < end < math.inf:
        raise CurveError(("end_learning_rate",), f"the initial rate would be {end:g} times that")
    return {
        "type": "OneCycleLR",
        "max_lr": max_learning_rate,
        "total_steps": total_steps,
        "pct_start": phase_pct,
        "anneal_strategy": anneal_strategy,
        "cycle_momentum": False,
        "div_factor": divide_factor,
        "final_div_factor": end,
        "three_phase": three_phase,
    }


def _cyclic(
    base_learning_rate: Rate,
    max_learning_rate: Rate,
    step_size_up: StepCount,
    step_size_down: StepCount | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    exp_gamma: Factor = 1.0,
) -> Json:
    return {
        "type": "CyclicLR",
        "base_lr": base_learning_rate,
        "max_lr": max_learning_rate,
        "step_size_up": step_size_up,
        "step_size_down": step_size_down,
        "mode": mode,
        "gamma": exp_gamma,
        "cycle_momentum": False,
    }


def _plateau(
    learning_rate: Rate,
    mode: Literal["min", "max"] = "min",
    factor: FactorBelowOne = 0.1,
    patience: Count = 10,
    threshold: Rate = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: Count = 0,
    min_lr: Rate = 0.0,
    epsilon: Rate = 1e-8,
) -> Json:
    if cooldown:
        raise CurveError(
            ("cooldown",),
            "Paddle ignores metrics during a cooldown, which ReduceLROnPlateau here does not: leave it out",
        )
    return {
        "type": "ReduceLROnPlateau",
        "mode": mode,
        "factor": factor,
        "patience": patience,
        "threshold": threshold,
        "threshold_mode": threshold_mode,
        "min_lr": min_lr,
        "eps": epsilon,
        "initial_lr": learning_rate,
    }


READERS = {
    "CosineAnnealingDecay": _cosine,
    "CosineAnnealingWarmRestarts": _warm_restarts,
    "CyclicLR": _cyclic,
    "ExponentialDecay": _exponential,
    "InverseTimeDecay": _inverse_time,
    "LambdaDecay": _lambda,
    "LinearLR": _linear,
    "LinearWarmup": _linear_warmup,
    "MultiplicativeDecay": _multiplicative,
    "MultiStepDecay": _multi_step,
    "OneCycleLR": _one_cycle,
    "PolynomialDecay": _polynomial,
    "ReduceOnPlateau": _plateau,
    "StepDecay": _step,
}
