"""A job's events as they come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator

import httpx

from lrserve.client.events import Event, Following
from lrserve.client.transport import AsyncTransport, SyncTransport


def follow(transport: SyncTransport, job_id: str, after: str = "0") -> Iterator[Event]:
    """Every event once, from the job's beginning, or after one with an id, to its `end`. Raises ApiError."""
    stream = Following(job_id, after)
    while not stream.ended:
        broken: httpx.TransportError | None = None
        try:
            with transport.http.stream(**stream.call().arguments()) as response:
                if response.is_success:
                    for chunk in response.iter_bytes():
                        yield from stream.take(chunk)
                else:
                    response.read()
        except httpx.TransportError as error:
            broken = error
        if not stream.ended:
            lost = broken or response.is_success
            time.sleep(stream.broken(broken) if lost else stream.refused(response))


async def follow_async(transport: AsyncTransport, job_id: str, after: str = "0") -> AsyncIterator[Event]:
    """The same while the event loop goes on."""
    stream = Following(job_id, after)
    while not stream.ended:
        broken: httpx.TransportError | None = None
        try:
            async with transport.http.stream(**stream.call().arguments()) as response:
                if response.is_success:
                    async for chunk in response.aiter_bytes():
                        for event in stream.take(chunk):
                            yield event
                else:
                    await response.aread()
        except httpx.TransportError as error:
            broken = error
        if not stream.ended:
            lost = broken or response.is_success
            await asyncio.sleep(stream.broken(broken) if lost else stream.refused(response))
