"""How many drawn schedules `fit` finds again: python -m tests.campaign.fit --count N --seed S [--family NAME].

Each drawn curve is logged in four ways: clean, with six significant digits, with four, and clean at every tenth step.
A spec explains a log that it draws within the log's rounding at every logged step, 1e-9 of the largest rate where the
log is clean. A schedule is found if one of the specs returned explains its log and is of its family, or draws its curve
at the steps between, too. A log is ambiguous, and counts neither way, if only others explain it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lrcore.curve import CurveRequest, table
from lrcore.fit import Fit, fit
from lrcore.numerics.grid import Array, Grid
from tests.campaign.draws import FIELDS, Drawn, draw

LOGS = ("clean", "6 digits", "4 digits", "every 10th")
ROUNDING = 1 + 1e-6  # of the distance from the log that its rounding explains
WANTED = {"clean": 0.99, "6 digits": 0.97, "every 10th": 0.90}
Verdict = Literal["found", "ambiguous", "missed"]


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


def explains(log: Log, found: Fit) -> bool:
    """Whether a spec draws a log within its rounding."""
    return bool((np.abs(rates(found.schedule, found.base_lr, log.step) - log.lr) <= ROUNDING * log.tolerance).all())


def verdict(drawn: Drawn, log: Log, fits: list[Fit]) -> Verdict:
    """Whether a schedule is among those that were found in its log."""
    explaining = [each for each in fits if explains(log, each)]
    if any(each.schedule["type"] == drawn.schedule["type"] for each in explaining):
        return "found"
    between = logged(drawn, "clean")
    if any(
        np.abs(rates(each.schedule, each.base_lr, between.step) - between.lr).max() <= between.lr.max() * 1e-6
        for each in explaining
    ):
        return "found"
    return "ambiguous" if explaining else "missed"


@dataclass(frozen=True)
class Case:
    """One log of one drawn schedule: the verdict, and the seconds of a core that it took."""

    drawn: Drawn
    kind: str
    verdict: Verdict
    first: Fit
    seconds: float


def cases(families: list[str], kinds: list[str], seed: int, i: int) -> list[Case]:
    """Draw the schedule with index `i` of a campaign, and look for it in each of its logs."""
    drawn, made = draw(families[i % len(families)], np.random.default_rng([seed, i])), []
    for kind in kinds:
        log, begin = logged(drawn, kind), time.process_time()
        fits = fit(log.lr, step=log.step)
        made.append(Case(drawn, kind, verdict(drawn, log, fits), fits[0], time.process_time() - begin))
    return made


def main() -> None:
    """Print the shares found, by log and family, and what was missed; exit with 1 if they are too low."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--family", action="append")
    parser.add_argument("--log", action="append", choices=LOGS)
    asked = parser.parse_args()
    one = partial(cases, asked.family or sorted(FIELDS), asked.log or list(LOGS), asked.seed)
    began = time.monotonic()
    with ProcessPoolExecutor() as pool:
        made = [case for each in pool.map(one, range(asked.count), chunksize=8) for case in each]
    print(*_missed(made), sep="\n", file=sys.stderr)
    enough = [_summed_up(kind, [case for case in made if case.kind == kind]) for kind in asked.log or LOGS]
    _by_family(made)
    slowest = max(made, key=lambda case: case.seconds)
    print(f"slowest: {slowest.seconds:.2f} s of one core: {json.dumps(slowest.drawn.schedule)}")
    print(f"{asked.count} schedules, {time.monotonic() - began:.0f} s")
    sys.exit(not all(enough))


def _missed(made: list[Case]) -> Iterator[str]:
    for case in made:
        if case.verdict == "missed":
            drawn = case.drawn
            yield f"missed {case.kind}, {drawn.steps} steps, base_lr {drawn.base_lr}: {json.dumps(drawn.schedule)}"
            yield f"    {case.first.max_error:.2e} {json.dumps(case.first.schedule)}"


def _summed_up(kind: str, made: list[Case]) -> bool:
    counts = Counter(case.verdict for case in made)
    share = counts["found"] / max(1, counts["found"] + counts["missed"])
    wanted = WANTED.get(kind, 0.0)
    note = f" (at least {wanted:.0%} is wanted)" if wanted else ""
    print(
        f"{kind:>12}: {share:.2%} of {counts['found'] + counts['missed']} found, {counts['ambiguous']} ambiguous{note}"
    )
    return share >= wanted


def _by_family(made: list[Case]) -> None:
    found: dict[str, list[bool]] = defaultdict(list)
    for case in made:
        if case.verdict != "ambiguous":
            found[case.drawn.schedule["type"]].append(case.verdict == "found")
    for name, results in sorted(found.items(), key=lambda item: float(np.mean(item[1]))):
        if not all(results):
            print(f"{name:>34}: {np.mean(results):.1%} of {len(results)}")


if __name__ == "__main__":
    main()
