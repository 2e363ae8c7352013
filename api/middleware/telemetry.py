"""Every request is counted and timed, has an id, and is a span where traces are on."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lrcore.service import logs, traces

from .metrics import REQUESTS

log = logging.getLogger("lrserve.requests")

ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
UNROUTED = "none"  # of what is refused before routing, or leads nowhere
PROCESS, NUMBERS = secrets.token_hex(6).encode(), itertools.count(secrets.randbits(24))  # cheaper than chance each time
INNER = "lrserve.scope"  # where the scope is that the router writes its route into


class RouteProbe:
    """The innermost layer: shows Telemetry which route a request takes, though those between have copied its scope."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave the scope where Telemetry finds it."""
        if INNER in scope:
            scope[INNER].append(scope)
        await self.app(scope, receive, send)


class Telemetry:
    """The outermost layer. A client's own X-Request-ID is taken over if it is a plain word, else one is made."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a `send` that looks."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begun, request_id, inner = time.perf_counter(), _id(scope), list[Scope]()
        scope[INNER] = inner
        logs.bind(request=request_id.decode())  # for the rest of this request's own task
        answered = False

        async def noting(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
                self._note(scope, _route(inner), message["status"], time.perf_counter() - begun)
            await send(message)

        REQUESTS.open += 1
        try:
            if traces.on():
                await self._traced(scope, receive, noting, inner)
            else:
                await self.app(scope, receive, noting)
        except BaseException:
            if not answered:  # a fault: Starlette's own outermost layer answers
                self._note(scope, _route(inner), 500, time.perf_counter() - begun)
            raise
        finally:
            REQUESTS.open -= 1

    def _note(self, scope: Scope, route: str, status: int, seconds: float) -> None:
        method = scope["method"]
        REQUESTS.note(route, method if method in METHODS else "other", status, seconds)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s: %d after %.1f ms", method, scope["path"], status, seconds * 1e3)

    async def _traced(self, scope: Scope, receive: Receive, send: Send, inner: list[Scope]) -> None:
        given = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
        with traces.request(scope["method"], given.decode("latin-1")) as span:

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    route = _route(inner)
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)
                    span.set_attribute("http.request.method", scope["method"])
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self.app(scope, receive, noting)


def _id(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and ID.fullmatch(value):
            return bytes(value)
    return b"%s%x" % (PROCESS, next(NUMBERS))


def _route(inner: list[Scope]) -> str:
    return route_of(inner[0]) if inner else UNROUTED


def route_of(scope: Scope) -> str:
    """Return the template of a scope's route, whole: FastAPI leaves out an included router's prefix."""
    route = scope.get("route")
    template = str(getattr(route, "path", UNROUTED))
    if not (values := scope.get("path_params")):
        return template
    own = getattr(route, "path_format", template).format(**values)
    path: str = scope["path"]
    return path.removesuffix(own) + template if path.endswith(own) else template
