"""A service under siege stays well: it answers, keeps its memory bounded, and does the honest tenant's work."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from tests.security.siege.attacks import Attacker
from tests.security.siege.record import Recorder
from tests.security.siege.report import Verdict, lines, probes, quantile, shares
from tests.security.siege.siege import Plan, besieged
from tests.security.siege.wire import post
from tests.security.siege.worst import World

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


ANSWERS = {  # what a server sends, and the fault that it is
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab": None,
    b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n": None,
    b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n": None,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n": None,
    b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n": "503 without Retry-After",
    b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n": 500,
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab": "cut",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n": "cut",
    b"HTTP/1.1 2": "reset",
    b"": "reset",
}


@pytest.mark.parametrize(("sent", "fault"), ANSWERS.items(), ids=[str(sent[:40]) for sent in ANSWERS])
def test_what_is_no_answer_is_a_fault_and_its_request_is_kept(sent: bytes, fault: object, tmp_path: Path) -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.close()

    async def attacked() -> None:
        async with await asyncio.start_server(answers, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            world = World(None, random.Random(0))  # type: ignore[arg-type]  # no bounds are needed
            attacker = Attacker(port, "secret", world, Recorder(tmp_path), asyncio.Semaphore(1), "an attack")
            await attacker.send(post("/v1/curves", {}))

    asyncio.run(attacked())

    assert [line["fault"] for line in lines(tmp_path / "faults.jsonl")] == ([] if fault is None else [fault])
    kept = [file.read_bytes() for file in tmp_path.glob("*.http")]
    assert all(raw.endswith(b"\r\n\r\n{}") and b"secret" not in raw for raw in kept)
    assert len(kept) == (fault is not None)


def test_a_stalled_probe_counts_for_all_that_it_held_up() -> None:
    quick = [{"at": i, "seconds": 0.001, "well": True} for i in range(100)]
    stalled = [{"at": 100, "seconds": 30.0, "well": True}]

    assert quantile(probes(quick), 0.99) == 0.001
    assert quantile(probes(quick + stalled), 0.99) > 25


def test_processor_time_is_divided_among_open_requests() -> None:
    samples = [{"at": float(i), "cpu": float(i)} for i in range(11)]  # a core all along
    alone, *together = [{"begun": 0.0, "ended": 5.0}, *[{"begun": 6.0, "ended": 10.0}] * 4]
    found = shares([alone, *together], samples)

    assert 4 <= found[0] <= 6
    assert all(1 <= seconds <= 1.5 for seconds in found[1:])
    assert shares([], samples) == []


@pytest.mark.slowest
@pytest.mark.timeout(900)
def test_a_service_stays_well_under_attack(tmp_path: Path) -> None:
    """The bounds on time are those of a machine whose cores have other tests to run, however many."""
    plan = Plan(SHORT_SECONDS, seed(), attackers=20)
    print(f"SIEGE_SEED={plan.seed}")
    verdict = besieged(tmp_path / "home", plan, tmp_path / "siege")
    held(verdict, p99=1.0 * verdict.crowding, longest=5.0 * verdict.crowding)


@pytest.mark.siege
@pytest.mark.timeout(0)
def test_a_service_stays_well_under_a_long_siege(tmp_path: Path) -> None:
    minutes = float(os.environ.get("SIEGE_MINUTES") or 20)
    plan = Plan(60 * minutes, seed(), attackers=60, long=True)
    print(f"SIEGE_SEED={plan.seed}: requests that break something are kept in {KEPT}")
    held(besieged(tmp_path / "home", plan, KEPT.absolute()), p99=0.1, longest=5.0)
