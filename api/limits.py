"""A bound on request bodies."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Ends a request with 413 once its body is longer than `limit` bytes, however it is sent."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a `receive` that counts."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        received, limit = 0, min(self.limit, int(scope["state"]["caller"].limits.get("body_bytes", self.limit)))
        announced = next((v for k, v in scope["headers"] if k == b"content-length"), b"0")

        async def counted() -> Message:
            nonlocal received
            if announced.isdigit() and int(announced) > limit:
                raise _too_large(limit)
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        await self.app(scope, counted, send)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is larger than {limit} bytes", {"Connection": "close"})
