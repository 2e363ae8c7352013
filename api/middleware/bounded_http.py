"""Uvicorn's HTTP protocol, with bounds on the head of a request and on the time that a request takes to arrive.

The one over httptools has none: it takes headers without an end, waits for ever for their last line or for the first
byte of a connection, and goes on taking a body that nobody reads. It also stops reading a request that offers another
protocol (`Upgrade: h2c`) after its head, so that the body is parsed as the next request: request smuggling.
"""

from __future__ import annotations

import asyncio
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ..problems import problem, titled
from .headers import HEADERS
from .limits import ARRIVED

HEAD_BYTES = 2**16  # as in h11; what comes with its first or its last byte is not counted
GRACE_SECONDS = 2.0  # for the application's own answer to a body that does not come
MOST_REFUSED = 64  # connections above the limit that get an answer; further ones are closed at once
REFUSED_SECONDS = 1.0  # for the request of a connection above the limit
BUSY = problem(  # a response is an application
    503,
    "too-many-connections",
    "Too many connections",
    "This process has as many open connections as LRSERVE_MAX_CONNECTIONS allows.",
    headers=HEADERS | {"Connection": "close", "Retry-After": "1"},
)


class BoundedProtocol(HttpToolsProtocol):
    """One connection. A head that is too long gets 431, one that is too slow 408; then the connection is closed.

    The application answers a body that is too slow, and the connection is closed if it does not. It is closed as well
    once the client has taken nothing of an answer for too long. A connection above `max_connections` gets 503; those
    that were there before are served, which uvicorn's own limit does not do.
    """

    def __init__(
        self,
        *args: Any,
        max_connections: int,
        head_seconds: float,
        body_seconds: float,
        write_seconds: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._max_connections = max_connections
        self._head_seconds, self._body_seconds, self._write_seconds = head_seconds, body_seconds, write_seconds
        self._head = 0  # bytes so far
        self._in_head, self._begun = True, False
        self._ending = False  # reads nothing more
        self._due: list[RequestResponseCycle] = []  # requests without a whole answer yet, the oldest first
        self._deadline: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None  # ends a connection whose client does not read its answer

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        above = len(self.connections) - self._max_connections
        if above > MOST_REFUSED:
            transport.abort()
        elif above > 0:
            self.app, self._head_seconds = BUSY, min(REFUSED_SECONDS, self._head_seconds)
        self._expect(self._head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self._taken()
        for cycle in self._due:  # uvicorn informs the newest alone, which has not begun if requests came in one go
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ending:
            return
        in_head, scope = self._in_head, self.scope
        self._unset_keepalive_if_required()
        self._parse(data)
        if not (in_head and self._in_head and scope is self.scope) or self._ending or self.transport.is_closing():
            return
        self._head += len(data)  # the head goes on, or lines without content go before it
        if self._head > HEAD_BYTES:
            self._refuse(431, f"the headers are longer than {HEAD_BYTES} bytes")
        elif self._deadline is None:
            self._expect(self._head_seconds)

    def _parse(self, data: bytes) -> None:
        """Feed the parser. An offer of another protocol is ignored, as RFC 9110, section 7.8, lets a server do."""
        while data:
            try:
                return self.parser.feed_data(data)
            except HttpParserError:
                return self._refuse(400, "the request is malformed")
            except HttpParserUpgrade as offer:
                if self.parser.get_method() == b"CONNECT":  # refused already, and no head would be without an offer
                    return None
                data = self._head_without_upgrade() + data[offer.args[0] :]
                self.parser = HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return None

    def _head_without_upgrade(self) -> bytes:
        """The head that the parser has just read. It has no line breaks inside of a line: the parser refuses them."""
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        fields = [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join([line, *fields, b"", b""])

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head, self._in_head, self._begun = 0, True, True
        self._expect(self._head_seconds)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():  # the parser ignores the body, too: _parse starts again with another head
            if self.parser.get_method() == b"CONNECT":
                self._refuse(501, "this is no proxy: CONNECT is not served")
            return
        self._in_head = False
        self._expect(self._body_seconds + GRACE_SECONDS)
        super().on_headers_complete()
        self._due.append(self.cycle)
        self.headers = []  # trailers of a chunked body end here, not among the request's headers

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._head, self._in_head, self._begun = 0, True, False
        self._expect(None)
        self.scope[ARRIVED] = True  # type: ignore[literal-required]
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._due.pop(0)
        super().on_response_complete()

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
        elif self.app is BUSY:
            self._end(BUSY)
        elif self._in_head and self._begun:
            self._refuse(408, f"the headers took longer than {self._head_seconds:g} s")
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        self._end(titled(status, detail, HEADERS | {"Connection": "close"}))

    def _end(self, answer: Response) -> None:
        """Answer the request at fault and close the connection: once earlier requests have their answers."""
        due = self.cycle is not None and not self.cycle.response_complete
        if due and self._in_head:  # the requests before this one are whole
            self.cycle.keep_alive, self._ending = False, True
            return self._expect(None)
        if not (due and (self.pipeline or self.cycle.response_started)):
            lines = [b"%b: %b\r\n" % header for header in answer.raw_headers]
            self.transport.write(b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", answer.body]))
        return self.transport.close()
