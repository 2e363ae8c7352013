"""A service under siege stays well: it answers, keeps its memory bounded, and does the honest tenant's work."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.security.siege.report import Verdict
from tests.security.siege.siege import Plan, besieged

MEMORY = 2**30
SHORT_SECONDS = 80.0  # with the service's start and the last job, two minutes
KEPT = Path("build/siege")


def seed() -> int:
    """Read SIEGE_SEED, or draw a seed."""
    return int(os.environ.get("SIEGE_SEED") or random.randrange(10**6))


def held(verdict: Verdict, p99: float, longest: float) -> None:
    """Fail with everything that is wrong."""
    print(verdict.text())
    wrong = list(verdict.faults)
    if verdict.p99 > p99:
        wrong.append(f"/healthz: p99 {verdict.p99:.3f} s, more than {p99:g}")
    if verdict.longest > longest:
        wrong.append(f"/healthz: longest {verdict.longest:.3f} s, more than {longest:g}")
    if verdict.memory[0] > MEMORY:
        wrong.append(f"the API had {verdict.memory[0] / 2**20:.0f} MiB, more than {MEMORY / 2**20:.0f}")
    if not verdict.honest:
        wrong.append("no job of the honest tenant ended")
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.timeout(900)
def test_a_service_stays_well_under_attack(tmp_path: Path) -> None:
    """The bounds on time are for a machine whose cores have other tests to run."""
    plan = Plan(SHORT_SECONDS, seed(), attackers=20)
    print(f"SIEGE_SEED={plan.seed}")
    held(besieged(tmp_path / "home", plan, tmp_path / "siege"), p99=1.0, longest=5.0)


@pytest.mark.siege
@pytest.mark.timeout(0)
def test_a_service_stays_well_under_a_long_siege(tmp_path: Path) -> None:
    minutes = float(os.environ.get("SIEGE_MINUTES") or 20)
    plan = Plan(60 * minutes, seed(), attackers=60, long=True)
    print(f"SIEGE_SEED={plan.seed}: requests that break something are kept in {KEPT}")
    held(besieged(tmp_path / "home", plan, KEPT.absolute()), p99=0.1, longest=5.0)
