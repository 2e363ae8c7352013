"""Learning rates out of the files that TensorBoard, W&B, the Hugging Face Trainer, pandas and Excel write."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RATE = re.compile(r"(^|[^a-z])(lr|learning[ _-]?rate)([^a-z]|$)")
RATES = ("lr", "learning_rate", "learning rate", "train/learning_rate", "value")  # value: TensorBoard's
STEPS = ("step", "global_step", "_step", "train/global_step", "trainer/global_step", "iteration", "iter")
ENDS = ("__min", "__max")  # of the columns that W&B adds to each


class LogError(ValueError):
    """A file is no log of rates. The message names the line and the way out."""


@dataclass(frozen=True)
class Log:
    """Logged rates.

    Attributes:
        lr: the rates, in the order of the steps.
        step: their steps, rising; None if the file has no steps, so that the rates count from 0.
    """

    lr: list[float]
    step: list[int] | None


@dataclass(frozen=True)
class _Row:
    """What a line holds, by column."""

    line: int
    cells: dict[str, Any]
    comma: bool = False  # whether numbers may have a decimal comma


def read_log(path: str, column: str | None = None) -> Log:
    """The rates in a file: one per line, CSV (`,`, `;` or tabs), JSON or JSON lines.

    Args:
        path: of the file; - is standard input.
        column: the name of the column, or key, with the rates; found by its name if None.

    Raises:
        LogError: the file cannot be read, or is no such log.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise LogError(f"{path}: {error.strerror}") from None
    return parse_log(_decoded(data, path), column)


def _decoded(data: bytes, path: str) -> str:
    """Excel's "Unicode text" is UTF-16, its CSV may have a BOM."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise LogError(f"{path} is not UTF-8 text: save it as CSV in UTF-8") from None


def parse_log(text: str, column: str | None = None) -> Log:
    """The rates in a text, as `read_log` reads them. Raises LogError."""
    rows = list((_json_rows if text.lstrip()[:1] in ("[", "{") else _table_rows)(text))
    if not rows:
        raise LogError("the file has no rates: write one per line, or CSV with a first line such as step,lr")
    return _log(rows, column)


def _log(rows: list[_Row], column: str | None) -> Log:
    columns = list(dict.fromkeys(name for row in rows for name in row.cells))
    rate, step = _rate_column(columns, column), _step_column(columns)
    lr: list[float] = []
    steps: list[int] = []
    for row in rows:
        if _is_empty(row.cells.get(rate)):
            continue  # nothing was logged there
        value = _number(row, rate)
        if value < 0:
            raise LogError(f"line {row.line}, {_label(rate)}: {value:g} is negative, which no learning rate is")
        if step is not None:
            at = _step(row, step)
            if steps and at <= steps[-1]:
                if at == steps[-1] and value == lr[-1]:
                    continue
                raise LogError(
                    f"line {row.line}, {_label(step)}: step {at} does not come after {steps[-1]}: "
                    "keep the rows of one run, in the order of their steps"
                )
            steps.append(at)
        lr.append(value)
    if len(lr) < 2:
        raise LogError(f"{_label(rate)} has {len(lr)} rates, but a fit needs at least 2: choose a column with --column")
    return Log(lr, steps if step is not None else None)


def _rate_column(columns: list[str], wanted: str | None) -> str:
    """The name of the column with the rates."""
    known = ", ".join(map(repr, columns[:20]))
    if wanted is not None:
        named = [name for name in columns if name == wanted] or [
            name for name in columns if name.strip().lower() == wanted.strip().lower()
        ]
        if not named:
            raise LogError(f"there is no column {wanted!r}: choose one of {known} with --column")
        return named[0]
    if len(columns) == 1:
        return columns[0]
    lower = {name.strip().lower(): name for name in reversed(columns)}
    for name in RATES:
        if name in lower:
            return lower[name]
    found = [name for low, name in lower.items() if RATE.search(low) and not low.endswith(ENDS)]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(map(repr, sorted(found)[:20]))
        raise LogError(f"several columns may be the learning rate: choose one of {listed} with --column")
    raise LogError(f"no column looks like a learning rate: choose one of {known} with --column")


def _step_column(columns: list[str]) -> str | None:
    lower = {name.strip().lower(): name for name in reversed(columns)}
    return next((lower[name] for name in STEPS if name in lower), None)


def _label(column: str) -> str:
    return f"column {column!r}" if column else "the list"


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _number(row: _Row, column: str) -> float:
    """A cell as a finite number."""
    value = row.cells.get(column)
    where = f"line {row.line}, {_label(column)}"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise LogError(f"{where}: {json.dumps(value)[:40]} is not a number")
    text = str(value).strip()
    if row.comma and "," in text:
        text = text.replace(".", "").replace(",", ".")
    try:
        number = float(text)
    except (ValueError, OverflowError):
        raise LogError(f"{where}: {text[:40]!r} is not a number") from None
    if not math.isfinite(number):
        raise LogError(f"{where}: {text[:40]} is not a finite number: leave the row out, or the cell empty")
    return number


def _step(row: _Row, column: str) -> int:
    if _is_empty(row.cells.get(column)):
        raise LogError(f"line {row.line}, {_label(column)}: the step is missing: fill it in, or leave the row out")
    number = _number(row, column)
    if number != int(number) or not 0 <= number <= 1e15:
        raise LogError(f"line {row.line}, {_label(column)}: {number:g} is not a whole step from 0 to 1e15")
    return int(number)


def _json_rows(text: str) -> Iterator[_Row]:
    """Rows of a JSON document, or of one on each line; entries of a document count as lines from 1."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and error.msg == "Extra data":
            yield from _json_lines(text)
            return
        raise LogError(f"line {error.lineno}: this is not JSON: {error.msg}") from None
    except RecursionError:
        raise LogError("the JSON is nested too deep for a log") from None
    except ValueError:
        raise LogError("the JSON has a number with too many digits for a learning rate") from None
    if isinstance(value, dict) and isinstance(value.get("log_history"), list):
        value = value["log_history"]  # the Trainer's trainer_state.json
    if isinstance(value, dict) and any(isinstance(each, list) for each in value.values()):
        yield from _columns({name: each for name, each in value.items() if isinstance(each, list)})
        return
    for i, entry in enumerate(value if isinstance(value, list) else [value], 1):
        yield _Row(i, entry if isinstance(entry, dict) else {"": entry})


def _columns(columns: dict[str, list[Any]]) -> Iterator[_Row]:
    """Rows of an object with a list for each column."""
    lengths = {len(each) for each in columns.values()}
    if len(lengths) > 1:
        raise LogError("the lists of the JSON object have different lengths: give one entry per step in each")
    for i in range(lengths.pop()):
        yield _Row(i + 1, {name: each[i] for name, each in columns.items()})


def _json_lines(text: str) -> Iterator[_Row]:
    for i, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LogError(f"line {i}: this is not JSON: {error}") from None
        yield _Row(i, entry if isinstance(entry, dict) else {"": entry})


def _table_rows(text: str) -> Iterator[_Row]:
    """Rows of a table, or of numbers alone."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    mark = next((mark for mark in ("\t", ";", ",") if mark in first), None)
    comma = mark != ","
    if mark is None and (_is_number(first.split()) or not first):
        for i, line in enumerate(lines, 1):
            yield from (_Row(i, {"": number}, comma) for number in line.split())
        return
    reader = csv.reader(lines, delimiter=mark or "\0")
    names: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = _header(cells)
                if cells == names:
                    continue
            yield _Row(reader.line_num, dict(zip(names, cells, strict=False)), comma)
    except csv.Error as error:
        raise LogError(f"line {reader.line_num}: this is not CSV: {error}") from None


def _header(cells: list[str]) -> list[str]:
    """The names of the columns: the first line, or for numbers alone what they must be."""
    if not _is_number(cell for cell in cells if cell.strip()):
        return cells
    if len(cells) > 2:
        raise LogError("line 1: the columns have no names: put a line such as step,lr before the numbers")
    return ["step", "lr"][-len(cells) :]


def _is_number(cells: Iterable[str]) -> bool:
    cells = list(cells)
    try:
        return bool(cells) and all(math.isfinite(float(cell.replace(",", "."))) for cell in cells)
    except ValueError:
        return False
