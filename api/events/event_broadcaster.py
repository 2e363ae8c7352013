"""Following the event streams of many jobs with one connection to Redis."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NamedTuple

from lrcore.store.connection import PubSub, RedisConnectionError, RedisError, connect_pubsub, connect_reader

log = logging.getLogger("lrserve.api")

IDLE_SECONDS = 10.0  # of a silent connection, before it is asked whether it still stands
PING_SECONDS = 15.0
READ_AT_ONCE = 25  # entries: what one client that does not read holds, and what the event loop reads for one in a row
BEHIND = 200  # entries that may wait for a slow client: beyond, it reads the stream again
ALWAYS = "lrserve:always"  # a channel without messages: a subscriber must have one


class Entry(NamedTuple):
    """An entry of a stream.

    Attributes:
        wire: the entry as a server-sent event.
    """

    id: str
    kind: str
    wire: bytes

    @classmethod
    def of(cls, event_id: str, kind: str, data: str) -> Entry:
        """An entry with its data, JSON in one line."""
        return cls(event_id, kind, f"id: {event_id}\nevent: {kind}\ndata: {data}\n\n".encode())


class _Gone(Exception):
    """The job was deleted, or lost."""


class _Watch:
    """One client of one stream."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque()
        self.behind = False  # whether the stream has to be read
        self.ready = asyncio.Event()
        self.ended = False  # the process is to end
        self.over = False  # the stream has its last entry

    def put(self, entry: Entry) -> None:
        if self.behind:
            return  # it will be read with those before it
        if len(self.entries) < BEHIND:
            self.entries.append(entry)
            self.ready.set()
        else:
            self.fall_behind()

    def fall_behind(self) -> None:
        self.entries.clear()
        self.behind = True
        self.ready.set()

    async def news(self, seconds: float) -> bool:
        """Wait until there is something to do, for so long. Returns whether there is."""
        if self.behind or self.entries or self.ended:
            return True
        self.ready.clear()
        try:
            async with asyncio.timeout(seconds):
                await self.ready.wait()
        except TimeoutError:
            return False
        return True


class EventBroadcaster:
    """Redis streams for asyncio: what is there already from the stream, what comes from a channel of the same name.

    Every entry of a stream is published as it is written, so that one subscriber hears them all, however many clients
    there are. A message may get lost with its connection: each subscription, the first and those after a break, makes
    its clients read the stream, and entries that they know are left out.
    """

    def __init__(self, url: str) -> None:
        self._redis = connect_reader(url)
        # silence is no error here, and a break must be seen: `_listen` asks after a while, and is begun again
        self._channels = connect_pubsub(url)
        self._watches: defaultdict[str, set[_Watch]] = defaultdict(set)
        self._pubsub: PubSub | None = None
        self._listener: asyncio.Task[None] | None = None
        self._ended = False

    async def follow(self, stream: str, after: str, *, growing: bool) -> AsyncGenerator[bytes]:
        """Server-sent events of the entries later than `after`.

        Of a growing stream as they come, as many at once as there are: until the one of kind end, or until the process
        is to end; with a comment now and then, so that nobody takes a quiet connection for a broken one.
        """
        if not growing:
            async for page in self._history(stream, after):
                yield _joined(page)
            return
        async with self._watching(stream) as watch:
            while not self._ended:
                try:
                    async for entries in self._new(watch, stream, after):
                        after = entries[-1].id
                        yield _joined(entries)  # the next ones are read when these have been taken
                        watch.over = watch.over or entries[-1].kind == "end"
                except _Gone:
                    return
                if watch.over:
                    return
                if not await watch.news(PING_SECONDS):
                    yield b": ping\n\n"

    async def wait_for(self, stream: str, kind: str) -> None:
        """Return once the stream's last entry is of a kind, or the process is to end."""
        async with self._watching(stream) as watch:
            while not self._ended:
                if watch.behind:
                    watch.behind = False
                    try:
                        if await self._last(stream) in (kind, None):
                            return
                    except RedisError:
                        await self._come_back(watch)
                        continue
                if any(entry.kind == kind for entry in watch.entries):
                    return
                watch.entries.clear()
                await watch.news(PING_SECONDS)

    def end(self) -> None:
        """Let every `follow` come to its end."""
        self._ended = True
        for watches in self._watches.values():
            for watch in watches:
                watch.ended = True
                watch.ready.set()

    async def close(self) -> None:
        """Close the connections."""
        self.end()
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()
        await self._channels.aclose()

    async def _new(self, watch: _Watch, stream: str, after: str) -> AsyncIterator[list[Entry]]:
        """What there is to tell now, a page at a time. Raises _Gone if there is no such stream."""
        last = after
        if watch.behind:
            watch.behind = False
            try:
                if not await self._redis.exists(stream):
                    raise _Gone
                async for page in self._history(stream, after):
                    last = page[-1].id
                    yield page
                if last == after:
                    watch.over = await self._last(stream) == "end"
            except RedisError as error:
                log.warning("Redis does not answer, events will be read when it does: %s", error)
                await self._come_back(watch)
                return
        watch.over = watch.over or any(entry.kind == "end" for entry in watch.entries)
        fresh = [entry for entry in watch.entries if _order(entry.id) > _order(last)]
        watch.entries.clear()
        if fresh:
            yield fresh

    async def _last(self, stream: str) -> str | None:
        """The kind of a stream's last entry."""
        last: Any = await self._redis.xrevrange(stream, count=1)
        return last[0][1]["type"] if last else None

    @staticmethod
    async def _come_back(watch: _Watch) -> None:
        await asyncio.sleep(1)
        watch.behind = True

    async def _history(self, stream: str, after: str) -> AsyncIterator[list[Entry]]:
        while True:
            found: Any = await self._redis.xrange(stream, min=f"({after}", count=READ_AT_ONCE)
            if found:
                after = found[-1][0]
                yield [Entry.of(event_id, fields["type"], fields["data"]) for event_id, fields in found]
            if len(found) < READ_AT_ONCE:
                return

    @contextlib.asynccontextmanager
    async def _watching(self, stream: str) -> AsyncIterator[_Watch]:
        if self._listener is None:
            self._listener = asyncio.create_task(self._keep_listening())
        watch = _Watch()
        first = not self._watches[stream]
        self._watches[stream].add(watch)
        try:
            if first:  # the answer to it makes the client read
                await self._try(stream, subscribe=True)
            else:
                watch.fall_behind()
            yield watch
        finally:
            self._drop(stream, watch)
            if stream not in self._watches:
                await self._try(stream, subscribe=False)

    def _drop(self, stream: str, watch: _Watch) -> None:
        self._watches[stream].discard(watch)
        if not self._watches[stream]:
            del self._watches[stream]

    async def _try(self, stream: str, *, subscribe: bool) -> None:
        """Change what is heard; if the connection is broken, the listener will do it with the next one."""
        if self._pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                await (self._pubsub.subscribe(stream) if subscribe else self._pubsub.unsubscribe(stream))

    async def _keep_listening(self) -> None:
        while True:
            try:
                async with self._channels.pubsub() as pubsub:
                    await pubsub.subscribe(ALWAYS)
                    self._pubsub = pubsub  # from here on, new clients subscribe by themselves
                    if self._watches:
                        await pubsub.subscribe(*self._watches)
                    await self._listen(pubsub)
            except Exception as error:  # whatever it is: without this task nobody hears anything
                log.warning("events are not heard, trying again: %r", error)
            finally:
                self._pubsub = None
            await asyncio.sleep(1)

    async def _listen(self, pubsub: PubSub) -> None:
        asked = False
        while True:
            message: Any = await pubsub.get_message(timeout=IDLE_SECONDS)
            if message is None:
                if asked:
                    raise RedisConnectionError("no answer")
                await pubsub.ping()
            asked = message is None
            if message is not None and message["type"] == "subscribe":
                for watch in self._watches.get(message["channel"], ()):
                    watch.fall_behind()
            elif message is not None and message["type"] == "message":
                entry = Entry.of(*json.loads(message["data"]))
                for watch in self._watches.get(message["channel"], ()):
                    watch.put(entry)


def _joined(entries: list[Entry]) -> bytes:
    return b"".join(entry.wire for entry in entries)


def _order(event_id: str) -> tuple[int, int]:
    milliseconds, _, number = event_id.partition("-")
    return int(milliseconds), int(number or 0)
