"""Webhooks: the tasks that take deliveries from the store and have them brought to their endpoints."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from lrcore.store.connection import RedisError, connect_async
from lrcore.store.format import CHECK_SECONDS, StoreTooNew
from lrcore.webhooks.outbox import Outbox, Outcome, Parcel
from lrcore.webhooks.records import Attempt

from ..settings import ApiSettings
from .address_policy import AddressPolicy

if TYPE_CHECKING:
    from .sender import Sender

log = logging.getLogger("lrserve.webhooks")

POLL_SECONDS = 0.5  # between two looks for what has become due
AWAY_SECONDS = 1.0  # until Redis is asked again
MOST_IN_FLIGHT = 256
MOST_OF_TENANT = 64  # of them: one whose endpoints all hang leaves room for the others
MOST_OF_ONE = 8  # to one endpoint, by all dispatchers together: so does a slow one
LEASE_TIMEOUTS = 2.0  # a lease in time-outs: one attempt, and as long again to record it
JITTER = 0.1  # a delay varies by this share, so that what failed together does not come back together
STOP_SECONDS = 0.5  # for what is in flight when the process ends


class Dispatcher:
    """Brings deliveries to their endpoints until it is stopped. Any number of processes may run one at once."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._lease = LEASE_TIMEOUTS * settings.webhook_timeout_seconds
        self._outbox = Outbox(connect_async(settings.redis_url, POLL_SECONDS))
        self._address_policy = AddressPolicy(settings.webhook_allow)
        self._sender: Sender | None = None
        self._wake = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._sending: dict[asyncio.Task[None], str] = {}  # whose it is
        self._stopped = False  # asyncio.wait_for of Python 3.11 loses a cancellation that comes with its result

    def _make_sender(self) -> Sender:
        from .sender import Sender  # noqa: PLC0415  # an HTTP client would delay the API's start

        return Sender(self._address_policy, self._settings.webhook_timeout_seconds, MOST_IN_FLIGHT)

    def start(self) -> None:
        """Begin. Needs a running event loop."""
        self._loops = [asyncio.create_task(self._repeat(each)) for each in (self._fan_out, self._take)]

    async def stop(self) -> None:
        """End within a second. A delivery that is then still in flight is due again when its lease runs out."""
        self._stopped = True
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        if self._sending:
            _, late = await asyncio.wait(list(self._sending), timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._sender:
            await self._sender.close()
        await self._outbox.close()

    async def _repeat(self, step: Callable[[], Awaitable[None]]) -> None:
        while not self._stopped:
            try:
                await step()
            except RedisError as error:
                log.warning("Redis does not answer: %s", error)
                await asyncio.sleep(AWAY_SECONDS)
            except StoreTooNew as error:
                log.error("%s", error)
                await asyncio.sleep(CHECK_SECONDS)
            except Exception:  # a fault in one round must not end all that follow
                log.exception("the round failed")
                await asyncio.sleep(AWAY_SECONDS)

    async def _fan_out(self) -> None:
        if await self._outbox.wait(POLL_SECONDS):
            await self._outbox.fan_out()
            self._wake.set()

    async def _take(self) -> None:
        if self._sender is None:  # before anything is taken, whose time would run meanwhile, and not on the event loop
            self._sender = await asyncio.to_thread(self._make_sender)
        self._wake.clear()
        room = MOST_IN_FLIGHT - len(self._sending)
        held = Counter(self._sending.values())
        parcels = await self._outbox.take(room, MOST_OF_ONE, MOST_OF_TENANT, self._lease, held) if room else []
        for parcel in parcels:
            task = asyncio.create_task(self._deliver(self._sender, parcel))
            self._sending[task] = parcel.tenant
            task.add_done_callback(self._sending.pop)
        if not parcels:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)

    async def _deliver(self, sender: Sender, parcel: Parcel) -> None:
        attempt = await sender.send(parcel)
        outcome, delay = self._outcome(parcel, attempt)
        log.info(
            "status=%s error=%s outcome=%s",
            *(attempt.status, attempt.error, outcome),
            extra={"webhook": parcel.webhook_id, "delivery": parcel.id},
        )
        deadline = time.monotonic() + self._lease
        while time.monotonic() < deadline:  # what was delivered shall not be sent again if Redis is away for a moment
            try:
                await self._outbox.settle(parcel, attempt, outcome, delay)
                break
            except RedisError as error:
                log.warning("Redis does not answer: %s", error)
                await asyncio.sleep(AWAY_SECONDS)
            except StoreTooNew as error:
                log.error("%s", error)
                await asyncio.sleep(CHECK_SECONDS)
        self._wake.set()

    def _outcome(self, parcel: Parcel, attempt: Attempt) -> tuple[Outcome, float]:
        if attempt.error is None:
            return "delivered", 0.0
        if attempt.status == 410:
            return "gone", 0.0
        delays = self._settings.webhook_retry_seconds
        if parcel.failures >= len(delays):
            return "failed", 0.0
        return "retry", delays[parcel.failures] * random.uniform(1 - JITTER, 1 + JITTER)
