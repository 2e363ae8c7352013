"""What all pictures have in common: size, grid, and the same bytes for the same data."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
