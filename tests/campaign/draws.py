"""Schedules drawn with numbers as people type them, one function for each family that is a function of the step.

`draw(name, rng)` gives a spec, an initial rate if it needs one, and how many steps a run with it has.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Json = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A drawn curve.

    Attributes:
        schedule: its JSON.
        base_lr: the initial rate, None if the schedule brings its own.
        steps: of the run.
    """

    schedule: Json
    base_lr: float | None
    steps: int


class Draw:
    """Random numbers of the kinds that schedules have."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.run = self.length(100, 2000)  # steps of the run

    def length(self, low: int, high: int) -> int:
        """Steps, log-uniform, two in three round."""
        value = int(np.exp(self.rng.uniform(np.log(low), np.log(high + 1))))
        unit = 10 ** max(0, len(str(value)) - 2) if self.rng.random() < 2 / 3 else 1
        return min(max(low, value // unit * unit), high)

    def part(self, low: float, high: float) -> int:
        """Steps that are a part of the run."""
        return self.length(max(1, int(low * self.run)), max(1, int(high * self.run)))

    def number(self, low: float, high: float, digits: int = 2) -> float:
        """A number, log-uniform, with few digits."""
        value = float(f"{np.exp(self.rng.uniform(np.log(low), np.log(high))):.{digits - 1}e}")
        return min(max(value, low), high)

    def rate(self) -> float:
        """An initial rate."""
        return self.number(1e-5, 1.0, int(self.rng.integers(1, 4)))

    def floor(self, rate: float) -> float:
        """A lowest rate: nothing, or a share of the initial one."""
        return 0.0 if self.rng.random() < 0.5 else float(f"{rate * self.number(1e-3, 0.3):.1e}")

    def share(self) -> float:
        """A lowest rate as a share: often nothing."""
        return 0.0 if self.rng.random() < 0.5 else self.number(1e-3, 0.3)

    def some(self, *options: Json) -> Json:
        """One of several sets of fields."""
        return options[self.rng.integers(len(options))]

    def one(self, *options: Any) -> Any:
        """One of them."""
        return options[self.rng.integers(len(options))]

    def milestones(self, most: int = 4) -> list[int]:
        """Rising steps of the run."""
        return sorted({self.part(0.05, 0.95) for _ in range(self.rng.integers(1, most + 1))})


def _torch() -> dict[str, Callable[[Draw], Json]]:
    return {
        "Constant": lambda d: {},
        "StepLR": lambda d: {"step_size": d.part(0.02, 0.7), "gamma": d.number(0.1, 0.97)},
        "MultiStepLR": lambda d: {"milestones": d.milestones(), "gamma": d.number(0.1, 0.9)},
        "ExponentialLR": lambda d: {"gamma": 1 - d.number(1, 10) / d.run},
        "ConstantLR": lambda d: {"factor": d.number(0.1, 0.9), "total_iters": d.part(0.05, 0.9)},
        "LinearLR": lambda d: {
            "start_factor": d.number(0.001, 1),
            "end_factor": d.one(1.0, d.number(0.001, 1)),
            "total_iters": d.part(0.05, 1.2),
        },
        "PolynomialLR": lambda d: {"total_iters": d.part(0.3, 1.2), "power": d.one(1.0, 2.0, d.number(0.3, 4))},
        "CosineAnnealingLR": lambda d: {"T_max": d.part(0.2, 1.5), "eta_min": d.number(1e-6, 1e-3)},
        "CosineAnnealingWarmRestarts": lambda d: {
            "T_0": d.part(0.1, 0.6), "T_mult": d.one(1, 2, 3), "eta_min": d.one(0.0, 1e-6)
        },
        "CyclicLR": lambda d: {
            "base_lr": 1e-3 * (low := d.rate()),
            "max_lr": low,
            "step_size_up": d.part(0.05, 0.5),
            "step_size_down": d.one(None, d.part(0.05, 0.5)),
            "cycle_momentum": False,
            **d.one({}, {"mode": "triangular2"}, {"mode": "exp_range", "gamma": 1 - d.number(0.5, 5) / d.run}),
        },
        "OneCycleLR": lambda d: {
            "max_lr": d.rate(),
            "total_steps": d.run,
            "pct_start": d.number(0.05, 0.45),
            "anneal_strategy": d.one("cos", "linear"),
            "cycle_momentum": False,
            **d.one({}, {"three_phase": True}, {"div_factor": d.number(2, 50), "final_div_factor": d.number(10, 1e4)}),
        },
        "SWALR": lambda d: {
            "swa_lr": d.rate(), "anneal_epochs": d.part(0.1, 0.9), "anneal_strategy": d.one("cos", "linear")
        },
        "SquareRootScheduler": lambda d: {"lr": d.rate()},
        "FactorScheduler": lambda d: {
            "factor": 1 - d.number(1, 20) / d.run, "stop_factor_lr": 1e-3 * (r := d.rate()), "base_lr": r
        },
        "CosineScheduler": lambda d: {
            "max_update": d.part(0.4, 1.2), "base_lr": (r := d.rate()), "final_lr": d.floor(r),
            **d.one({}, {"warmup_steps": d.part(0.01, 0.3), "warmup_begin_lr": d.one(0.0, 0.1 * r)}),
        },
    }  # fmt: skip


def _transformers() -> dict[str, Callable[[Draw], Json]]:
    def run(d: Draw) -> Json:
        return {"num_warmup_steps": d.one(0, d.part(0.01, 0.3)), "num_training_steps": d.run}

    return {
        "constant": lambda d: {},
        "constant_with_warmup": lambda d: {"num_warmup_steps": d.part(0.01, 0.5)},
        "linear": run,
        "cosine": lambda d: run(d) | d.one({}, {}, {"num_cycles": d.one(1.0, 1.5, 2.0, 0.45)}),
        "cosine_with_restarts": lambda d: run(d) | {"num_cycles": d.one(1, 2, 3, 5)},
        "polynomial": lambda d: run(d) | {"power": d.one(1.0, 2.0, d.number(0.4, 3))},
        "cosine_with_min_lr": lambda d: run(d) | d.one({"min_lr_rate": d.number(0.01, 0.5)}, {"min_lr": 1e-6}),
        "cosine_warmup_with_min_lr": lambda d: {
            "num_warmup_steps": d.part(0.01, 0.3), "num_training_steps": d.run, "min_lr_rate": d.number(0.01, 0.5),
            **d.one({}, {"warmup_lr_rate": d.number(0.01, 0.5)}),
        },
        "inverse_sqrt": lambda d: {
            "num_warmup_steps": d.part(0.01, 0.3), "timescale": d.one(None, d.part(0.05, 1))
        },
        "warmup_stable_decay": lambda d: {
            "num_warmup_steps": d.part(0.02, 0.2), "num_stable_steps": d.part(0.1, 0.4),
            "num_decay_steps": d.part(0.1, 0.4), "warmup_type": d.one("linear", "linear", "cosine", "1-sqrt"),
            "decay_type": d.one("linear", "cosine", "1-sqrt"), "min_lr_ratio": d.share(),
        },
    }  # fmt: skip


def _keras_and_optax() -> dict[str, Callable[[Draw], Json]]:
    def staircase(d: Draw) -> Json:
        return d.some({}, {"staircase": True})

    def decay(d: Draw) -> Json:
        return {"decay_steps": d.part(0.05, 0.5), "decay_rate": d.number(0.1, 0.97)}

    def optax_decay(d: Draw) -> Json:
        late = {"transition_steps": d.part(0.05, 0.5), "decay_rate": d.number(0.2, 0.97)}
        return late | d.some({}, {"transition_begin": d.part(0.05, 0.3)}, {"staircase": True})

    return {
        "CosineDecay": lambda d: {
            "initial_learning_rate": (r := d.rate()), "decay_steps": d.part(0.3, 1.2), "alpha": d.share(),
            **d.one({}, {"warmup_target": 10 * r, "warmup_steps": d.part(0.01, 0.3)}),
        },
        "CosineDecayRestarts": lambda d: {
            "initial_learning_rate": d.rate(), "first_decay_steps": d.part(0.1, 0.4), "alpha": d.share(),
            "t_mul": d.one(1.0, 1.5, 2.0), "m_mul": d.one(1.0, d.number(0.5, 0.95)),
        },
        "ExponentialDecay": lambda d: {"initial_learning_rate": d.rate(), **decay(d), **staircase(d)},
        "InverseTimeDecay": lambda d: {
            "initial_learning_rate": d.rate(), "decay_steps": d.part(0.05, 0.5), "decay_rate": d.number(0.1, 5),
            **staircase(d),
        },
        "PolynomialDecay": lambda d: {
            "initial_learning_rate": (r := d.rate()), "decay_steps": d.part(0.2, 1.2), "end_learning_rate": d.floor(r),
            "power": d.one(1.0, 2.0, d.number(0.3, 4)), "cycle": d.one(False, False, True),
        },
        "PiecewiseConstantDecay": lambda d: {
            "boundaries": (b := d.milestones(3)), "values": [d.rate() for _ in range(len(b) + 1)]
        },
        "linear_schedule": lambda d: {
            "init_value": d.rate(), "end_value": d.one(0.0, d.rate()), "transition_steps": d.part(0.2, 1),
            "transition_begin": d.one(0, d.part(0.05, 0.4)),
        },
        "polynomial_schedule": lambda d: {
            "init_value": (r := d.rate()), "end_value": d.floor(r), "transition_steps": d.part(0.2, 1),
            "transition_begin": d.one(0, d.part(0.05, 0.4)), "power": d.one(1.0, 2.0, d.number(0.3, 4)),
        },
        "cosine_decay_schedule": lambda d: {
            "init_value": d.rate(), "decay_steps": d.part(0.3, 1.2), "alpha": d.share(),
            "exponent": d.one(1.0, d.number(0.5, 3)),
        },
        "exponential_decay": lambda d: {"init_value": d.rate(), **optax_decay(d)},
        "piecewise_constant_schedule": lambda d: {
            "init_value": d.rate(), "boundaries_and_scales": {str(m): d.number(0.1, 0.9) for m in d.milestones(3)}
        },
        "piecewise_interpolate_schedule": lambda d: {
            "init_value": d.rate(), "interpolate_type": d.one("linear", "cosine"),
            "boundaries_and_scales": {str(m): d.number(0.1, 5) for m in d.milestones(3)},
        },
        "warmup_constant_schedule": lambda d: {
            "init_value": d.one(0.0, 1e-4), "peak_value": d.number(1e-3, 1), "warmup_steps": d.part(0.01, 0.5)
        },
        "warmup_cosine_decay_schedule": lambda d: {
            "init_value": d.one(0.0, 1e-4), "peak_value": (r := d.number(1e-3, 1)), "warmup_steps": d.part(0.01, 0.2),
            "decay_steps": d.part(0.4, 1), "end_value": d.floor(r), "exponent": d.one(1.0, 1.0, d.number(0.5, 3)),
        },
        "warmup_exponential_decay_schedule": lambda d: {
            "init_value": d.one(0.0, 1e-4), "peak_value": d.number(1e-3, 1), "warmup_steps": d.part(0.01, 0.2),
            **optax_decay(d),
        },
        "cosine_onecycle_schedule": lambda d: {
            "transition_steps": d.run, "peak_value": d.rate(), "pct_start": d.number(0.05, 0.5)
        },
        "linear_onecycle_schedule": lambda d: {
            "transition_steps": d.run, "peak_value": d.rate(), "pct_start": d.number(0.05, 0.5)
        },
    }  # fmt: skip


def _timm_and_paddle() -> dict[str, Callable[[Draw], Json]]:
    def warm(d: Draw) -> Json:
        ramp = {"warmup_t": d.part(0.01, 0.1), "warmup_lr_init": d.one(0.0, 1e-6)}
        return d.some({}, ramp, ramp | {"warmup_prefix": True})

    def step_warm(d: Draw) -> Json:
        ramp = {"warmup_t": d.part(0.01, 0.1), "warmup_lr_init": d.one(0.0, 1e-6)}
        return d.some({}, ramp, ramp | {"warmup_prefix": False})

    def cycled(d: Draw) -> Json:
        once = {"t_initial": d.part(0.4, 1)}
        again = {"t_initial": d.part(0.15, 0.4), "cycle_mul": d.one(1.0, 1.5, 2.0), "cycle_limit": d.one(2, 3)}
        again |= {"cycle_decay": d.one(1.0, 0.5, 0.8)}
        return d.some(once, once, again) | {"lr_min": d.one(0.0, 1e-6)} | warm(d)

    return {
        "CosineLRScheduler": lambda d: cycled(d) | d.one({}, {}, {"k_decay": d.number(0.5, 2)}),
        "PolyLRScheduler": lambda d: cycled(d) | {"power": d.one(0.5, 1.0, 2.0)} | d.one({}, {"k_decay": 1.5}),
        "TanhLRScheduler": lambda d: cycled(d) | d.one({}, {"lb": -d.number(2, 6), "ub": d.number(2, 5)}),
        "StepLRScheduler": lambda d: {"decay_t": d.part(0.1, 0.4), "decay_rate": d.number(0.1, 0.97)} | step_warm(d),
        "MultiStepLRScheduler": lambda d: {"decay_t": d.milestones(), "decay_rate": d.number(0.1, 0.9)} | step_warm(d),
        "WSDLRScheduler": lambda d: {
            "t_initial": (n := d.part(0.4, 0.8)), "decay_t": max(1, int(d.number(0.1, 0.7) * n)),
            "lr_min": d.one(0.0, 1e-6),
            "warmup_t": d.part(0.01, 0.2), "decay_fn": d.one("linear", "1-sqrt", "cosine", "exp"),
        },
        "NoamDecay": lambda d: {"d_model": d.one(256, 512, 768), "warmup_steps": d.part(0.05, 0.5)},
        "NaturalExpDecay": lambda d: {"learning_rate": d.rate(), "gamma": d.number(0.5, 10) / d.run},
        "PiecewiseDecay": lambda d: {
            "boundaries": (b := d.milestones(3)), "values": [d.rate() for _ in range(len(b) + 1)]
        },
    }  # fmt: skip


def _others() -> dict[str, Callable[[Draw], Json]]:
    return {
        "LRRangeTest": lambda d: {
            "lr_range_test_min_lr": d.rate(), "lr_range_test_step_size": d.part(0.05, 0.5),
            "lr_range_test_step_rate": d.number(0.5, 5), **d.one({}, {"lr_range_test_staircase": True}),
        },
        "LinearRangeTest": lambda d: {"start_lr": d.number(1e-7, 1e-4), "end_lr": d.rate(), "num_iter": d.run},
        "ExponentialRangeTest": lambda d: {"start_lr": d.number(1e-7, 1e-5), "end_lr": 1.0, "num_iter": d.run},
        "InversePower": lambda d: {"gamma": d.number(1, 50) / d.run, "power": d.one(0.5, 0.75, 1.0)},
        "Sigmoid": lambda d: {"gamma": d.one(-1, 1) * d.number(5, 30) / d.run, "stepsize": d.part(0.3, 0.7)},
        "SineCycle": lambda d: {"cycle_steps": d.part(0.1, 1), "decay": d.one(1.0, d.number(0.5, 0.95))},
        "Chebyshev": lambda d: {"log2_steps": d.one(2, 3, 4, 5), "m": d.number(0.02, 0.2), "M": 1.0},
        "DarknetSteps": lambda d: {"milestones": (m := d.milestones()), "scales": [d.number(0.1, 0.9) for _ in m]},
        "REX": lambda d: {"total_steps": d.part(0.4, 1), "min_lr": d.one(0.0, 1e-6)},
        "SlantedTriangular": lambda d: {
            "total_steps": d.run, "cut_frac": d.number(0.05, 0.5), "ratio": d.one(32.0, 10.0)
        },
        "FlatCosine": lambda d: {"total_steps": d.run, "pct_start": d.number(0.2, 0.9), "div_final": d.one(1e5, 100.0)},
        "WSD": lambda d: {
            "warmup_steps": d.part(0.02, 0.2), "stable_steps": d.part(0.1, 0.4), "decay_steps": d.part(0.1, 0.4),
            "cooldown": (kind := d.one("linear", "cosine", "1-sqrt", "power", "exp")), "min_ratio": d.share(),
            **({"power": d.number(0.3, 2)} if kind == "power" else {}),
            **({"ratio": d.number(0.01, 0.5)} if kind == "exp" else {}),
        },
    }  # fmt: skip


FIELDS: dict[str, Callable[[Draw], Json]] = {
    **_torch(), **_transformers(), **_keras_and_optax(), **_timm_and_paddle(), **_others()
}  # fmt: skip


def draw(name: str, rng: np.random.Generator) -> Drawn:
    """A drawn spec of one family that the service accepts."""
    from lrcore.curve import CurveRequest

    for _ in range(50):
        d = Draw(rng)
        fields = {key: value for key, value in FIELDS[name](d).items() if value is not None}
        schedule, base_lr = {"type": name, **fields}, float(d.rate())
        steps = max(60, d.run)
        try:
            own = CurveRequest.model_validate({"schedule": schedule, "base_lr": base_lr, "steps": 1}).schedule
            if own.length is not None:
                steps = own.length
            has_own = own.own_base_lr is not None
            request = {"schedule": schedule, "base_lr": None if has_own else base_lr, "steps": steps}
            CurveRequest.model_validate(request)
        except ValueError:  # fields that do not go together
            continue
        return Drawn(schedule, None if has_own else base_lr, steps)
    raise AssertionError(f"no {name} was drawn in 50 trials")
