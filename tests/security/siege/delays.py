"""How late the attacker itself is: a process that gets no processor is a slow client, which a server may cut off."""

from __future__ import annotations

import asyncio
import time

TICK = 0.1
LATE = 5.0  # seconds of delay within a request that may be why it has no answer: half of what its headers may take


class Delays:
    """Adds up by how much the event loop comes to its tasks later than it should."""

    def __init__(self) -> None:
        self._total, self._due = 0.0, float("inf")

    async def watch(self) -> None:
        """Go on until cancelled."""
        while True:
            self._due = time.monotonic() + TICK
            await asyncio.sleep(TICK)
            self._total = self.seconds()

    def seconds(self) -> float:
        """Return the sum so far."""
        return self._total + max(0.0, time.monotonic() - self._due)
