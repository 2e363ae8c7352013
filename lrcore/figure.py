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


def new_figure(rows: list[int]) -> Figure:
    """Axes below each other over one axis of integers, with these heights."""
    # imported here: half a second that no other answer should wait for. pyplot is not used: it is not thread-safe.
    import matplotlib  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    matplotlib.rcParams["svg.hashsalt"] = "lrserve"  # or every SVG has random ids
    figure = Figure(figsize=(8, 1 + 1.6 * sum(rows)), dpi=100, layout="constrained")
    figure.subplots(len(rows), 1, sharex=True, height_ratios=rows)
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def encoded(figure: Figure, form: str) -> bytes:
    """The figure's file; `form` is png or svg."""
    file = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if form == "svg" else {}  # the same curve, the same bytes
    figure.savefig(file, format=form, metadata=metadata)
    return file.getvalue()


def thin(x: NDArray[X], values: NDArray[np.float64]) -> tuple[NDArray[X], NDArray[np.float64]]:
    """At most 2 * BUCKETS points of a line, with the lowest and the highest of every stretch among them."""
    if len(values) <= 2 * BUCKETS:
        return x, values
    size = -(-len(values) // BUCKETS)
    whole = len(values) // size * size
    rows = values[:whole].reshape(-1, size)
    first = np.arange(len(rows)) * size
    kept = np.concatenate([first + rows.argmin(1), first + rows.argmax(1), [0, *range(whole, len(values), size)]])
    kept = np.unique(np.append(kept, len(values) - 1))
    return x[kept], values[kept]
