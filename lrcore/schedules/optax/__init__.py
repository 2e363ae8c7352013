"""The schedules of optax."""

from __future__ import annotations

from lrcore.schedules.optax.decays import (
    CosineDecaySchedule,
    LinearSchedule,
    OptaxExponentialDecay,
    PiecewiseConstantSchedule,
    PiecewiseInterpolateSchedule,
    PolynomialSchedule,
)
from lrcore.schedules.optax.warm_ups import (
    CosineOnecycleSchedule,
    LinearOnecycleSchedule,
    SgdrCycle,
    SgdrSchedule,
    WarmupConstantSchedule,
    WarmupCosineDecaySchedule,
    WarmupExponentialDecaySchedule,
)

__all__ = [
    "CosineDecaySchedule",
    "CosineOnecycleSchedule",
    "LinearOnecycleSchedule",
    "LinearSchedule",
    "OptaxExponentialDecay",
    "PiecewiseConstantSchedule",
    "PiecewiseInterpolateSchedule",
    "PolynomialSchedule",
    "SgdrCycle",
    "SgdrSchedule",
    "WarmupConstantSchedule",
    "WarmupCosineDecaySchedule",
    "WarmupExponentialDecaySchedule",
]
