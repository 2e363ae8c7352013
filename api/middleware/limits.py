"""Bounds on request bodies."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..problems import of_http

ARRIVED = "lrserve.arrived"  # in the scope of a request all of which was there before the application began


class BodyLimit:
    """Ends a request with 413 once its body is longer than `limit` bytes, however it is sent.

    With 408, once it has taken longer than `seconds`.
    """

    def __init__(self, app: ASGIApp, limit: int, seconds: float) -> None:
        self.app = app
        self.limit, self.seconds = limit, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a `receive` that counts."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received, coming, begun = 0, True, False
        limit = min(self.limit, int(scope["state"]["caller"].limits.get("body_bytes", self.limit)))
        announced = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")
        arrived = ARRIVED in scope
        deadline = 0.0 if arrived else asyncio.get_running_loop().time() + self.seconds

        async def counted() -> Message:
            nonlocal received, coming
            if announced.isdigit() and int(announced) > limit:
                raise _too_large(limit)
            if not coming:  # what is received now is that the client has gone
                return await receive()
            message = await (receive() if arrived else self._in_time(receive, deadline))
            received += len(message.get("body", b""))
            coming = message.get("more_body", False)
            if received > limit:
                raise _too_large(limit)
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, counted, noted)
        except _Refused as refusal:  # by what reads a body outside of the application
            if begun:
                raise
            await of_http(Request(scope), refusal)(scope, receive, send)

    async def _in_time(self, receive: Receive, deadline: float) -> Message:
        try:
            async with asyncio.timeout_at(deadline):
                return await receive()
        except TimeoutError:
            raise _Refused(408, f"the body took longer than {self.seconds:g} s") from None


class _Refused(HTTPException):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(status, detail, {"Connection": "close"})


def _too_large(limit: int) -> _Refused:
    return _Refused(413, f"the body is larger than {limit} bytes")
