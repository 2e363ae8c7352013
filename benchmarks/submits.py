"""Submits over HTTP to one API process, and what the store holds of them. Run by benchmarks.jobs.

The load comes from this process, by uvloop over bare sockets: wrk cannot send a given number of requests, and without
that the answers and the jobs cannot be compared. Bare Celery messages, the floor, are sent in turns with the submits;
medians are compared.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections import Counter
from pathlib import Path

import uvloop
from celery import Celery, Task

from benchmarks.measure import verdict
from benchmarks.service import BODY, FIRST_SEED, Service, ms, service, shares
from benchmarks.wire import Answer, Connection, opened, post
from lrcore.store.connection import connect
from lrcore.store.queue import QUEUE, celery_config
from tests.stores import JobStore

CLIENTS = 16
ROUNDS = 3
SUBMIT_SECONDS, CELERY_SECONDS = 4.0, 2.0


def submits(folder: Path) -> None:
    with service(folder, workers=0) as running:
        uvloop.run(submitted(running))


async def submitted(running: Service) -> None:
    load = Load(await asyncio.gather(*(opened(running.port, Connection) for _ in range(CLIENTS))))
    task = bare_task(running.redis_url)
    await load.submit(0.5)
    load.took.clear()
    mine, floor, before, apart = [], [], running.cpu(), Counter[str]()
    for _ in range(ROUNDS):
        mine.append(await load.submit(SUBMIT_SECONDS))
        others = running.cpu()
        floor.append(messages(task))
        apart.update(running.cpu_since(others))
    used, sent = running.cpu_since(before) - apart, ms(load.took)
    spent = shares(used, len(load.took) / 1e3)
    load.took.clear()
    await load.submit(1.0, clients=1)
    rate, bare = statistics.median(mine), statistics.median(floor)
    print(f"\nSubmits over HTTP, {CLIENTS} clients: {rate:.0f}/s, target 1000  {verdict(rate >= 1000)}   {sent}")
    print(f"CPU milliseconds a submit: {spent}")
    print(f"one client alone: {ms(load.took)}")
    print(f"bare Celery, one process: {bare:.0f} messages/s; submits reach {rate / bare:.2f} of that")
    print(await asyncio.to_thread(checked, load, running.redis_url), flush=True)


class Load:
    """Clients that submit one job after another, no two alike, and remember which of them were accepted."""

    def __init__(self, connections: list[Connection]) -> None:
        self.connections = connections
        self.accepted: list[list[str]] = [[] for _ in connections]
        self.refused: list[Answer] = []
        self.took: list[float] = []
        self._seeds = itertools.count(FIRST_SEED)

    async def submit(self, seconds: float, clients: int = CLIENTS) -> float:
        """Jobs accepted a second."""
        before, start = sum(map(len, self.accepted)), time.perf_counter()
        await asyncio.gather(*(self._client(i, start + seconds) for i in range(clients)))
        return (sum(map(len, self.accepted)) - before) / (time.perf_counter() - start)

    async def _client(self, i: int, end: float) -> None:
        connection, accepted = self.connections[i], self.accepted[i]
        while (start := time.perf_counter()) < end:
            answer = await connection.ask(post("/v1/jobs", BODY % next(self._seeds)))
            self.took.append(time.perf_counter() - start)
            if answer.status == 202:
                accepted.append(answer.body[7:33].decode())  # {"id":"…
            else:
                self.refused.append(answer)


def bare_task(redis_url: str) -> Task:
    """A task on a queue of its own, with the settings of lrserve."""
    celery = Celery("bench", set_as_current=False)
    celery.conf.update(celery_config(redis_url))

    @celery.task(name="bench.notify")
    def notify(queue: str) -> None: ...

    return notify


def messages(task: Task) -> float:
    """Celery messages sent a second, by one thread."""
    sent, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < CELERY_SECONDS:
        task.apply_async(args=(QUEUE,), queue="bench", retry=False)
        sent += 1
    return sent / passed


def checked(load: Load, url: str) -> str:
    """Whether the store holds what was accepted, in a right order: that in which each client was answered."""
    if load.refused:
        return f"{len(load.refused)} REFUSED, the first: {load.refused[0]}"
    redis = connect(url)
    store, position, cursor = JobStore(redis), {}, None
    while True:
        jobs, cursor = store.page(limit=100, cursor=cursor)
        position |= {job.id: job.position for job in jobs}
        if cursor is None:
            break
    redis.close()
    accepted = list(itertools.chain(*load.accepted))
    same = len(accepted) == len(position) and set(accepted) == position.keys()
    places = [[position[job] for job in client if job in position] for client in load.accepted]
    in_order = all(client == sorted(client) for client in places)
    in_order &= sorted(position.values()) == list(range(len(position)))
    return f"{len(accepted)} answers, {len(position)} jobs: {verdict(same)}; the queue's order: {verdict(in_order)}"
