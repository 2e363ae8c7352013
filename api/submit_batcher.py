"""Submitting jobs: those of all requests that wait go to the store together."""

from __future__ import annotations

import asyncio

from fastapi.concurrency import run_in_threadpool

from lrcore.jobs.job import Job
from lrcore.store.client import ClientStore
from lrcore.store.records import NewJob

MOST_AT_ONCE = 64


class SubmitBatcher:
    """Creates jobs, one round trip at a time: what comes meanwhile goes with the next one.

    A thread and a round trip a request would cost several times what Redis has to do for it.
    """

    def __init__(self, store: ClientStore) -> None:
        self._store = store
        self._waiting: list[tuple[NewJob, asyncio.Future[Job]]] = []
        self._running: asyncio.Task[None] | None = None

    async def create(self, wanted: NewJob) -> Job:
        """What ClientStore.create does. Raises what it raises."""
        made: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, made))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await made

    async def _run(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            answers: list[Job | Exception]
            try:
                answers = await run_in_threadpool(self._store.create_many, [wanted for wanted, _ in batch])
            except Exception as error:
                answers = [error] * len(batch)
            for (_, made), answer in zip(batch, answers, strict=True):
                if made.done():  # its client has gone
                    continue
                if isinstance(answer, Exception):
                    made.set_exception(answer)
                else:
                    made.set_result(answer)
        self._running = None
