"""The bounds that the API states: attacks go as far as they allow, and a changed bound changes the attack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from lrserve.api.settings import ApiSettings


@dataclass(frozen=True)
class Bounds:
    """The largest values that the OpenAPI document allows."""

    steps: int
    groups: int
    names: int
    parts: int
    expression: int
    fit: int
    metrics: int
    milestones: int
    epochs: int
    samples: int
    hidden: int
    width: int
    range_steps: int
    body: int

    @classmethod
    def of(cls, document: dict[str, Any]) -> Bounds:
        """Read the bounds from an OpenAPI document. Raises LookupError if it lacks one."""

        def bound(schema: str, field: str, keyword: str) -> int:
            found = list(_values(document["components"]["schemas"][schema]["properties"][field], keyword))
            if not found:
                raise LookupError(f"{schema}.{field} has no {keyword}")
            return int(max(found))

        return cls(
            steps=bound("CurveRequest", "steps", "maximum"),
            groups=bound("CurveRequest", "base_lr", "maxItems"),
            names=bound("CompareRequest", "curves", "maxItems"),
            parts=bound("ChainedScheduler", "schedulers", "maxItems"),
            expression=bound("LambdaLR", "lr_lambda", "maxLength"),
            fit=bound("FitRequest", "lr", "maxItems"),
            metrics=bound("CurveRequest", "metrics", "maxItems"),
            milestones=bound("MultiStepLR", "milestones", "maxItems"),
            epochs=bound("JobRequest", "epochs", "maximum"),
            samples=bound("Fake", "samples", "maximum"),
            hidden=bound("MLP", "hidden", "maxItems"),
            width=bound("MLP", "hidden", "maximum"),
            range_steps=bound("RangeTestRequest", "num_iter", "maximum"),
            body=int(ApiSettings.model_fields["max_body_bytes"].default),
        )


def _values(node: Any, keyword: str) -> Iterator[float]:
    """Yield the values of a keyword in a schema and its alternatives, without following references."""
    if isinstance(node, dict):
        if isinstance(value := node.get(keyword), int | float):
            yield value
        for key in ("anyOf", "items"):
            yield from _values(node.get(key), keyword)
    elif isinstance(node, list):
        for each in node:
            yield from _values(each, keyword)
