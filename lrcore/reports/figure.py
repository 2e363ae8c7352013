"""A job as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.job import Epoch, Job
from lrcore.jobs.range_test import RangeTestResult, RangeTestSpec
from lrcore.pictures.figure import encoded, new_figure, thin
from lrcore.pictures.lettering import write
from lrcore.reports.experiment_report import ExperimentReport
from lrcore.store.reader import JobReader

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def title(spec: Mapping[str, Any]) -> str:
    """What a job's spec, as JSON, is about."""
    trained = f"{spec['model']['type']} on {spec['dataset']['type']}"
    if "schedule" not in spec:
        return f"{trained}, {spec['optimizer']['type']}: LR range test"
    return f"{trained}, {(spec['schedule'] or {'type': 'Constant'})['type']}"


def run_figure(epochs: Sequence[Epoch], title: str) -> Figure:
    """Losses, accuracies and rate over the finished epochs."""
    figure = new_figure([2, 2, 1])
    loss, accuracy, rate = figure.axes
    at = np.array([epoch.epoch for epoch in epochs])
    marked: dict[str, Any] = {"marker": "o", "markersize": 3} if len(epochs) <= FEW else {}
    validated = bool(epochs) and epochs[0].val_loss is not None
    for axes, quantity in ((loss, "loss"), (accuracy, "accuracy")):
        for split in ("train", "val", "test") if validated else ("train", "test"):
            values = np.array([getattr(epoch, f"{split}_{quantity}") for epoch in epochs], dtype=np.float64)
            axes.plot(*thin(at, values), label=f"{split} {quantity}", **marked)
        axes.set_ylabel(quantity)
        axes.legend(frameon=False)
    for rates in np.array([epoch.lr for epoch in epochs]).T:
        rate.plot(*thin(at, rates, POINTS // len(epochs[0].lr)), drawstyle="steps-post", color="tab:green", **marked)
    rate.set_ylim(bottom=0)
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epoch")
    write(loss.title, title)
    if not epochs:
        loss.text(0.5, 0.5, "no finished epoch", ha="center", transform=loss.transAxes)
    return figure


FEW = 200  # epochs drawn one by one
POINTS = 20_000  # of the rates of all parameter groups
MARKS = {"steepest": ("tab:green", "--"), "valley": ("tab:purple", "-"), "max_lr": ("tab:red", ":")}
HEADROOM = 0.15  # above the highest smoothed loss: a step's loss that runs away would hide all others


def range_test_figure(result: RangeTestResult | None, title: str) -> Figure:
    """Loss and smoothed loss over the rate, with the suggestions. None: there is none yet.

    The losses of several seeds are behind their mean.
    """
    figure = new_figure([3])
    (axes,) = figure.axes
    write(axes.title, title)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    if result is None:
        axes.text(0.5, 0.5, "no result yet", ha="center", transform=axes.transAxes)
        return figure
    loss, smooth = (np.array(values, dtype=np.float64) for values in (result.loss, result.smoothed_loss))
    for i, single in enumerate(result.losses or []):
        values = np.array(single, dtype=np.float64)
        axes.plot(result.lr, values, color="tab:cyan", alpha=0.4, linewidth=0.7, label="" if i else "of a seed")
    mean = f", mean of {len(result.seeds)} seeds" if result.losses else ""
    axes.plot(result.lr, loss, color="tab:gray", alpha=0.5, linewidth=1, label=f"loss of a step{mean}")
    axes.plot(result.lr, smooth, color="tab:blue", linewidth=2, label="smoothed")
    for name, (color, line) in MARKS.items():
        rate = getattr(result.suggestion, name)
        if rate is not None:
            axes.axvline(rate, color=color, linestyle=line, label=f"{name} {rate:.2g}")
    if np.isfinite(smooth).any():
        low, high = float(np.nanmin([loss, smooth])), float(np.nanmax(smooth))
        room = HEADROOM * ((high - low) or 1.0)
        axes.set_ylim(low - room, high + room)
    axes.legend(frameon=False)
    return figure


def draw_job(job: Job, store: JobReader, form: str) -> bytes:
    """The figure of a job of any type; `form` is png or svg."""
    if job.kind == ExperimentSpec.kind:
        return ExperimentReport.of(job, store).picture(store, form)
    if job.kind == RangeTestSpec.kind:
        result = None if job.result is None else RangeTestResult.model_validate(job.result)
        return encoded(range_test_figure(result, title(job.spec)), form)
    return encoded(run_figure(store.epochs(job.key), title(job.spec)), form)
