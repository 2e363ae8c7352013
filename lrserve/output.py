"""What commands print: tables and curves for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import typer

from lrcore.text import visible

if TYPE_CHECKING:
    from lrcore.reports.leaderboard import Row

BAR = 40
MOST_ROWS = 40


def say(text: str = "", *, err: bool = False, end: str = "\n", colour: str | None = None) -> None:
    """Print text, whoever wrote it: all that commands print passes here. What is no text is shown as an escape.

    Args:
        colour: where there is a terminal.
    """
    typer.secho(visible(text, keep="\n\t") + end, err=err, nl=False, fg=colour)


def print_json(value: Any) -> None:
    """One document."""
    say(json.dumps(value, indent=2, default=_plain))


def print_result(value: Any, text: str, *, as_json: bool) -> None:
    """One document for programs, or its text for people."""
    if as_json:
        print_json(value)
    else:
        say(text)


def print_line(value: Any) -> None:
    """One of several documents, on a line of its own, at once."""
    say(json.dumps(value, separators=(",", ":"), default=_plain))


def _plain(value: Any) -> Any:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "tolist"):
        return _finite(value.tolist())
    raise TypeError(f"{type(value).__name__} is not JSON")


def _finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if value != value else value


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Columns as wide as what stands in them; nothing is cut off."""
    lines = [list(map(visible, head)), *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (lines if any(head) else lines[1:])
    )


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else visible(str(value))


def draw(steps: list[int], lr: list[float]) -> str:
    """A curve as a table with a bar a row; of a long curve, evenly spaced rows."""
    width = max(4, len(str(steps[-1])))
    return _bars(
        f"{'step':>{width}}  {'lr':<12}", [(f"{step:>{width}}", rate) for step, rate in zip(steps, lr, strict=True)]
    )


def draw_losses(lr: Sequence[float], loss: Sequence[float | None], marks: dict[str, float | None]) -> str:
    """A range test: the smoothed loss at each rate, and at which of them the suggestions are."""
    rows = [(f"{rate:<10.3g}", value) for rate, value in zip(lr, loss, strict=True) if value is not None]
    rates = [rate for rate, value in zip(lr, loss, strict=True) if value is not None]
    notes: dict[int, list[str]] = {}
    for name, rate in marks.items():
        if rate is not None and rates:
            nearest = min(range(len(rates)), key=lambda i: abs(rates[i] - rate))
            notes.setdefault(nearest, []).append(name)
    return _bars(f"{'lr':<10}  {'loss':<12}", rows, {i: ", ".join(names) for i, names in notes.items()})


def _bars(head: str, rows: Sequence[tuple[str, float]], notes: dict[int, str] | None = None) -> str:
    notes = notes or {}
    stride = -(-len(rows) // MOST_ROWS) or 1
    top = max((value for _, value in rows), default=0.0) or 1.0
    shown = sorted({*range(0, len(rows), stride), *notes, *([len(rows) - 1] if rows else [])})
    lines = [head.rstrip()]
    for i in shown:
        label, value = rows[i]
        bar = "█" * round(BAR * max(0.0, value) / top)
        note = f"  ← {notes[i]}" if i in notes else ""
        lines.append(f"{label}  {value:<12.6g} {bar}{note}".rstrip())
    return "\n".join(lines)


def board(rows: Sequence[Row]) -> str:
    """A leaderboard as a table: accuracies of the last epoch, and the difference to the leader with its interval."""
    from lrcore.jobs.configuration_labels import labels

    shown = list(map(visible, labels([row.settings for row in rows])))
    width = max(map(len, shown))
    lines = [f"{'':3} {'':{width}} {'final test accuracy':>20}  {'difference to the first (95 %)'}"]
    for row, label in zip(rows, shown, strict=True):
        figure, apart = row.final_test_accuracy, row.difference
        mean = (
            "" if figure is None else f"{figure.mean:.4f}" + (f" ± {figure.std:.4f}" if figure.std is not None else "")
        )
        difference = "" if apart is None else f"{apart.mean:+.4f}"
        if apart is not None and apart.low is not None and apart.high is not None:
            difference += f"  [{apart.low:+.4f}, {apart.high:+.4f}]"
        lost = [f"{row.runs[state]} {state}" for state in ("failed", "pruned") if state in row.runs]
        lines.append(f"{row.rank:3} {label:{width}} {mean:>20}  {difference:26} {', '.join(lost)}".rstrip())
    return "\n".join(lines) + "\n"
