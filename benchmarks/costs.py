"""Search for requests that take longer than their estimate, by family.

Claim: a curve takes at most three times the estimate that bounds it (lrcore/numerics/cost.py), scaled to
the machine's speed.

    python -m benchmarks.costs [--draws N] [--climbs N] [--seed N] [FAMILY ...]

Random requests of each family, then the worst ones changed again and again. Times are processor time, the least of
several; what is estimated above SECONDS is left out, so that a search ends.
"""

from __future__ import annotations

import argparse
import json
import platform
from random import Random

import lrcore.numerics.cost
from lrcore.schedules import SCHEDULES
from tests.lrcore.costs import Found, accepted, drawn, measured, reference, slowness, worse

SECONDS = 0.2
MOST = 3.0  # times the estimate
KEPT = 5  # worst ones that are changed


def search(name: str, random: Random, draws: int, climbs: int) -> tuple[list[Found], int]:
    """The worst requests of a family, and how many were measured."""
    slow = slowness()
    worst: list[Found] = []
    tried = 0
    for i in range(draws + climbs):
        fields = drawn(random, name) if i < draws or not worst else worse(random, random.choice(worst).fields)
        request = fields and accepted(fields)
        if not request:
            continue
        tried += 1
        found = measured(request, slow)
        if len(worst) < KEPT or found.ratio > worst[-1].ratio:
            found = measured(request, slow, 4)
            worst = sorted([*worst, found], key=lambda each: -each.ratio)[:KEPT]
    return worst, tried


def main() -> None:
    """Print the worst ratio of each family."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    parser.add_argument("--draws", type=int, default=150)
    parser.add_argument("--climbs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    lrcore.numerics.cost.MOST = SECONDS * lrcore.numerics.cost.SECOND
    print(f"{platform.processor() or platform.machine()}, reference {reference() * 1000:.1f} ms")
    missed = 0
    for name in given.families or SCHEDULES:
        worst, tried = search(name, Random(f"{given.seed} {name}"), given.draws, given.climbs)
        ratio = worst[0].ratio if worst else 0.0
        missed += ratio > MOST
        print(f"{name:36} {tried:6} {ratio:8.2f} {'' if ratio <= MOST else 'missed'}", flush=True)
        if ratio > 1 and worst:
            print("   ", f"{worst[0].seconds:.4f} s", json.dumps(worst[0].fields)[:1500])
    print("holds" if not missed else f"{missed} families take longer")


if __name__ == "__main__":
    main()
