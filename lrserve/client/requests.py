"""The bodies of requests for curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lrserve.client.calls import SpecLike, given, plain
from lrserve.client.responses import Floats

Rates = float | Sequence[float] | Floats
Metrics = Sequence[float] | Floats


@dataclass(frozen=True)
class Sampling:
    """Which steps of a curve are requested.

    Attributes:
        steps: how many values come back.
        total_steps: steps of the whole run, for lengths in percent; start + stride * steps if None.
        steps_per_epoch: for lengths in epochs.
        where: a rate; the answer has the first step at or below it.
    """

    steps: int
    start: int = 0
    stride: int = 1
    total_steps: int | None = None
    steps_per_epoch: int | None = None
    where: float | None = None

    def of(self, schedule: SpecLike, base_lr: Rates | None, metrics: Metrics | None = None) -> dict[str, Any]:
        """Return the request body for one curve."""
        return {"schedule": schedule} | given(base_lr=base_lr, metrics=metrics, **vars(self))

    def of_several(self, curves: Mapping[str, SpecLike], base_lr: Rates | None) -> dict[str, Any]:
        """Return the request body for several curves.

        Args:
            curves: schedules by name, or {"schedule": …} with a rate or metrics of its own.
        """
        entries = []
        for name, each in curves.items():
            entry = plain(each)
            own = {"schedule": entry} if "type" in entry else entry
            entries.append({"name": name} | given(base_lr=base_lr) | own)
        return {"curves": entries} | given(**vars(self))
