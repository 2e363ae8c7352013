"""What all pictures have in common: size, grid, no more points than show, and the same bytes for the same data."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

X = TypeVar("X", bound=np.generic)

BUCKETS = 1500  # more points than that cannot be told apart on the picture
TOP, RIGHT, BOTTOM, GAP, PAD = 0.36, 0.12, 0.5, 0.14, 0.06  # inches: of title, edge, label below, between axes


def new_figure(rows: list[int]) -> Figure:
    """Axes below each other over one axis of integers, with these heights."""
    # imported here: half a second that no other answer should wait for. pyplot is not used: it is not thread-safe.
    import matplotlib  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    matplotlib.rcParams["svg.hashsalt"] = "lrserve"  # or every SVG has random ids
    figure = Figure(figsize=(8, 1 + 1.6 * sum(rows)), dpi=100)
    figure.subplots(len(rows), 1, sharex=True, height_ratios=rows)
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def encoded(figure: Figure, form: str) -> bytes:
    """The figure's file; `form` is png or svg."""
    if figure.get_layout_engine() is None:
        _fit(figure)
    file = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if form == "svg" else {}  # the same curve, the same bytes
    figure.savefig(file, format=form, metadata=metadata)
    return file.getvalue()


def _fit(figure: Figure) -> None:
    """Leave as much room as the labels take. Matplotlib's own layout would cost as much time as drawing does."""
    (width, height), rows = figure.get_size_inches(), len(figure.axes)
    axes_height = (height - TOP - BOTTOM - (rows - 1) * GAP) / rows
    figure.subplots_adjust(
        right=1 - RIGHT / width, top=1 - TOP / height, bottom=BOTTOM / height, hspace=GAP / axes_height
    )
    boxes = ((axes.bbox.x0, axes.yaxis.get_tightbbox()) for axes in figure.axes)  # in pixels
    labels = max(left - box.x0 for left, box in boxes if box) / figure.dpi
    figure.subplots_adjust(left=(labels + PAD) / width)


def thin(
    x: NDArray[X], values: NDArray[np.float64], points: int = 2 * BUCKETS
) -> tuple[NDArray[X], NDArray[np.float64]]:
    """At most so many points of a line, with the lowest and the highest of every stretch among them."""
    buckets = min(points // 2, BUCKETS)
    if len(values) <= 2 * buckets:
        return x, values
    size = -(-len(values) // buckets)
    whole = len(values) // size * size
    rows = values[:whole].reshape(-1, size)
    first = np.arange(len(rows)) * size
    kept = np.concatenate([first + rows.argmin(1), first + rows.argmax(1), [0, *range(whole, len(values), size)]])
    kept = np.unique(np.append(kept, len(values) - 1))
    return x[kept], values[kept]
