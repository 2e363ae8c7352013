"""The configurations of an experiment in one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lrcore.numerics.statistics import Floats, Moments, moments
from lrcore.pictures.figure import encoded, new_figure, thin
from lrcore.pictures.lettering import legend_below, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Paul Tol's muted colours, which the colour-blind can tell apart, without their grey, and black:
# https://sronpersonalpages.nl/~pault/
COLORS = (
    "#332288",
    "#CC6677",
    "#117733",
    "#88CCEE",
    "#999933",
    "#AA4499",
    "#44AA99",
    "#882255",
    "#DDCC77",
    "#000000",
)
GREY = "#c4c4c4"
NEAREST = 0.05  # of accuracy: a line this close to the better half is among those to be told apart
SPAN = 2  # times the range of what is to be told apart is shown
ROOM = 0.05  # of the range, above and below
APART = 10  # times the lowest line's highest rate: with a higher one, rates are drawn on a logarithmic axis
FLOOR = 0.01  # of the lowest line's highest rate: a logarithmic axis shows nothing below it


Steps = tuple[Floats, Floats]  # places in epochs, and the rate from there on


def steps(lr: Floats, per_epoch: int) -> Steps:
    """The rates of a run's intervals as they are drawn, which for a long run takes far less memory.

    Args:
        lr: shape (n,), not empty.
        per_epoch: intervals an epoch.
    """
    # the last interval ends where no other begins
    return thin(np.arange(lr.size + 1) / per_epoch, np.append(lr, lr[-1]))


@dataclass(frozen=True, eq=False)
class Line:
    """A configuration in the picture."""

    label: str
    rank: int  # from 1
    rates: Steps | None
    accuracy: Floats  # after each epoch: shape (seeds, epochs), NaN where there is none yet


def draw_experiment(title: str, lines: Sequence[Line], form: str, *, more: int = 0) -> bytes:
    """Test accuracy, as mean over seeds and one deviation to both sides, and rate, over finished epochs.

    The first ten by rank are in colour and named; the others are grey, their means alone. The accuracies' axis is for
    telling the better half apart: what lies below it is counted in a note.

    Args:
        form: png or svg.
        more: configurations that are not among the lines, for the legend.
    """
    figure = new_figure([3, 2])
    accuracy, rate = figure.axes
    write(accuracy.title, title)
    accuracy.set_ylabel("test accuracy")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epochs finished")
    ordered = sorted(lines, key=lambda line: line.rank)
    over_seeds = [moments(line.accuracy.T) for line in ordered]
    for place in reversed(range(len(ordered))):  # the best one on top
        _draw(accuracy, rate, ordered[place], over_seeds[place], place)
    begun = [found.mean[found.n > 0] for found in over_seeds if found.n.any()]
    if begun:
        _focus(accuracy, begun)
        _bands(accuracy, over_seeds[: len(COLORS)])
    else:
        accuracy.text(0.5, 0.5, "no finished epoch", ha="center", transform=accuracy.transAxes)
        accuracy.set_yticks([])
    _scale(rate, [line.rates[1] for line in ordered if line.rates])
    _legend(figure, ordered[: len(COLORS)], grey=max(0, len(ordered) - len(COLORS)), more=more)
    return encoded(figure, form)


def _draw(accuracy: Axes, rate: Axes, line: Line, over_seeds: Moments, place: int) -> None:
    mean = over_seeds.mean
    at = np.arange(1, len(mean) + 1)
    style: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "zorder": 0.5}
    if place < len(COLORS):
        style = {"color": COLORS[place], "linewidth": 1.5}
        accuracy.plot(at, mean, color=COLORS[place], marker="o", markersize=3, linestyle="none")
    accuracy.plot(at, mean, **style)
    if line.rates:
        rate.plot(*line.rates, **style, drawstyle="steps-post")


def _bands(axes: Axes, over_seeds: Sequence[Moments]) -> None:
    """One deviation to both sides of the lines that end in sight: that of a line below would cover the others."""
    bottom, _ = axes.get_ylim()
    for color, (n, mean, std) in zip(COLORS, over_seeds, strict=False):
        if n.any() and mean[n > 0][-1] >= bottom:
            at = np.arange(1, len(mean) + 1)
            axes.fill_between(at, mean - std, mean + std, color=color, alpha=0.15, linewidth=0)


def _focus(axes: Axes, means: Sequence[Floats]) -> None:
    """Limit the axis so that good lines can be told apart, and note what it leaves out.

    Lines far below the better half by their last value are left out of account. Of the others, SPAN times the range of
    the second half of their values is shown, or all of it if that is less. A single line is shown whole.

    Args:
        means: of each line the values that there are, at least one.
    """
    ends = np.sort([mean[-1] for mean in means])
    half = ends[len(ends) // 2 :]
    near = half[0] - max(NEAREST, 2 * (half[-1] - half[0]))
    good = [mean for mean in means if mean[-1] >= near]
    top, low = max(map(np.max, good)), min(map(np.min, good))
    if len(means) > 1:
        late = min(mean[len(mean) // 2 :].min() for mean in good)
        low = max(low, top - SPAN * (top - late))
    room = ROOM * ((top - low) or 1.0)
    bottom = low - room
    axes.set_ylim(bottom, top + 2 * room)
    note = _below(means, bottom)
    if note:
        axes.text(0.99, 0.02, note, ha="right", fontsize=8, color="#555555", transform=axes.transAxes)


def _below(means: Sequence[Floats], bottom: float) -> str:
    whole = sum(bool(mean.max() < bottom) for mean in means)
    parts = sum(bool(mean.min() < bottom) for mean in means) - whole
    said = [f"{whole} line{'s' * (whole > 1)}"] if whole else []
    if parts:
        said.append(f"part of {parts}")
    return f"below: {' and '.join(said)}" if said else ""


def _scale(axes: Axes, rates: Sequence[Floats]) -> None:
    peaks = [peak for peak in (float(lr.max()) for lr in rates) if peak > 0]
    if peaks and max(peaks) > APART * min(peaks):
        axes.set_yscale("log", nonpositive="clip")
        axes.set_ylim(bottom=max(FLOOR * min(peaks), min(float(lr[lr > 0].min()) for lr in rates if lr.max() > 0)) / 2)
    else:
        axes.set_ylim(bottom=0)


def _legend(figure: Figure, named: Sequence[Line], grey: int, more: int) -> None:
    from matplotlib.lines import Line2D  # noqa: PLC0415 - as in lrcore.pictures.figure

    if not named:
        return
    handles = [Line2D([], [], color=color) for color, _ in zip(COLORS, named, strict=False)]
    labels = [f"{line.rank}. {line.label}" for line in named]
    if grey or more:
        handles.append(Line2D([], [], color=GREY, linestyle="-" if grey else "none"))
        labels.append(f"and {grey + more} more")
    legend_below(figure, handles, labels)
