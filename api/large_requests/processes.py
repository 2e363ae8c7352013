"""Processes that answer one large request each, and who gets one next."""

from __future__ import annotations

import asyncio
import pickle
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ..settings import ApiSettings
from .wire import LENGTH, Request, Start, packed

CPU_SECONDS = 20  # of one request; estimates refuse beforehand what would take longer
MEMORY_BYTES = 256 * 2**20  # of one request, beside what every process has anyway
STOP_SECONDS = 2.0


class Busy(Exception):
    """There is no room for another large request now."""


class ChildFailed(Exception):
    """The process that answers a request was ended: it took more than it may."""


class Places:
    """A number of places, and a queue for them in which the tenant that has the fewest goes first.

    Args:
        at_once: places.
        waiting: the longest queue.
        of_tenant: the most that one tenant may have in it.
        seconds: how long one may wait in it.
    """

    def __init__(self, at_once: int, waiting: int, of_tenant: int, seconds: float) -> None:
        self._free, self._longest, self._of_tenant, self._seconds = at_once, waiting, of_tenant, seconds
        self._taken: Counter[str] = Counter()
        self._queue: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[None]:
        """Have a place for the block. Raises Busy if the queue is full, or the wait in it too long."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(tenant)
        self._taken[tenant] += 1
        try:
            yield
        finally:
            self._taken -= Counter([tenant])
            self._give_on()

    async def _wait(self, tenant: str) -> None:
        if len(self._queue) >= self._longest or sum(each == tenant for each, _ in self._queue) >= self._of_tenant:
            raise Busy
        entry = tenant, asyncio.get_running_loop().create_future()
        self._queue.append(entry)
        try:
            async with asyncio.timeout(self._seconds):
                await entry[1]
        except BaseException as error:
            if entry in self._queue:
                self._queue.remove(entry)
            elif entry[1].done() and not entry[1].cancelled():  # the place came at the very moment
                self._give_on()
            if isinstance(error, TimeoutError):
                raise Busy from None
            raise

    def _give_on(self) -> None:
        waiting = [entry for entry in self._queue if not entry[1].done()]  # one that was cancelled is about to leave
        if not waiting:
            self._free += 1
            return
        entry = min(waiting, key=lambda each: self._taken[each[0]])
        self._queue.remove(entry)
        entry[1].set_result(None)


class Child:
    """A process with one request to answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def begin(self, request: Request) -> Start:
        """Send the request and wait for the beginning of the answer. Raises ChildFailed."""
        try:
            self._writer.write(packed(request))
            await self._writer.drain()
            start: Start = pickle.loads(await self._next())
        except OSError as error:
            raise ChildFailed from error
        return start

    async def pieces(self) -> AsyncIterator[bytes]:
        """The answer's body. Raises ChildFailed if it is cut short."""
        while piece := await self._next():
            yield piece

    async def _next(self) -> bytes:
        try:
            (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ChildFailed from error


class Processes:
    """Starts the fork server when it is first needed, and again if it has ended."""

    def __init__(self, settings: ApiSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Have the fork server running. It prepares itself for a second; requests wait for it."""
        with self._lock:
            self._running()

    def stop(self) -> None:
        """End the fork server. Its children end with their connections."""
        with self._lock:
            if self._control is not None:
                self._control.close()
            if self._process is not None:
                self._process.terminate()
                self._process.wait(STOP_SECONDS)

    @asynccontextmanager
    async def child(self) -> AsyncIterator[Child]:
        """A new process, for the block: it ends with it, whatever it does."""
        connection = await asyncio.to_thread(self._fork)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        try:
            yield Child(reader, writer)
        finally:
            writer.transport.abort()

    def _fork(self) -> socket.socket:
        """Our end of the socket of a new child."""
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            socket.send_fds(self._running(), [b"\0"], [theirs.fileno()])
        return ours

    def _running(self) -> socket.socket:
        """The control socket of a fork server that runs."""
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        if self._control is not None:
            self._control.close()
        self._control, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", f"{__package__}.forkserver", str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        self._control.sendall(packed(self._settings))
        return self._control
