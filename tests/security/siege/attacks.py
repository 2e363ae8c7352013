"""The registry of attacks, and what an attacker can do with any one request: read the answer, or not, or leave."""

from __future__ import annotations

import asyncio
import random
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import tests.security.siege.bodies
import tests.security.siege.curves
import tests.security.siege.jobs  # noqa: F401  # they fill WORST
from tests.security.siege.delays import LATE, Delays
from tests.security.siege.record import Recorder
from tests.security.siege.wire import Answer, Request, connected, exchange
from tests.security.siege.worst import WORST, World, Worst

LONGEST = 300.0  # seconds after which a request that has no answer has failed


@dataclass
class Attacker:
    """One of several that attack at the same time.

    Attributes:
        token: the key that the requests carry.
        worker: held by whoever gives the service's worker something to do.
        delays: those of this process.
    """

    port: int
    token: str
    world: World
    recorder: Recorder
    worker: asyncio.Semaphore
    attack: str = ""
    delays: Delays = field(default_factory=Delays)
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = self.world.rng

    def raw(self, request: Request) -> bytes:
        """Build a request's bytes, with the key."""
        return request.raw(self.token)

    async def send(self, request: Request, keep: int = 0, may_reset: bool = False) -> Answer:
        """Send a request, read its whole answer and record it.

        Args:
            may_reset: whether the server may close the connection without an answer.
        """
        return await self.send_raw(self.raw(request), keep, may_reset)

    async def send_raw(self, raw: bytes, keep: int = 0, may_reset: bool = False) -> Answer:
        """Send bytes as they are, read the whole answer and record it."""
        begun, delayed = time.monotonic(), self.delays.seconds()
        try:
            async with asyncio.timeout(LONGEST):
                found = await exchange(self.port, raw, keep)
        except TimeoutError:
            found = Answer("timeout")
        except asyncio.CancelledError:
            self.note(begun, "abandoned")
            raise
        may_reset |= self.delays.seconds() - delayed > LATE
        self.recorder.answered(self.attack, begun, found, raw, may_reset)
        return found

    def note(self, begun: float, status: str) -> None:
        """Record what has no answer by design."""
        self.recorder.add(self.attack, begun, status)


Run = Callable[[Attacker], Awaitable[Any]]


@dataclass(frozen=True)
class Attack:
    """One kind of attack.

    Attributes:
        long: whether it is for the long siege alone, because it needs much memory or time of the worker.
    """

    name: str
    weight: float
    run: Run
    long: bool = False


ATTACKS: list[Attack] = []


def attack(name: str, weight: float = 1, long: bool = False) -> Callable[[Run], Run]:
    """Register the decorated function."""

    def registered(run: Run) -> Run:
        ATTACKS.append(Attack(name, weight, run, long))
        return run

    return registered


async def attack_until(attacker: Attacker, deadline: float, attacks: list[Attack]) -> None:
    """Attack in every way, by weight, until the time is over. A mistake in an attack is recorded as one."""
    weights = [each.weight for each in attacks]
    while time.monotonic() < deadline:
        (chosen,) = attacker.rng.choices(attacks, weights)
        attacker.attack = chosen.name
        try:
            await chosen.run(attacker)
        except asyncio.CancelledError:
            raise
        except Exception:
            attacker.recorder.mistake(chosen.name, traceback.format_exc())


def _sent(worst: Worst) -> Run:
    async def run(attacker: Attacker) -> None:
        await attacker.send(worst.make(attacker.world), may_reset=worst.early)

    return run


for _worst in WORST:
    ATTACKS.append(Attack(_worst.name, _worst.weight, _sent(_worst)))


def any_request(attacker: Attacker) -> Request:
    """Choose one of the worst requests."""
    (chosen,) = attacker.rng.choices(WORST, [each.weight for each in WORST])
    return chosen.make(attacker.world)


@attack("any request, its answer never read", weight=10)
async def unread(attacker: Attacker) -> None:
    begun = time.monotonic()
    with suppress(ConnectionError):
        _, writer = await connected(attacker.port, deaf=True)
        try:
            writer.write(attacker.raw(any_request(attacker)))
            await asyncio.sleep(attacker.rng.uniform(1, 15))
        finally:
            writer.transport.abort()
    attacker.note(begun, "unread")


@attack("any request, its answer read slowly", weight=8)
async def slow_reader(attacker: Attacker) -> None:
    begun = time.monotonic()
    with suppress(ConnectionError):
        reader, writer = await connected(attacker.port, deaf=True)
        try:
            writer.write(attacker.raw(any_request(attacker)))
            while time.monotonic() < begun + 15:
                async with asyncio.timeout(15):
                    if not await reader.read(512):
                        break
                await asyncio.sleep(0.1)
        except TimeoutError:
            pass
        finally:
            writer.transport.abort()
    attacker.note(begun, "read slowly")


@attack("any request, and gone", weight=10)
async def gone(attacker: Attacker) -> None:
    """Leave before the request is complete, or while it is computed, or within its answer."""
    begun = time.monotonic()
    raw = attacker.raw(any_request(attacker))
    with suppress(ConnectionError):
        _, writer = await connected(attacker.port)
        try:
            writer.write(raw[: attacker.rng.choice((len(raw), len(raw), len(raw) // 2, 20))])
            await asyncio.sleep(attacker.rng.choice((0, 0.02, 0.5, 3)))
        finally:
            writer.transport.abort()
    attacker.note(begun, "left")
