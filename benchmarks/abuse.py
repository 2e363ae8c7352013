"""What one request can cost: each of the worst requests alone against a real API, in processor time and memory.

    python -m benchmarks.abuse [--only TEXT] [--seconds N] [--tries N]

Prints a table in Markdown, the most expensive request first. Processor seconds are those of the API's process and
its children, until they are idle again. Memory is the peak during the request minus what was resident before. Each
request is made TRIES times with other random choices, and the one that takes the most processor time counts. One that
has no answer after SECONDS of processor time is given up, and the service is started anew.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx

import tests.security.siege.bodies
import tests.security.siege.curves  # noqa: F401  # they fill WORST, as jobs does
from benchmarks.service import Service, service
from tests.security.siege.bounds import Bounds
from tests.security.siege.jobs import exhibits, image_folder
from tests.security.siege.watch import usage
from tests.security.siege.wire import Request, exchange
from tests.security.siege.worst import WORST, Known, World, Worst

IDLE_SECONDS, IDLE_SHARE = 0.5, 0.1  # idle: less than a tenth of a core for so long
CHECK_SECONDS = 0.05
PATIENCE = 10  # times as long may pass on a busy machine
EPOCHS = 200  # of the job to look at


@dataclass(frozen=True)
class Cost:
    """What a request cost.

    Attributes:
        status: of the answer; None if it was given up.
        body: bytes.
        cpu: processor seconds.
        memory: bytes above what was resident before.
    """

    worst: Worst
    status: int | str | None
    body: int
    cpu: float
    memory: float

    def row(self) -> str:
        """Format as a line of Markdown."""
        body, more = self.body / 1e6, "> " if self.status is None else ""
        each = f"{more}{self.cpu / body:.2f}" if body >= 0.01 else "-"
        name = self.worst.name.replace("|", "\\|")
        answer = self.status or "none"
        return (
            f"| {self.worst.group}: {name} | {answer} | {body:.2f} | {more}{self.cpu:.2f} | {each} "
            f"| {more}{self.memory / 1e6:.0f} |"
        )


def main() -> None:
    """Measure every request, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of the names of requests")
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time to wait for an answer")
    parser.add_argument("--tries", type=int, default=3)
    arguments = parser.parse_args()
    os.environ.pop("LRSERVE_REDIS_URL", None)  # never someone's own jobs
    waiting = [
        (worst, seed)
        for worst in WORST
        for seed in range(arguments.tries)
        if arguments.only in f"{worst.group}: {worst.name}"
    ]
    costs: dict[str, Cost] = {}
    while waiting:
        with tempfile.TemporaryDirectory(prefix="lrserve-abuse-") as folder:
            image_folder(Path(folder) / "datasets")
            with service(Path(folder), workers=1) as running:
                measured(running, waiting, costs, arguments.seconds)
    cores, date = len(os.sched_getaffinity(0)), datetime.now(UTC).date()
    print(f"\n{date}, {cores} cores, Python {platform.python_version()}\n")
    print("| request | answer | body, MB | processor s | per MB of body | memory, MB |\n|---|---|---|---|---|---|")
    for cost in sorted(costs.values(), key=lambda cost: -cost.cpu):
        print(cost.row())


def measured(running: Service, waiting: list[tuple[Worst, int]], costs: dict[str, Cost], seconds: float) -> None:
    """Measure what waits, in turn, until there is no more, or one request is given up."""
    bounds = Bounds.of(httpx.get(f"{running.url}/openapi.json", timeout=60).json())
    known = _exhibits(running.url)
    while waiting:
        worst, seed = waiting.pop(0)
        request = worst.make(World(bounds, random.Random(seed), known))
        cost = measure(running, worst, request, seconds)
        name = f"{worst.group}: {worst.name}"
        if name not in costs or cost.cpu > costs[name].cpu:
            costs[name] = cost
        print(f"{name}, {seed}: {cost.status}, {cost.cpu:.2f} s, {cost.memory / 1e6:.0f} MB", flush=True)
        if cost.status is None:
            waiting[:] = [each for each in waiting if each[0] is not worst]  # it will not be better
            return


def measure(running: Service, worst: Worst, request: Request, seconds: float) -> Cost:
    """Send one request and wait until the API is idle again."""
    pid = running.pids["api"]
    _idle(pid, seconds)
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is what is resident now
    before = usage(pid)
    status, most = asyncio.run(_answered(running, request, before, seconds))
    if status is not None:
        _idle(pid, seconds)
    cpu = usage(pid)["cpu"] - before["cpu"]
    memory = max(0.0, most - before["together"], _peak(pid) - before["own"])
    return Cost(worst, status, len(request.body), cpu, memory)


async def _answered(
    running: Service, request: Request, before: dict[str, float], seconds: float
) -> tuple[int | str | None, float]:
    """Wait for an answer until the API has used so many processor seconds, or time has passed.

    Returns:
        Its status, None if it was given up; the most memory of the API and its children that was seen meanwhile.
    """
    deadline, most, now = time.monotonic() + PATIENCE * seconds, 0.0, before
    exchanged = asyncio.create_task(exchange(running.port, request.raw("")))
    while now["cpu"] < before["cpu"] + seconds and time.monotonic() < deadline:
        done, _ = await asyncio.wait([exchanged], timeout=CHECK_SECONDS)
        now = usage(running.pids["api"])
        most = max(most, now["together"])
        if done:
            return exchanged.result().status, most
    exchanged.cancel()
    return None, most


def _idle(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = usage(pid)["cpu"]
        time.sleep(IDLE_SECONDS)
        if usage(pid)["cpu"] - before < IDLE_SECONDS * IDLE_SHARE:
            return


def _peak(pid: int) -> float:
    """Return the largest resident memory of a process since the last reset."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


def _exhibits(base: str) -> Known:
    """Make jobs for requests that look at some, and wait until those that run have ended."""
    known = Known()
    with httpx.Client(base_url=base, timeout=120) as http:
        for kind, spec in exhibits(EPOCHS).items():
            known.exhibits[kind] = http.post(f"/v1/{kind}", json=spec).json()["id"]
        job, wait = f"/v1/jobs/{known.exhibits['jobs']}", {"Prefer": "wait=10"}
        while http.get(job, headers=wait).json()["state"] in ("queued", "running"):
            pass
    return known


if __name__ == "__main__":
    main()
