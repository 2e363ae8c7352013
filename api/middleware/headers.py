"""What every answer says to browsers and to caches."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..settings import ApiSettings

# a picture or a file that a browser opens by itself: SVG's own styles, and nothing that runs, loads or is framed
CONTENT = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
PAGE = (  # the page at /docs, all of whose files come from here
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": CONTENT,
    "Cache-Control": "no-store",  # jobs are their owner's alone; what may be kept says so itself
}
RAW = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ASKED = ("Authorization", "Idempotency-Key", "If-None-Match", "Last-Event-ID", "Prefer", "X-Request-ID")
SHOWN = ("Content-Disposition", "ETag", "Location", "Preference-Applied", "Retry-After", "X-Request-ID")


class Headers:
    """Adds to every answer those of HEADERS that it does not have."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a `send` that adds."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def adding(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message["headers"]
                named = {name.lower() for name, _ in own}
                message["headers"] = [*own, *(each for each in RAW if each[0] not in named)]
            await send(message)

        return await self.app(scope, receive, adding)


def install(app: Starlette, settings: ApiSettings) -> None:
    """Put the headers around everything that `app` has so far, and let the pages of some origins ask it.

    No cookie is ever asked for, so that `*` gives a page nothing that its author could not ask for without it.
    """
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=METHODS,
            allow_headers=ASKED,
            expose_headers=SHOWN,
            allow_credentials=False,
        )
    app.add_middleware(Headers)
