"""Paddle: its schedules in. Those that Paddle coined are lrserve's own under the same names."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _with_rate(learning_rate: float, type_: str, **arguments: Any) -> Json:
    return {"type": "BaseLR", "base_lr": learning_rate, "schedule": {"type": type_} | arguments}


def _step(learning_rate: float, step_size: int, gamma: float = 0.1) -> Json:
    return _with_rate(learning_rate, "StepLR", step_size=step_size, gamma=gamma)


def _multi_step(learning_rate: float, milestones: list[int], gamma: float = 0.1) -> Json:
    return _with_rate(learning_rate, "MultiStepLR", milestones=milestones, gamma=gamma)


def _exponential(learning_rate: float, gamma: float) -> Json:
    return _with_rate(learning_rate, "ExponentialLR", gamma=gamma)


def _inverse_time(learning_rate: float, gamma: float) -> Json:
    return {
        "type": "InverseTimeDecay",
        "initial_learning_rate": learning_rate,
        "decay_steps": 1,
        "decay_rate": gamma,
    }


def _polynomial(
    learning_rate: float, decay_steps: int, end_lr: float = 1e-4, power: float = 1.0, cycle: bool = False
) -> Json:
    return {
        "type": "PolynomialDecay",
        "initial_learning_rate": learning_rate,
        "decay_steps": decay_steps,
        "end_learning_rate": end_lr,
        "power": power,
        "cycle": cycle,
    }


def _cosine(learning_rate: float, T_max: int, eta_min: float = 0.0) -> Json:
    return _with_rate(learning_rate, "CosineAnnealingLR", T_max=T_max, eta_min=eta_min)


def _warm_restarts(learning_rate: float, T_0: int, T_mult: int = 1, eta_min: float = 0.0) -> Json:
    return _with_rate(learning_rate, "CosineAnnealingWarmRestarts", T_0=T_0, T_mult=T_mult, eta_min=eta_min)


def _linear(learning_rate: float, total_steps: int, start_factor: float = 1 / 3, end_factor: float = 1.0) -> Json:
    return _with_rate(
        learning_rate, "LinearLR", total_iters=total_steps, start_factor=start_factor, end_factor=end_factor
    )


def _linear_warmup(learning_rate: float | Json, warmup_steps: int, start_lr: float, end_lr: float) -> Json:
    ramp = {"type": "linear_schedule", "init_value": start_lr, "end_value": end_lr, "transition_steps": warmup_steps}
    after = learning_rate if isinstance(learning_rate, dict) else _with_rate(learning_rate, "Constant")
    return {"type": "SequentialLR", "schedulers": [ramp, after], "milestones": [warmup_steps]}


def _lambda(learning_rate: float, lr_lambda: str) -> Json:
    return _with_rate(learning_rate, "LambdaLR", lr_lambda=lr_lambda)


def _multiplicative(learning_rate: float, lr_lambda: str) -> Json:
    return _with_rate(learning_rate, "MultiplicativeLR", lr_lambda=lr_lambda)


def _one_cycle(
    max_learning_rate: float,
    total_steps: int,
    divide_factor: float = 25.0,
    end_learning_rate: float = 1e-4,
    phase_pct: float = 0.3,
    anneal_strategy: str = "cos",
    three_phase: bool = False,
) -> Json:
    return {
        "type": "OneCycleLR",
        "max_lr": max_learning_rate,
        "total_steps": total_steps,
        "pct_start": phase_pct,
        "anneal_strategy": anneal_strategy,
        "cycle_momentum": False,
        "div_factor": divide_factor,
        "final_div_factor": max_learning_rate / divide_factor / end_learning_rate,  # Paddle's end is a rate
        "three_phase": three_phase,
    }


def _cyclic(
    base_learning_rate: float,
    max_learning_rate: float,
    step_size_up: int,
    step_size_down: int | None = None,
    mode: str = "triangular",
    exp_gamma: float = 1.0,
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
    "StepDecay": _step,
}
