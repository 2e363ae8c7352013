"""A job as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lrcore.figure import encoded, new_figure
from lrcore.jobs.job import Epoch


def title(spec: Mapping[str, Any]) -> str:
    """What a job's spec, as JSON, is about."""
    schedule = (spec["schedule"] or {"type": "Constant"})["type"]
    return f"{spec['model']['type']} on {spec['dataset']['type']}, {schedule}"


def draw_run(epochs: Sequence[Epoch], title: str, form: str) -> bytes:
    """Losses, accuracies and rate over the finished epochs; `form` is png or svg."""
    figure = new_figure([2, 2, 1])
    loss, accuracy, rate = figure.axes
    at = [epoch.epoch for epoch in epochs]
    validated = bool(epochs) and epochs[0].val_loss is not None
    for axes, quantity in ((loss, "loss"), (accuracy, "accuracy")):
        for split in ("train", "val", "test") if validated else ("train", "test"):
            values = [getattr(epoch, f"{split}_{quantity}") for epoch in epochs]
            axes.plot(at, values, marker="o", markersize=3, label=f"{split} {quantity}")
        axes.set_ylabel(quantity)
        axes.legend(frameon=False)
    rate.plot(at, [epoch.lr for epoch in epochs], drawstyle="steps-post", marker="o", markersize=3, color="tab:green")
    rate.set_ylim(bottom=0)
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epoch")
    loss.set_title(title)
    if not epochs:
        loss.text(0.5, 0.5, "no finished epoch yet", ha="center", transform=loss.transAxes)
    return encoded(figure, form)
