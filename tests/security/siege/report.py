"""What a siege came to: its figures, what went wrong, and a table of the attacks."""

from __future__ import annotations

import json
import statistics
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from lrcore.service.machine import cores
from tests.security.siege.watch import PROBE_SECONDS

Line = dict[str, Any]


def lines(file: Path) -> list[Line]:
    """Read a file of JSON lines; the last one may be cut, as its writer was ended."""
    found = []
    for text in file.read_text().splitlines():
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return found


def probes(measured: list[Line]) -> list[float]:
    """Latencies of the health probe in seconds, in rising order.

    A probe that waits holds up the next ones. They count as if they had been sent in time, so that a stall of ten
    seconds is as many late answers as it would have been for others.
    """
    found = []
    for line in measured:
        if "seconds" in line:
            late = float(line["seconds"])
            while late > 0:
                found.append(late)
                late -= PROBE_SECONDS
    return sorted(found)


def quantile(ordered: list[float], share: float) -> float:
    """Return the value below which a share of the ordered values lies; 0 if there are none."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0


@dataclass
class Verdict:
    """The figures of a siege.

    Attributes:
        health: latencies of the health probe in seconds, in rising order.
        crowding: how many threads wanted each core, those of the siege included; at least 1.
        memory: largest resident bytes of the API's process and its children, shared pages once, and of it alone.
        faults: what went wrong.
        table: a line of Markdown for each attack.
    """

    health: list[float]
    crowding: float
    memory: tuple[float, float]
    honest: list[float]
    outcomes: list[Line]
    faults: list[str] = field(default_factory=list)
    table: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: Path, honest: list[float]) -> Verdict:
        """Read what attacker and probe have written."""
        measured, outcomes = lines(folder / "watch.jsonl"), lines(folder / "outcomes.jsonl")
        samples = [line for line in measured if "cpu" in line]
        memory = max(line["together"] for line in samples), max(line["own"] for line in samples)
        crowding = statistics.mean(line["runnable"] for line in samples) / cores()
        found = cls(probes(measured), max(1.0, crowding), memory, honest, outcomes)
        unwell = sum(not line["well"] for line in measured if "well" in line)
        if unwell:
            found.faults.append(f"/healthz was not 200 in {unwell} probes")
        found.faults += [f"{x['attack']}: {x['fault']}: {x['detail']}" for x in lines(folder / "faults.jsonl")]
        found.table = table(outcomes, samples)
        return found

    @property
    def p99(self) -> float:
        """99th percentile of the health probe in seconds."""
        return quantile(self.health, 0.99)

    @property
    def longest(self) -> float:
        """The slowest health probe in seconds."""
        return self.health[-1] if self.health else float("inf")

    def text(self) -> str:
        """Format everything."""
        ms = [f"{name} {quantile(self.health, share) * 1e3:.1f} ms" for name, share in (("p50", 0.5), ("p99", 0.99))]
        jobs = f"{len(self.honest)} jobs of the honest tenant"
        if self.honest:
            jobs += f", median {statistics.median(self.honest):.1f} s, longest {max(self.honest):.1f} s"
        statuses = Counter(str(line["status"]) for line in self.outcomes)
        return "\n".join(
            [
                f"/healthz: {ms[0]}, {ms[1]}, longest {self.longest * 1e3:.1f} ms, of {len(self.health)} probes",
                f"machine: {self.crowding:.1f} threads wanted each of {cores()} cores",
                f"API: at most {self.memory[0] / 2**20:.0f} MiB with children, {self.memory[1] / 2**20:.0f} MiB alone",
                jobs,
                f"{len(self.outcomes)} requests: {', '.join(f'{k} {n}' for k, n in sorted(statuses.items()))}",
                "",
                *self.table,
                "",
                f"{len(self.faults)} faults",
                *self.faults,
            ]
        )


def table(outcomes: list[Line], samples: list[Line]) -> list[str]:
    """Format the attacks, those first whose one request took the most processor time of the API."""
    rows = []
    by_attack: dict[str, list[tuple[Line, float]]] = defaultdict(list)
    for outcome, seconds in zip(outcomes, shares(outcomes, samples), strict=True):
        by_attack[outcome["attack"]].append((outcome, seconds))
    for name, found in by_attack.items():
        statuses = Counter(str(outcome["status"]) for outcome, _ in found)
        took = [outcome["ended"] - outcome["begun"] for outcome, _ in found]
        worst = max(seconds for _, seconds in found)
        said = ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items()))
        rows.append(
            (
                worst,
                f"| {name} | {len(found)} | {said} | {statistics.median(took):.2f} | {max(took):.2f} | {worst:.2f} |",
            )
        )
    head = "| attack | requests | answers | median s | longest s | API's processor s, at most |"
    return [head, "|---|---|---|---|---|---|", *(row for _, row in sorted(rows, reverse=True))]


def shares(outcomes: list[Line], samples: list[Line]) -> list[float]:
    """Divide the API's processor time among the requests that were open: a guess, as only their sum is known.

    Returns:
        Processor seconds of each outcome: of every interval between two samples, an equal share.
    """
    at = [line["at"] for line in samples]
    begins = sorted(line["begun"] for line in outcomes)
    ends = sorted(line["ended"] for line in outcomes)
    total, totals = 0.0, [0.0]
    for before, after in pairwise(samples):
        open_now = bisect_right(begins, after["at"]) - bisect_left(ends, before["at"])
        total += (after["cpu"] - before["cpu"]) / max(1, open_now)
        totals.append(total)

    def until(time: float) -> float:
        return totals[min(bisect_right(at, time), len(totals) - 1)] if totals else 0.0

    return [max(0.0, until(line["ended"]) - totals[max(0, bisect_right(at, line["begun"]) - 1)]) for line in outcomes]
