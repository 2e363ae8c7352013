"""Curves as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrcore.curve import Curve
from lrcore.errors import CurveError
from lrcore.pictures.figure import encoded, new_figure, thin
from lrcore.pictures.lettering import legend, legend_below, width, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 60  # points drawn one by one
MOST_LINES = 200
POINTS = 40_000  # of all lines together: a second to draw, and where they go up and down all the time, some seconds
ENTRIES = 40  # of a legend
INSIDE, SHORT = 8, 40  # entries and columns of a name that leave the lines beside them in sight


def check_lines(lines: int) -> None:
    """Raise CurveError if a picture would have more lines than can be told apart."""
    if lines > MOST_LINES:
        message = f"a picture has at most {MOST_LINES} lines, one per parameter group of each curve, not {lines}; "
        raise CurveError(("curves",), message + "ask for json, csv, npy or arrow, or for fewer curves")


def draw_curves(curves: Sequence[tuple[str, Curve]], title: str, form: str, axis: str) -> bytes:
    """Rates over the steps, one line a curve and parameter group, momentum below them; `form` is png or svg.

    Args:
        curves: names and curves, all over the same steps.
        axis: linear or log, of the rates.
    """
    cycling = any(curve.momentum is not None for _, curve in curves)
    figure = new_figure([2, 1] if cycling else [2])
    axes = figure.axes
    several = len(curves) > 1 or len(curves[0][1].lr) > 1
    points = POINTS // sum(len(curve.lr) for _, curve in curves)
    names: list[str] = []  # of the lines so far: a curve has one colour in both pictures
    for name, curve in curves:
        labels = [" ".join(filter(None, (name, str(i) if len(curve.lr) > 1 else ""))) for i in range(len(curve.lr))]
        _lines(axes[0], curve.steps, curve.lr, len(names), points)
        if curve.momentum is not None:
            _lines(axes[1], curve.steps, curve.momentum, len(names), points)
        names += labels
    write(axes[0].title, title)
    axes[0].set_ylabel("learning rate")
    if axis == "log":
        axes[0].set_yscale("log")
    else:
        axes[0].set_ylim(bottom=0)
    if cycling:
        axes[1].set_ylabel("momentum")
    axes[-1].set_xlabel("step")
    if several:
        heading = "parameter group" if len(curves) == 1 else None
        if len(names) > ENTRIES:
            heading = f"the first {ENTRIES} of {len(names)} lines"
        handles, named = axes[0].get_lines()[:ENTRIES], names[:ENTRIES]
        if len(named) > INSIDE or max(map(width, named)) > SHORT:
            legend_below(figure, handles, named, title=heading)
        else:
            legend(axes[0], handles, named, title=heading, frameon=False)
    return encoded(figure, form)


def _lines(axes: Axes, steps: NDArray[np.int64], values: NDArray[np.float64], first: int, points: int) -> None:
    few = len(steps) <= FEW
    for i, line in enumerate(values, first):
        x, y = thin(steps, line, points)
        # a rate holds for its whole interval, which shows while intervals are wide enough to be seen
        style: dict[str, Any] = {"drawstyle": "steps-post", "marker": "o", "markersize": 3} if few else {}
        axes.plot(x, y, color=f"C{i}", **style)
