"""The metrics of a job as a table."""

from __future__ import annotations

from collections.abc import Sequence

from lrcore.jobs.job import Epoch
from lrcore.text import csv_of

OPTIONAL = ("momentum", "val_loss", "val_accuracy")  # columns that only some jobs have


def as_csv(epochs: Sequence[Epoch]) -> str:
    """One row per epoch, one column per figure; rates of several parameter groups stand in one, with spaces between."""
    columns = [
        name
        for name in Epoch.model_fields
        if name not in OPTIONAL or any(getattr(epoch, name) is not None for epoch in epochs)
    ]
    return csv_of([columns, *(cells(epoch, columns) for epoch in epochs)])


def cells(epoch: Epoch, columns: Sequence[str]) -> list[str]:
    """An epoch's figures as text."""
    return [_cell(getattr(epoch, name)) for name in columns]


def _cell(value: float | list[float] | None) -> str:
    if value is None:
        return ""
    return " ".join(map(repr, value)) if isinstance(value, list) else repr(value)
