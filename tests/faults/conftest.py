"""The table of faults and what became of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import running_service
from tests.faults.harness import Reference, Row, Trial

HEADINGS = ("fault", "rounds", "jobs", "attempts", "epochs once", "bit for bit", "seconds", "outcome")
OUTCOMES = {"passed": "held", "failed": "FAILED", "error": "ERROR", "skipped": "skipped"}
SAID = {None: "-", True: "yes", False: "NO"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every fault has its row before anything can go wrong."""
    if marker := item.get_closest_marker("faults"):
        variant = getattr(item, "callspec", None)
        name = marker.args[0] + (f" ({variant.id})" if variant else "")
        item.user_properties.append(("fault", Row(name)))


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    """The fault's line in the table."""
    return next(value for name, value in request.node.user_properties if name == "fault")


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """A service to which nothing happens. Its experiments have shards of two runs, as all in the stories have."""
    with running_service(tmp_path_factory.mktemp("undisturbed") / "home", runs_at_once=2) as service:
        yield Reference(service)


@pytest.fixture
def trial(row: Row, reference: Reference, tmp_path: Path) -> Trial:
    """A fault's story."""
    return Trial(tmp_path / "home", row, reference)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[Any]:
    began = time.monotonic()
    try:
        return (yield)
    finally:
        for name, row in item.user_properties:
            if name == "fault":
                row.seconds = time.monotonic() - began


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The table, failures too."""
    lines: list[tuple[str, ...]] = []
    notes: list[str] = []
    for outcome, shown in OUTCOMES.items():
        for report in terminalreporter.stats.get(outcome, []):
            for row in (value for name, value in getattr(report, "user_properties", ()) if name == "fault"):
                lines.append(_cells(row, shown + _reason(report)))
                notes += [f"{row.fault}: {note}" for note in row.notes]
    if not lines:
        return
    terminalreporter.section("faults and what became of them")
    table = [HEADINGS, *lines]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADINGS))]
    for line in table:
        terminalreporter.write_line(" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
    for note in notes:
        terminalreporter.write_line(note)


def _cells(row: Row, outcome: str) -> tuple[str, ...]:
    return (
        row.fault,
        *map(str, (row.rounds, row.jobs, row.attempts)),
        SAID[row.epochs_once],
        SAID[row.bit_for_bit],
        f"{row.seconds:.1f}",
        outcome,
    )


def _reason(report: Any) -> str:
    return f": {report.longrepr[2].removeprefix('Skipped: ')}" if isinstance(report.longrepr, tuple) else ""
