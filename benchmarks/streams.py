"""A thousand open event streams on one API process. Run by benchmarks.jobs."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import uvloop
from redis import Redis

from benchmarks.measure import verdict
from benchmarks.service import LEASE_SECONDS, Service, made, ms, service, shares
from benchmarks.wire import Connection, Stream, get, opened
from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.states import State
from lrcore.store.connection import connect
from lrcore.store.queue import QUEUE
from lrcore.store.records import Claim
from tests.stores import JobStore

JOBS, STREAMS_A_JOB = 100, 10
BEATS = 8  # of each job, one a second
EPOCHS = 20  # of each job, as fast as they can be written


def streams(folder: Path) -> None:
    with service(folder, workers=0) as running:
        uvloop.run(streamed(running))


async def streamed(running: Service) -> None:
    redis = connect(running.redis_url)
    store = JobStore(redis)
    jobs = [made(store, n) for n in range(JOBS)]
    alone, before, start = running.memory(), running.cpu(), time.perf_counter()
    paths = [f"/v1/jobs/{job}/events" for job in jobs for _ in range(STREAMS_A_JOB)]
    following = await asyncio.gather(*(opened(running.port, partial(Stream, path)) for path in paths))
    await asyncio.gather(*(stream.until(lambda event: event.kind == "state") for stream in following))
    took, used = time.perf_counter() - start, running.cpu_since(before)["api"]
    print(f"\n{len(paths)} event streams of {JOBS} jobs, open after {took:.1f} s, {used:.1f} CPU seconds of the API")
    # A worker is another process, and must not wait for this one
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        in_pool = partial(asyncio.get_running_loop().run_in_executor, pool)
        claims = await in_pool(taken, running.redis_url)
        await asyncio.gather(*(stream.until(lambda event: '"running"' in event.data) for stream in following))
        await phase("heartbeats", running, following, partial(in_pool, heartbeats, running.redis_url, claims))
        grown = running.memory()
        print(f"the API: {grown:.0f} MB, {alone:.0f} MB before; {len(redis.client_list()) - 1} connections to Redis")
        await phase("a burst", running, following, partial(in_pool, burst, running.redis_url, claims))
        await in_pool(ended, running.redis_url, claims)
    await asyncio.gather(*(stream.until(lambda event: event.kind == "end") for stream in following))
    print(everything_came(store, redis, following), flush=True)
    redis.close()


def everything_came(store: JobStore, redis: Redis, following: list[Stream]) -> str:
    """Compares each stream with what was written."""
    wrong = 0
    for stream in following:
        kept = redis.xrange(store.events_key(stream.path.split("/")[3]))
        written = [event_id for event_id, fields in kept if fields["type"] != "progress"]
        news = sum(event.kind == "progress" for event in stream.events)  # of which the store keeps the last one alone
        in_order = all(_order(a.id) < _order(b.id) for a, b in pairwise(stream.events))
        told = [event.id for event in stream.events if event.kind != "progress"]
        wrong += (told, news, in_order) != (written, BEATS, True)
    count = sum(len(stream.events) for stream in following)
    return f"{count} events, each exactly once and in order in all of its streams but {wrong}: {verdict(not wrong)}"


def _order(event_id: str) -> list[int]:
    return [int(part) for part in event_id.split("-")]


async def phase(name: str, running: Service, following: list[Stream], write: Callable[[], Awaitable[int]]) -> None:
    """What the streams get while workers write so many events of each job, and how long a GET takes meanwhile."""
    seen, before, start = [len(stream.events) for stream in following], running.cpu(), time.time()
    written = asyncio.ensure_future(write())
    gets = await answered(running.port, following[0].path.removesuffix("/events"), written)
    for stream, count in zip(following, seen, strict=True):
        await arrived(stream, count + written.result())
    events = [event for stream, count in zip(following, seen, strict=True) for event in stream.events[count:]]
    took = max(event.arrived for event in events) - start
    delays = ms([event.delay for event in events])
    print(f"{name}: {len(events)} events, {len(events) / took:.0f}/s, from write to arrival {delays}")
    print(f"  CPU seconds a second: {shares(running.cpu_since(before), took)}; a GET of a job: {ms(gets)}", flush=True)


async def answered(port: int, path: str, written: asyncio.Future[int]) -> list[float]:
    """Seconds that each GET takes until everything is written."""
    connection, took = await opened(port, Connection), []
    while not written.done():
        start = time.perf_counter()
        assert (await connection.ask(get(path))).status == 200
        took.append(time.perf_counter() - start)
        await asyncio.sleep(0.05)
    connection.transport.close()
    return took


async def arrived(stream: Stream, count: int) -> None:
    async with asyncio.timeout(60):
        while len(stream.events) < count:
            await asyncio.sleep(0.01)


def taken(url: str) -> list[Claim]:
    store = JobStore(connect(url))
    return [claim for _ in range(JOBS) if (claim := store.claim([QUEUE], "benchmark", LEASE_SECONDS))]


def heartbeats(url: str, claims: list[Claim]) -> int:
    """As so many workers beat, each once a second. Returns the events of a job."""
    store, start = JobStore(connect(url)), time.monotonic()
    for n, claim in enumerate(claims * BEATS):
        time.sleep(max(0.0, start + n / JOBS - time.monotonic()))
        store.beat(claim, LEASE_SECONDS, claim.spec.progress(0).model_copy(update={"step": 1 + n}))
    return BEATS


def burst(url: str, claims: list[Claim]) -> int:
    store = JobStore(connect(url))
    for n in range(EPOCHS):
        epoch = Epoch(
            epoch=n, lr=[0.3], train_loss=0.4, train_accuracy=0.8, test_loss=0.4, test_accuracy=0.8, seconds=1
        )
        for claim in claims:
            store.add_epoch(claim, LEASE_SECONDS, epoch, Best.of(epoch))
    return EPOCHS


def ended(url: str, claims: list[Claim]) -> None:
    store = JobStore(connect(url))
    for claim in claims:
        store.finish(claim, State.SUCCEEDED)
