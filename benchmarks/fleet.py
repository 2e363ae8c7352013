"""A fleet of workers at one Redis: what each costs it, how many it carries, and what gives way first.

Every simulated worker has a connection, a name and a job of its own, and says to the store what a real one says, at the
shipped intervals: heartbeats with progress, epochs, signs of life, rounds of the reaper, and at a job's end the next
claim. Each call is written by `JobStore`, so script and arguments are the real ones; what is left out is the training
between them. One process drives all of them over TCP.

    python -m benchmarks.fleet [WORKERS ...]       by default 200 1000 5000 10000; some minutes
    python -m benchmarks.fleet --heartbeat 2 --reap 10
    python -m benchmarks.fleet --idle              real workers that wait: what one of them costs, and its connections

Redis' processor seconds are the figure to trust on a busy machine; the rate that is reached is the driver's, too.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import heapq
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hiredis
import uvloop
from redis import Redis

from benchmarks.service import ARTICLE, FIRST_SEED, ms, prepare, service
from lrcore.jobs.job import Best, Epoch, JobOptions
from lrcore.jobs.states import State
from lrcore.service.settings import Settings
from lrcore.store.connection import connect
from lrcore.store.queue import QUEUE
from lrcore.store.records import Claim, NewJob
from lrcore.store.scripts import source
from lrserve.embedded import EmbeddedRedis
from lrserve.supervisor import free_port
from tests.stores import JobStore

SIZES = (200, 1_000, 5_000, 10_000)
SECONDS = 10.0  # of the whole fleet at work
BURST, AT_ONCE = 2_000, 64  # calls of each kind by itself, and of them under way
LEASE = 600.0  # nothing is to be lost here, whatever else the machine does
EPOCH_SECONDS = 10.0
JOB_SECONDS = 100.0  # ten epochs
PRESENCE_SECONDS = 5.0
QUEUES = ("gpu.h100", "gpu", QUEUE)  # what a worker with a GPU serves
IDLE_SECONDS = 20.0
KINDS = ("beat", "epoch", "present", "reap", "queues", "finish", "claim")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet")
    parser.add_argument("workers", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--heartbeat", type=float, default=Settings().heartbeat_seconds)
    parser.add_argument("--reap", type=float, default=Settings().reap_seconds)
    parser.add_argument("--idle", action="store_true", help="real workers that wait, instead")
    asked = parser.parse_args()
    prepare()
    if asked.idle:
        idle()
        return
    intervals = {"beat": asked.heartbeat, "reap": asked.reap, "queues": asked.reap, "present": PRESENCE_SECONDS}
    intervals |= {"epoch": EPOCH_SECONDS, "next": JOB_SECONDS}
    print("seconds between two of a kind: " + ", ".join(f"{what} {seconds:g}" for what, seconds in intervals.items()))
    for size in asked.workers:
        port = str(free_port())
        with (
            tempfile.TemporaryDirectory(prefix="lrserve-fleet-") as folder,
            EmbeddedRedis(Path(folder)).running("--port", port, "--maxclients", "15000"),
        ):
            uvloop.run(measured(f"redis://127.0.0.1:{port}/0", size, intervals))


class Written(Exception):
    """Raised in place of sending: the bytes are there."""


class Pen:
    """Stands where a JobStore has its Redis, and writes down the call of a script that the store would make."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.call, self.arguments = b"", [""]

    def register_script(self, script: str) -> Callable[..., Any]:
        """Load the script, and return what writes a call of it; the check of the format is made for real."""
        if script == source("format"):
            return self._redis.register_script(script)
        self._redis.script_load(script)
        name = hashlib.sha1(script.encode()).hexdigest()

        def write(args: list[str | int], client: object = None) -> None:
            self.arguments = [str(arg) for arg in args]
            self.call = hiredis.pack_command(("EVALSHA", name, "0", *self.arguments))
            raise Written

        return write


class Wire(asyncio.Protocol):
    """A connection to Redis with one call under way."""

    def __init__(self) -> None:
        self._reader = hiredis.Reader(encoding="utf-8")

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, call: bytes, answered: Callable[[Any], None]) -> None:
        """Send a call, and hand its answer over when it is there."""
        self._answered = answered
        self.transport.write(call)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        answer = self._reader.gets()
        if isinstance(answer, hiredis.ReplyError):
            sys.exit(f"Redis refuses: {answer}")
        if answer is not False:  # else there is more to come
            self._answered(answer)


class Worker:
    """A worker as the store knows it. Its calls go out on a connection of its own, one after another."""

    def __init__(self, name: str, wire: Wire, pen: Pen, store: JobStore) -> None:
        self.name, self._wire, self._pen, self._store = name, wire, pen, store
        self._claim = Claim("", "", 0, ARTICLE)  # none yet
        self._step, self._epochs = random.randrange(ARTICLE.steps), 0
        self._calls: deque[tuple[str, float, Callable[[str, float], None]]] = deque()

    def do(self, what: str, due: float, done: Callable[[str, float], None]) -> None:
        """Make a call, after those before it. `done` hears of what kind, and the seconds from `due` to its answer."""
        self._calls.append((what, due, done))
        if len(self._calls) == 1:
            self._send()

    def _send(self) -> None:
        try:
            self._write(self._calls[0][0])
        except Written:
            self._wire.ask(self._pen.call, partial(self._answered, self._pen.arguments))

    def _answered(self, arguments: list[str], answer: Any) -> None:
        what, due, done = self._calls.popleft()
        if what in ("beat", "epoch", "finish") and answer[0] != "held":
            sys.exit(f"{self.name} hears of its job, {what}: {answer}")
        if what == "claim":
            self._claim, self._epochs = Claim(answer[0], arguments[2], int(answer[2]), ARTICLE, answer[3]), 0
        if self._calls:
            self._send()
        done(what, time.perf_counter() - due)

    def _write(self, what: str) -> None:
        """Have the store write a call. Raises Written."""
        store, claim = self._store, self._claim
        match what:
            case "beat":
                self._step = (self._step + 5) % ARTICLE.steps
                news = {"eta_seconds": round(random.uniform(1, 100), 1), "train_loss": random.random()}
                news["train_accuracy"] = random.random()
                store.beat(claim, LEASE, ARTICLE.progress(self._step).model_copy(update=news))
            case "epoch":
                row = Epoch(
                    epoch=self._epochs, lr=[0.3], train_loss=random.random(), train_accuracy=random.random(),
                    test_loss=random.random(), test_accuracy=random.random(), seconds=random.random(),
                )  # fmt: skip
                self._epochs += 1
                store.add_epoch(claim, LEASE, row, Best(epoch=row.epoch, test_accuracy=row.test_accuracy))
            case "finish":
                store.finish(claim, State.SUCCEEDED)
            case "claim":
                store.claim(QUEUES, self.name, LEASE)
            case "present":
                store.present(self.name, QUEUES, 3 * PRESENCE_SECONDS)
            case "reap":
                store.reap(3)
            case "queues":
                store.queues()


async def measured(url: str, size: int, intervals: dict[str, float]) -> None:
    redis = Redis.from_url(url, decode_responses=True, socket_timeout=60)  # `connect` would give up after 2 s
    store, start = JobStore(redis), time.perf_counter()
    spare = BURST + round(2 * size * SECONDS / JOB_SECONDS) + 100
    fill(store, size + spare)
    filled = time.perf_counter() - start
    workers = await hired(redis, size)
    memory = int(redis.info("memory")["used_memory"]) / 1e6
    print(
        f"\n{size} workers, each with a running job; {spare} jobs wait; filled in {filled:.0f} s, "
        f"claimed in {time.perf_counter() - start - filled:.0f} s; Redis {memory:.0f} MB",
        flush=True,
    )
    costs = {what: await burst(workers, redis, what) for what in KINDS}
    print("  Redis' microseconds a call: " + ", ".join(f"{what} {cost * 1e6:.0f}" for what, cost in costs.items()))
    need = sum(each(costs, what) / seconds for what, seconds in intervals.items())
    print(
        f"  by the intervals a worker takes {need * 1e3:.3f} ms of Redis a second: {0.7 / need:.0f} workers 70 % of it"
    )
    await fleet(workers, redis, intervals)
    redis.close()


def used(redis: Redis) -> float:
    """Processor seconds of Redis so far."""
    cpu = redis.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def each(costs: dict[str, float], what: str) -> float:
    """Redis' seconds of what is done at an interval."""
    return costs["finish"] + costs["claim"] if what == "next" else costs[what]


def fill(store: JobStore, count: int) -> None:
    for first in range(0, count, 500):
        specs = [ARTICLE.model_copy(update={"seed": FIRST_SEED + n}) for n in range(first, min(first + 500, count))]
        for made in store.create_many([NewJob(spec, JobOptions(labels=("team=vision",))) for spec in specs]):
            if isinstance(made, Exception):
                raise made


async def hired(redis: Redis, size: int) -> list[Worker]:
    """Workers that have shown themselves and claimed a job each."""
    loop, pen = asyncio.get_running_loop(), Pen(redis)
    writer = JobStore(pen)  # type: ignore[arg-type]  # it has what these calls use
    where = redis.connection_pool.connection_kwargs
    workers = []
    for n in range(size):
        _, wire = await loop.create_connection(Wire, where["host"], where["port"])
        workers.append(Worker(f"node{n // 8}-gpu{n % 8}", wire, pen, writer))
    await each_does(workers, "present")
    await each_does(workers, "claim")
    return workers


async def each_does(workers: list[Worker], what: str) -> None:
    """A call by each of them, AT_ONCE under way."""
    todo, left, over = iter(workers), AT_ONCE, asyncio.Event()

    def go_on(_: str = "", seconds: float = 0.0) -> None:
        nonlocal left
        worker = next(todo, None)
        if worker is not None:
            worker.do(what, time.perf_counter(), go_on)
            return
        left -= 1
        if not left:
            over.set()

    for _ in range(AT_ONCE):
        go_on()
    await over.wait()


async def burst(workers: list[Worker], redis: Redis, what: str) -> float:
    """Redis' processor seconds for a call of one kind."""
    callers = workers if len(workers) < BURST else random.sample(workers, BURST)
    if what in ("finish", "claim"):
        callers = workers[:BURST]  # who finishes claims
    elif len(workers) < BURST:
        callers = workers * (BURST // len(workers))
    before = used(redis)
    await each_does(callers, what)
    return (used(redis) - before) / len(callers)


async def fleet(workers: list[Worker], redis: Redis, intervals: dict[str, float]) -> None:
    """All of them at work for SECONDS."""
    took: defaultdict[str, list[float]] = defaultdict(list)
    start = time.perf_counter()
    plan = [
        (start + random.uniform(0, seconds), n, what)
        for what, seconds in intervals.items()
        for n in range(len(workers))
    ]
    heapq.heapify(plan)
    wanted = Counter[str]()
    before, own = used(redis), time.process_time()

    def done(what: str, seconds: float) -> None:
        took[what].append(seconds)

    while (now := time.perf_counter()) < start + SECONDS:
        for _ in range(1000):  # then answers are read
            due, n, what = plan[0]
            if due > now:
                break
            for call in ("finish", "claim") if what == "next" else (what,):
                workers[n].do(call, due, done)
                wanted[call] += 1
            heapq.heapreplace(plan, (due + intervals[what], n, what))
        await asyncio.sleep(max(0.0, min(0.01, plan[0][0] - time.perf_counter())))
    seconds = time.perf_counter() - start
    shares = (used(redis) - before) / seconds, (time.process_time() - own) / seconds
    calls, due = sum(map(len, took.values())), sum(len(workers) / s * (1 + (w == "next")) for w, s in intervals.items())
    print(
        f"  at work for {seconds:.0f} s: {calls / seconds:.0f} calls a second of {due:.0f} that are due "
        f"({calls / seconds / due:.0%}); Redis {shares[0]:.2f} of a core, {shares[0] / (calls / seconds) * 1e6:.0f} "
        f"microseconds a call; the driver {shares[1]:.2f}"
    )
    print(f"  from due to answered: heartbeats {ms(took['beat'])}", flush=True)


def idle() -> None:
    """What real workers without a job cost Redis: by how much four of them cost more than one."""
    found = {}
    for count in (1, 4):
        with tempfile.TemporaryDirectory(prefix="lrserve-fleet-") as folder, service(Path(folder), count) as running:
            redis = connect(running.redis_url)
            while JobStore(redis).workers() < count:
                time.sleep(0.2)
            time.sleep(3)  # start-up has its aftermath
            before = used(redis), commands(redis)
            time.sleep(IDLE_SECONDS)
            found[count] = (
                (used(redis) - before[0]) / IDLE_SECONDS,
                sum((commands(redis) - before[1]).values()) / IDLE_SECONDS,
                len(redis.client_list()),
            )
            print(
                f"{count} idle: {found[count][0] * 1e3:.2f} ms of Redis and {found[count][1]:.1f} commands a second, "
                f"{found[count][2]} connections"
            )
            print("   ", dict((commands(redis) - before[1]).most_common(8)), flush=True)
            redis.close()
    cpu, calls, connections = ((more - one) / 3 for one, more in zip(found[1], found[4], strict=True))
    print(f"each: {cpu * 1e3:.2f} ms of Redis and {calls:.1f} commands a second, {connections:.1f} connections")


def commands(redis: Redis) -> Counter[str]:
    """How often each command was called, those that scripts make among them."""
    return Counter(
        {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in redis.info("commandstats").items()}
    )


if __name__ == "__main__":
    main()
