"""Print the reference of all schedules as Markdown: python -m lrcore.schedules > docs/schedules.md."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator

from lrcore.reference import introduction, table
from lrcore.schedules import SCHEDULES, Schedule

HEAD = """# Schedules

Made from the code by `make docs`; do not edit. The same, as JSON with full JSON Schemas, is at `GET /v1/schedules`.

`lr(t)` is the rate in force during interval `t` (an epoch or an optimizer step), counted from 0: what a torch optimizer
holds before the t-th `scheduler.step()`. `base_lr` is the optimizer's initial rate; a schedule that names a rate of its
own brings that. A length in steps may also be a share of the run, rounded up to a whole step: `"10%"`, or `"5ep"` for
five epochs. Where a framework's own class does something else than its name says, the entry says so.
"""


def reference() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for schedule in SCHEDULES.values() for line in _entry(schedule))])


def _entry(schedule: type[Schedule]) -> Iterator[str]:
    yield f"## {schedule.name()}\n"
    yield f"{introduction(schedule)}\n"
    yield f"    {schedule.formula}\n"
    yield f"{inspect.getdoc(schedule)}\n"
    yield table(schedule)
    yield f"\n```json\n{json.dumps(schedule.example)}\n```\n"


if __name__ == "__main__":
    print(reference(), end="")
