"""The schedules of transformers."""

from __future__ import annotations

from lrcore.schedules.transformers.decays import (
    ConstantWithWarmup,
    CosineWithRestarts,
    InverseSqrt,
    TransformersConstant,
    TransformersCosine,
    TransformersLinear,
)
from lrcore.schedules.transformers.floors import (
    CosineWarmupWithMinLr,
    CosineWithMinLr,
    TransformersPolynomial,
    WarmupStableDecay,
)
from lrcore.schedules.transformers.greedy import GreedyLR

__all__ = [
    "ConstantWithWarmup",
    "CosineWarmupWithMinLr",
    "CosineWithMinLr",
    "CosineWithRestarts",
    "GreedyLR",
    "InverseSqrt",
    "TransformersConstant",
    "TransformersCosine",
    "TransformersLinear",
    "TransformersPolynomial",
    "WarmupStableDecay",
]
