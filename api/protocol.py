"""Uvicorn's HTTP protocol, with bounds on the head of a request and on the time that a request takes to arrive.

The one over httptools has none: it takes headers without an end, waits for ever for their last line or for the first
byte of a connection, and goes on taking a body that nobody reads.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api.headers import HEADERS
from api.limits import ARRIVED
from api.problems import TITLES, problem

HEAD_BYTES = 2**16  # as in h11; what comes with its first or its last byte is not counted
GRACE_SECONDS = 2.0  # for the application's own answer to a body that does not come


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A head that is too long gets 431, one that is too slow 408; then the connection is closed.

    The application answers a body that is too slow, and the connection is closed if it does not. It is closed as well
    once the client has taken nothing of an answer for too long.
    """

    def __init__(
        self, *args: Any, head_seconds: float, body_seconds: float, write_seconds: float, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._head_seconds, self._body_seconds, self._write_seconds = head_seconds, body_seconds, write_seconds
        self._head = 0  # bytes so far
        self._in_head, self._begun = True, False
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None  # ends a connection whose client does not read its answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect(self._head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self._taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        in_head, scope = self._in_head, self.scope
        super().data_received(data)
        if not (in_head and self._in_head and scope is self.scope) or self.transport.is_closing():
            return
        self._head += len(data)  # the head goes on, or lines without content go before it
        if self._head > HEAD_BYTES:
            self._refuse(431, f"the headers are longer than {HEAD_BYTES} bytes")
        elif self._deadline is None:
            self._expect(self._head_seconds)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._in_head, self._begun = 0, True, True
        self._expect(self._head_seconds)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._expect(self._body_seconds + GRACE_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head, self._in_head, self._begun = 0, True, False
        self._expect(None)
        self.scope[ARRIVED] = True  # type: ignore[literal-required]
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()

    def _taken(self) -> None:
        """Do not wait any longer for the client to read."""
        if self._unread is not None:
            self._unread.cancel()
        self._unread = None

    def _expect(self, seconds: float | None) -> None:
        """Give the client so long for what is next; None: nothing is expected, or uvicorn waits for it."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:  # it is not the client that is slow
            self._expect(self._body_seconds)
        elif self._in_head and self._begun:
            self._refuse(408, f"the headers took longer than {self._head_seconds:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        if self.cycle is None or self.cycle.response_complete:  # else another answer is on its way
            title = TITLES[status]
            answer = problem(
                status, title.lower().replace(" ", "-"), title, detail, headers=HEADERS | {"Connection": "close"}
            )
            lines = [b"%b: %b\r\n" % header for header in answer.raw_headers]
            self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", answer.body]))
        self.transport.close()
