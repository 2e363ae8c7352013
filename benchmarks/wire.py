"""HTTP over bare sockets, for benchmarks.jobs: a load generator on the machine it measures must cost little of it.

It understands what lrserve sends and no more: answers with a Content-Length, and event streams in chunks that do not
cut a line.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

HOST = "127.0.0.1"
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """A keep-alive connection with one request at a time."""

    def __init__(self) -> None:
        self._received = b""
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    async def ask(self, request: bytes) -> Answer:
        """Send a whole request and wait for its whole answer."""
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = LENGTH.search(head)
        if length is None or self._answer is None:
            raise ValueError(f"an answer that benchmarks.wire does not understand: {head!r}")
        if len(body) >= int(length[1]):
            self._received = b""
            self._answer.set_result(Answer(int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("the API closed the connection"))


class Event(NamedTuple):
    """A server-sent event and when it came, in seconds since 1970."""

    id: str
    kind: str
    data: str
    arrived: float

    @property
    def delay(self) -> float:
        """Seconds since it was written: an event's id begins with Redis' clock in milliseconds, cut off."""
        return self.arrived - int(self.id.partition("-")[0]) / 1000


class Stream(asyncio.Protocol):
    """A job's events, as they come."""

    def __init__(self, path: str) -> None:
        self.events: list[Event] = []
        self.ended = False
        self.path = path
        self._received = b""
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(get(self.path))

    def data_received(self, data: bytes) -> None:
        arrived = time.time()
        *blocks, self._received = (self._received + data).split(b"\n\n")
        for block in blocks:
            # sizes of chunks, the answer's head and pings are lines that begin otherwise
            fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
            if b"id" in fields:
                given = (fields[name].decode() for name in (b"id", b"event", b"data"))
                self.events.append(Event(*given, arrived))
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._changed.set()

    async def until(self, look: Callable[[Event], bool], seconds: float = 60.0) -> Event:
        """The first event for which `look` is true."""
        async with asyncio.timeout(seconds):
            seen = 0
            while True:
                for event in self.events[seen:]:
                    seen += 1
                    if look(event):
                        return event
                if self.ended:
                    raise ConnectionResetError(f"the stream ended after {len(self.events)} events: {self._received!r}")
                self._changed.clear()
                await self._changed.wait()


def get(path: str) -> bytes:
    """A GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


def post(path: str, body: str = "") -> bytes:
    """A POST request with JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n{body}".encode()


async def opened(port: int, protocol: Callable[[], P]) -> P:
    """A connection to the API."""
    _, made = await asyncio.get_running_loop().create_connection(protocol, HOST, port)
    return made
