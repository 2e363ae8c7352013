"""How many drawn schedules `fit` finds again: python -m tests.campaign.fit --count N --seed S [--family NAME].

Each drawn curve is logged in four ways: clean, with six significant digits, with four, and clean at every tenth step.
A family is found if one of the specs returned draws the curve: within 1e-9 of its largest rate where the log is clean,
else within the log's rounding, and a hundredth of that, at every logged step, whatever the spec is called.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lrcore.curve import CurveRequest, table
from lrcore.fit import Fit, fit
from lrcore.grid import Array, Grid
from tests.campaign.draws import FIELDS, Drawn, draw

LOGS = ("clean", "6 digits", "4 digits", "every 10th")
FOUND = 1.01  # times the rounding
WANTED = {"clean": 0.99, "6 digits": 0.97, "every 10th": 0.90}


@dataclass(frozen=True)
class Log:
    """What a run has logged of a curve: `lr` at `step`, each within `tolerance` of the rate."""

    step: NDArray[np.int64]
    lr: Array
    tolerance: Array


def rates(schedule: dict[str, object], base_lr: float | None, step: NDArray[np.int64]) -> Array:
    """A spec's rates at evenly spaced steps."""
    request = CurveRequest.model_validate({"schedule": schedule, "base_lr": base_lr, "steps": 1, "total_steps": 1})
    grid = Grid(int(step[0]), int(step[1] - step[0]), len(step))
    drawn: Array = table(request.schedule, request.base_lrs, grid).lr[0]
    return drawn


def logged(drawn: Drawn, kind: str) -> Log:
    """One of LOGS of a curve."""
    step = np.arange(0, drawn.steps, 10 if kind == "every 10th" else 1)
    lr = rates(drawn.schedule, drawn.base_lr, step)
    exact = 1e-9 * (float(lr.max()) or 1.0)
    if not kind.endswith("digits"):
        return Log(step, lr, np.full(len(lr), exact))
    digits = int(kind[0])
    lr = np.array([float(f"{rate:.{digits - 1}e}") for rate in lr])
    unit = 10.0 ** (np.floor(np.log10(np.maximum(lr, 1e-300))) + 1 - digits)
    return Log(step, lr, np.maximum(0.5 * unit * (1 + 1e-6), 1e-12 * lr.max()))


def excess(log: Log, found: Fit) -> float:
    """The largest distance of a fit from the log, over what rounding explains."""
    drawn = rates(found.schedule, found.base_lr, log.step)
    return float((np.abs(drawn - log.lr) / log.tolerance).max())


def main() -> None:
    """Print the rates, by log and family, and the worst failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", action="append")
    parser.add_argument("--log", action="append", choices=LOGS)
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1800, help="after which no more curves are drawn")
    arguments = parser.parse_args()
    families = arguments.family or sorted(FIELDS)
    until = time.monotonic() + arguments.seconds
    rng = np.random.default_rng(arguments.seed)
    found: dict[str, list[bool]] = defaultdict(list)
    by_family: dict[str, list[bool]] = defaultdict(list)
    failures, slowest = [], (0.0, "")
    for i in range(arguments.count):
        if time.monotonic() > until:
            print(f"stopped after {i} of {arguments.count} curves")
            break
        drawn = draw(families[i % len(families)], rng)
        for kind in arguments.log or LOGS:
            log = logged(drawn, kind)
            begin = time.process_time()
            fits = fit(log.lr, step=log.step)
            slowest = max(slowest, (time.process_time() - begin, json.dumps(drawn.schedule)))
            best = min(excess(log, each) for each in fits)
            found[kind].append(best <= FOUND)
            by_family[drawn.schedule["type"]].append(best <= FOUND)
            if best > FOUND:
                failures.append((best, kind, drawn, fits[0]))
                print(f"missed {kind}: {json.dumps(drawn.schedule)}", file=sys.stderr, flush=True)
    for kind, results in found.items():
        wanted = f" (at least {WANTED[kind]:.0%} is wanted)" if kind in WANTED else ""
        print(f"{kind:>12}: {np.mean(results):.2%} of {len(results)} found{wanted}")
    for name, results in sorted(by_family.items(), key=lambda item: float(np.mean(item[1]))):
        if not all(results):
            print(f"{name:>34}: {np.mean(results):.1%} of {len(results)}")
    print(f"slowest: {slowest[0]:.2f} s of one core: {slowest[1]}")
    for best, kind, drawn, first in sorted(failures, key=lambda failure: -failure[0])[: arguments.show]:
        print(f"{kind}: {best:.3g} times the rounding, {drawn.steps} steps, base_lr {drawn.base_lr}")
        print(f"    {json.dumps(drawn.schedule)}\n    {first.max_error:.2e} {json.dumps(first.schedule)}")


if __name__ == "__main__":
    main()
