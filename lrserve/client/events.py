"""A job's server-sent events, over broken connections."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from lrserve.client.calls import Call, nothing, path
from lrserve.client.errors import ApiError, NoAnswer
from lrserve.client.transport import AsyncTransport, SyncTransport, no_answer, pause, refusal

AGAIN = (429, 503)  # the server has done nothing, and may later
RECONNECTS = 20  # a stream may break that often in a row before following is given up
SILENCE = 60.0  # seconds; the server says something every 15


@dataclass(frozen=True)
class Event:
    """One server-sent event of a job.

    Attributes:
        type: state, progress, epoch or end; of an experiment also run.
    """

    id: str
    type: str
    data: dict[str, Any]


class Following:
    """Where the following of a job stands, whoever moves the bytes.

    Args:
        after: id of the event after which to begin; "0" is the job's beginning.
    """

    def __init__(self, job_id: str, after: str = "0") -> None:
        self._path, self._last, self._broken = path("jobs", job_id, "events"), after, 0
        self._rest = b""
        self.ended = False

    def call(self) -> Call[None]:
        """The request for what has not been seen yet."""
        self._rest = b""
        return Call("GET", self._path, nothing, headers={"Last-Event-ID": self._last}, timeout=SILENCE)

    def take(self, chunk: bytes) -> Iterator[Event]:
        """The events that are complete with these bytes."""
        # lines end by \n alone: str.splitlines would also split at characters that stand in the data
        *blocks, self._rest = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
        for block in blocks:
            fields = dict(_field(line) for line in block.decode().split("\n") if line and not line.startswith(":"))
            if "data" in fields:
                event = Event(fields.get("id", ""), fields.get("event", "message"), json.loads(fields["data"]))
                self._last, self._broken = event.id, 0
                self.ended = event.type == "end"
                yield event

    def refused(self, response: httpx.Response) -> float:
        """Seconds until the next attempt after an answer that is no stream. Raises ApiError."""
        fault = refusal(response)
        if response.status_code not in AGAIN:
            raise fault
        return self._again(fault)

    def broken(self, error: httpx.TransportError | None) -> float:
        """The same after a connection that broke, or was closed in order. Raises ApiError."""
        return self._again(no_answer(error) if error else NoAnswer("the server ends every stream before its end"))

    def _again(self, fault: ApiError) -> float:
        self._broken += 1
        if self._broken > RECONNECTS:
            raise fault
        return pause(self._broken, fault.retry_after)


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.removeprefix(" ")


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
