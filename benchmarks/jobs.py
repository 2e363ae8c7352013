"""The job service under load: the store at scale, submits, event streams, a job's latency, and what idling costs.

Claims, each printed with its target: with 100,000 jobs in the store every operation takes at most 1.5 times as long as
with 100, measured in turns; one API process takes 1,000 different jobs a second over HTTP, and the store then holds
exactly as many as were answered 202, in the order of the queue; 1,000 open event streams each get every event exactly
once; a warm worker reports the first step of a job within 300 ms of its POST.

    python -m benchmarks.jobs [PART ...]        by default store submits streams latency idle

Everything runs on this machine as `lrserve up` runs it, in a temporary folder: Redis with an append-only file on a
unix socket, one API process, and for the last two parts one worker.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvloop

from benchmarks.measure import elapsed, verdict
from benchmarks.service import ARTICLE, LEASE_SECONDS, Service, made, ms, prepare, service, shares
from benchmarks.streams import streams
from benchmarks.submits import submits
from benchmarks.wire import Connection, Stream, opened, post
from lrcore.jobs.job import JobOptions
from lrcore.jobs.states import State
from lrcore.store.connection import connect
from lrcore.store.queue import QUEUE
from lrserve.embedded import EmbeddedRedis
from tests.stores import JobStore

SIZES = (100, 1_000, 10_000, 100_000)
LOOKS = 200  # at each size, of each kind
TRIALS = 20
IDLE_SECONDS = 10.0

# Trains for longer than a heartbeat, so that its end cannot be taken for its first report
TRAINING = (
    '{"model": {"type": "lenet"}, "dataset": {"type": "fake", "samples": 4000}, "optimizer": {"type": "SGD", '
    '"lr": 0.1}, "epochs": %d, "batch_size": 32}'
)


def main() -> None:
    parts = {"store": store_at_scale, "submits": submits, "streams": streams, "latency": latency, "idle": idle}
    asked = sys.argv[1:] or list(parts)
    if unknown := set(asked) - parts.keys():
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    prepare()
    for name in asked:
        with tempfile.TemporaryDirectory(prefix="lrserve-bench-") as folder:
            parts[name](Path(folder))


def store_at_scale(folder: Path) -> None:
    with (
        EmbeddedRedis(folder / "small").running() as small_url,
        EmbeddedRedis(folder / "large").running() as large_url,
    ):
        small, large = Filled(small_url), Filled(large_url)
        small.fill(SIZES[0])
        print(f"\nThe store, {LOOKS} looks of a kind in turns with a store of {SIZES[0]} jobs, and the medians' ratio")
        for size in SIZES:
            print(f"{size} jobs, {large.fill(size)}", flush=True)
            for name, (theirs, ours) in in_turns(small.looks(), large.looks()).items():
                ratio = statistics.median(ours) / statistics.median(theirs)
                end = f"target 1.5  {verdict(ratio <= 1.5)}" if size == SIZES[-1] else ""
                print(f"  {name:22} {ms(ours)}  {ratio:5.2f} x  {end}", flush=True)


class Filled:
    """A store of a known size in a Redis of its own."""

    def __init__(self, url: str) -> None:
        self.redis = connect(url)
        self.store = JobStore(self.redis)
        self.ids: list[str] = []

    def fill(self, size: int) -> str:
        """Add jobs until there are so many. Returns what that took."""
        before, start = self._memory(), time.perf_counter()
        more = [made(self.store, n) for n in range(len(self.ids), size)]
        rate, memory = len(more) / (time.perf_counter() - start), (self._memory() - before) / len(more)
        self.ids = sorted(self.ids + more)
        return f"filled at {rate:.0f} a second, {memory:.0f} bytes of Redis a job"

    def looks(self) -> dict[str, Callable[[], float]]:
        """Each look at the store, which returns its seconds."""
        middle = str(len(self.ids) // 2)  # jobs are numbered in the order in which they came
        return {
            "list, first page": partial(elapsed, self.store.page),
            "list, in the middle": partial(elapsed, partial(self.store.page, cursor=middle)),
            "list, by state": partial(elapsed, partial(self.store.page, state=State.QUEUED)),
            "list, by label": partial(elapsed, partial(self.store.page, label="team=vision")),
            "get": lambda: elapsed(partial(self.store.get, random.choice(self.ids))),
            "claim and finish": self._claimed_and_finished,
        }

    def _claimed_and_finished(self) -> float:
        """For a job at the head of the queue. The store is then as large as before."""
        self.store.create(ARTICLE, JobOptions(priority=9))
        start = time.perf_counter()
        claim = self.store.claim([QUEUE], "benchmark", LEASE_SECONDS)
        assert claim is not None
        self.store.finish(claim, State.SUCCEEDED)
        took = time.perf_counter() - start
        self.store.forget(claim.id)
        return took

    def _memory(self) -> int:
        return int(self.redis.info("memory")["used_memory"])


def in_turns(
    theirs: dict[str, Callable[[], float]], ours: dict[str, Callable[[], float]]
) -> dict[str, tuple[list[float], list[float]]]:
    """Seconds of every look on both sides, by its name. All kinds in turns too: a busy moment is then everyone's."""
    rounds = [{name: (theirs[name](), ours[name]()) for name in ours} for _ in range(LOOKS)]
    return {name: ([each[name][0] for each in rounds], [each[name][1] for each in rounds]) for name in ours}


def latency(folder: Path) -> None:
    with service(folder, workers=1) as running:
        uvloop.run(timed(running))


async def timed(running: Service) -> None:
    await one_job(running.port, epochs=1, cancel=False)
    trials = [await one_job(running.port, epochs=100, cancel=True) for _ in range(TRIALS)]
    started, stepped = (list(side) for side in zip(*trials, strict=True))
    median = statistics.median(stepped) * 1e3
    print(f"\nOne job, {TRIALS} times, from POST on a warm worker by SSE")
    print(f"it runs            {ms(started)}")
    print(f"its first step     {ms(stepped)}   target 300  {verdict(median <= 300)}", flush=True)


async def one_job(port: int, epochs: int, cancel: bool) -> tuple[float, float]:
    """Seconds until the events that a job runs, and that it has made a step. Returns when the worker is free again."""
    connection = await opened(port, Connection)
    start = time.time()
    answer = await connection.ask(post("/v1/jobs", TRAINING % epochs))
    assert answer.status == 202, answer
    path = "/v1/jobs/" + json.loads(answer.body)["id"]
    stream = await opened(port, partial(Stream, path + "/events"))
    runs = await stream.until(lambda event: event.kind == "state" and json.loads(event.data)["state"] == "running")
    steps = await stream.until(lambda event: event.kind == "progress" and json.loads(event.data)["step"] >= 1)
    if cancel:
        assert (await connection.ask(post(path + "/cancel"))).status == 202
    await stream.until(lambda event: event.kind == "end")
    connection.transport.close()
    await asyncio.sleep(0.2)  # the worker clears up
    return runs.arrived - start, steps.arrived - start


def idle(folder: Path) -> None:
    with service(folder, workers=1) as running:
        time.sleep(3)  # start-up has its aftermath
        before = running.cpu()
        time.sleep(IDLE_SECONDS)
        used = running.cpu_since(before)
        print(f"\nCPU seconds a minute of idling: {shares(used, IDLE_SECONDS / 60)}")


if __name__ == "__main__":
    main()
