"""Requests that are not small leave the event loop: each is answered by a process of its own.

Small are requests with a short query and body whose work keeps within a budget. Whatever parses, computes or draws more
raises OverBudget here, and the request is given to a child of the fork server as it came.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from types import SimpleNamespace
from typing import Any

from fastapi import Request as HttpRequest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lrcore.numerics.cost import AT_ONCE
from lrcore.service import budget, logs, traces
from lrcore.service.budget import OverBudget
from lrcore.service.machine import cores

from .. import problems
from ..documented import refuses
from ..encoding.curves import MEDIA_TYPES
from ..middleware.metrics import CURVE_SECONDS
from ..middleware.telemetry import INNER
from ..requests import JOB_TYPES
from ..settings import ApiSettings
from .processes import CPU_SECONDS, Busy, Child, ChildFailed, Places, Processes
from .wire import Request, Start

log = logging.getLogger("lrserve.api")

SMALL_BYTES = 4096  # of query and body together: a few milliseconds to parse, whatever they contain
WHOLE = 2**18  # bytes of an answer that is taken over at once, so that its process ends
ANSWERS = 2  # longer ones that are on their way to their clients at once
QUEUE, QUEUE_OF_TENANT, QUEUE_SECONDS = 64, 16, 30.0  # requests that wait for a process
ANSWER_SECONDS = 60.0  # until an answer begins, beside all else that the machine has to do
FIELDS = 150_000  # of a body: each that is unknown becomes an error of its own
BODY_BYTES = 32 * 2**20  # of large bodies that are being received or wait
SLOW_SECONDS, SLOW_BYTES = 60.0, 2**18  # a client must have taken so many bytes a second after so long
JOBS = tuple(known.submit for known in JOB_TYPES.values())  # where requests may change what waits
ON_LOOP = "lrserve.on_loop"  # in the scope of a request that is answered here: headers for its answer
PASSED_ON = (
    *("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path"),
    *("client", "server", "state"),
)
FORMATS = {media_type.partition(";")[0].encode(): name for name, media_type in MEDIA_TYPES.items()}


@refuses(503)
async def own_process(request: HttpRequest) -> None:
    """Have every request of a route answered by a process of its own: a dependency. Raises OverBudget."""
    leave_loop(request)


def leave_loop(request: HttpRequest, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Have this request answered by a process of its own, if it is not yet. Raises OverBudget.

    Args:
        headers: what its answer has besides.
    """
    if ON_LOOP in request.scope:
        request.scope[ON_LOOP].extend(headers)
        raise OverBudget


class Offload:
    """Answers what is small here, and has the rest answered elsewhere.

    Args:
        changed: called after a request that may have made a job.
    """

    def __init__(self, app: ASGIApp, processes: Processes, settings: ApiSettings, changed: Callable[[], None]) -> None:
        self.app, self._processes, self._changed = app, processes, changed
        at_once = settings.large_requests or min(max(cores(), 2), 4)
        self._places = Places(at_once, QUEUE, QUEUE_OF_TENANT, QUEUE_SECONDS)
        waiting = max(1, at_once - 1)  # one process goes on with short answers
        self._answers = Places(ANSWERS, waiting, waiting, QUEUE_SECONDS)
        self._body_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, here or elsewhere."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        # what the body of a GET says nobody reads
        announced = 0 if scope["method"] in ("GET", "HEAD") else _announced(scope)
        room = SMALL_BYTES - len(scope["query_string"])
        body, complete = b"", not announced
        while not complete and len(body) + max(0, announced) <= room:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            complete, announced = not message.get("more_body"), 0
        headers: list[tuple[bytes, bytes]] = []
        if complete and len(body) <= room and await self._here({**scope, ON_LOOP: headers}, body, receive, send):
            return None
        try:
            await self._elsewhere(scope, body, complete, headers, receive, send)
        except Busy:
            await problems.busy()(scope, receive, send)
        finally:
            if scope["method"] != "GET" and scope["path"].startswith(JOBS):
                self._changed()

    async def _here(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> bool:
        """Answer on the event loop; whether the budget was enough."""
        begun, waiting = False, [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            return waiting.pop() if waiting else await receive()

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        budget.limit(AT_ONCE)
        try:
            await self.app(scope, replayed, noted)
        except OverBudget:
            if begun:
                raise
            return False
        return True

    async def _elsewhere(
        self, scope: Scope, body: bytes, complete: bool, headers: list[Any], receive: Receive, send: Send
    ) -> None:
        """Answer by a process of its own, unless the client goes before. Raises Busy."""
        whole = await self._received(body, complete, receive)
        if whole is None:
            return
        try:
            if whole.count(b":") > FIELDS:
                return await problems.too_many_fields(FIELDS)(scope, receive, send)
            answering = asyncio.create_task(self._answer(scope, whole, headers, send))
            gone = asyncio.create_task(_gone(receive))
            try:
                await asyncio.wait((answering, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (answering, gone):
                    task.cancel()  # which does nothing to one that is done
            with suppress(asyncio.CancelledError):
                await answering
        finally:
            self._body_bytes -= len(whole)

    async def _received(self, body: bytes, complete: bool, receive: Receive) -> bytes | None:
        """Receive the rest of a body, and count it; None if the client has gone. Raises Busy."""
        parts, size, busy = [body], len(body), False
        self._body_bytes += size
        try:
            while not complete:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part, complete = message.get("body", b""), not message.get("more_body")
                busy = busy or self._body_bytes + len(part) > BODY_BYTES
                if not busy:
                    parts.append(part)
                    size, self._body_bytes = size + len(part), self._body_bytes + len(part)
            if busy:  # only now: who is still sending may never see an answer
                raise Busy
            whole, size = b"".join(parts), 0
            return whole
        finally:
            self._body_bytes -= size

    async def _answer(self, scope: Scope, body: bytes, headers: list[Any], send: Send) -> None:
        tenant: str = scope["state"]["caller"].tenant
        passed = {name: scope[name] for name in PASSED_ON if name in scope}
        passed["headers"] = [header for header in scope["headers"] if header[0] != b"prefer"]  # it has waited here
        request = Request(passed, body, logs.about().get("request", ""), traces.current())
        async with AsyncExitStack() as stack:
            async with self._places.place(tenant):
                child = await stack.enter_async_context(self._processes.child())
                try:
                    start, beginning, rest = await self._begun(child, request)
                except ChildFailed:
                    cost = f"{CPU_SECONDS} s of a processor, or more memory,"
                    return await problems.too_costly(cost)(scope, _gone, send)  # type: ignore[arg-type]
                if rest is not None:  # it keeps its place until then: so many processes are there at most
                    await stack.enter_async_context(self._answers.place(tenant))
            if INNER in scope:
                scope[INNER].append({"route": SimpleNamespace(path=start.route)})
            start = start._replace(headers=[*start.headers, *headers])
            if rest is None:
                return await _whole(start, beginning, send)
            return await _streamed(start, beginning, rest, send)

    async def _begun(self, child: Child, request: Request) -> tuple[Start, bytes, AsyncIterator[bytes] | None]:
        """The head of the answer, the beginning of its body, and the rest of it. Raises ChildFailed, Busy."""
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                start = await child.begin(request)
                pieces, beginning, ended = child.pieces(), bytearray(), True
                async for piece in pieces:
                    beginning += piece
                    if len(beginning) > WHOLE:
                        ended = False
                        break
        except TimeoutError:
            raise Busy from None
        if start.route.startswith("/v1/curves") and (form := _format(start)):
            CURVE_SECONDS.labels(form).observe(time.perf_counter() - begun)
        return start, bytes(beginning), None if ended else pieces


async def _whole(start: Start, body: bytes, send: Send) -> None:
    await send({"type": "http.response.start", "status": start.status, "headers": start.headers})
    await send({"type": "http.response.body", "body": body})


async def _streamed(start: Start, beginning: bytes, rest: AsyncIterator[bytes], send: Send) -> None:
    """Pass a long answer on as fast as its client takes it. One that takes too long does not get its end."""
    begun, sent = time.monotonic(), 0
    await send({"type": "http.response.start", "status": start.status, "headers": start.headers})
    await send({"type": "http.response.body", "body": beginning, "more_body": True})
    with suppress(ChildFailed):
        async for piece in rest:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            sent += len(piece)
            if time.monotonic() > begun + SLOW_SECONDS + sent / SLOW_BYTES:
                log.warning("an answer was taken too slowly: %d bytes in %.0f s", sent, time.monotonic() - begun)
                return
        await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    """Wait until the client has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _announced(scope: Scope) -> int:
    """How long the body will be; -1 if that is not known yet, 0 if there is none."""
    length = -1 if any(name == b"transfer-encoding" for name, _ in scope["headers"]) else 0
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            length = int(value)
    return length


def _format(start: Start) -> str | None:
    """Which of MEDIA_TYPES a good answer has."""
    media_type = next((value for name, value in start.headers if name == b"content-type"), b"")
    return FORMATS.get(media_type.partition(b";")[0]) if start.status < 300 else None
