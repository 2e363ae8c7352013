"""The process that large requests are forked from: python -m lrserve.api.large_requests.forkserver FD.

It has imported and prepared everything once, holds no thread and no connection, and forks a child for each socket that
it receives. A child answers one request with the application itself and exits, so that its memory is free again. The
kernel bounds what a child may take, and a child ends as soon as the other end of its socket is closed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fastapi import FastAPI
from starlette.types import Message, Scope

from lrcore.service import logs, traces

from .. import problems
from ..app import application
from ..middleware.auth import ANYBODY
from ..middleware.telemetry import route_of
from ..requests import JOB_TYPES
from .processes import CPU_SECONDS, MEMORY_BYTES
from .wire import LENGTH, Request, Start, packed, received

log = logging.getLogger("lrserve.api")

NICE = 10  # the event loop goes first, on a machine with no free core, too
PIECE = 2**16  # bytes of an answer that are passed on at once
WARM_UP_SECONDS = 5.0
STEP = b'{"type": "StepLR", "step_size": 2}'
CURVE = b'"schedule": ' + STEP + b', "base_lr": 0.1'
WARM_UP = (  # build and import nearly all that requests need; the empty bodies are refused once their models are built
    ("/v1/curves", b"format=png", b'{"steps": 4, ' + CURVE + b"}"),
    ("/v1/curves/compare", b"format=svg", b'{"steps": 4, "curves": [{"name": "a", ' + CURVE + b"}]}"),
    ("/v1/schedules/translate", b"", b'{"to": "torch", ' + CURVE + b"}"),
    ("/v1/schedules/fit", b"", b'{"lr": [0.1, 0.1, 0.05, 0.05]}'),
    *((known.submit, b"", b"{}") for known in JOB_TYPES.values()),
)


def serve(control: socket.socket, app: FastAPI) -> None:
    """Fork a child for each socket that comes, until the parent has closed its end."""
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        if os.fork() == 0:
            control.close()
            try:
                _answer(socket.socket(fileno=descriptors[0]), app)
            finally:
                os._exit(0)
        os.close(descriptors[0])


def _reap(*_: object) -> None:
    """Collect the children that have ended, so that their processor time is counted."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _answer(connection: socket.socket, app: FastAPI) -> None:
    """Answer the one request of this process. An answer that is cut short has no end."""
    _bound()
    request: Request = received(connection)
    threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
    logs.bind(request=request.id)
    traces.adopt(request.trace)
    begun = False

    async def send(message: Message) -> None:
        nonlocal begun
        if message["type"] == "http.response.start":
            begun = True
            headers = [header for header in message["headers"] if header[0] != b"x-request-id"]
            _send_or_exit(connection, packed(Start(message["status"], headers, route_of(request.scope))))
            return
        body = memoryview(message.get("body", b""))
        for at in range(0, len(body), PIECE):
            piece = body[at : at + PIECE]
            _send_or_exit(connection, LENGTH.pack(len(piece)), piece)

    try:
        asyncio.run(_run(app, request, send))
    except MemoryError:
        if begun:
            return
        asyncio.run(problems.too_costly(f"{MEMORY_BYTES >> 20} MiB of memory")(request.scope, _never, send))
    except Exception:
        log.exception("%s %s failed", request.scope["method"], request.scope["path"])
        if not begun:
            return
    _send_or_exit(connection, LENGTH.pack(0))


def _send_or_exit(connection: socket.socket, *parts: bytes | memoryview) -> None:
    """Send to the parent, or end this process if the connection is closed."""
    try:
        for part in parts:
            connection.sendall(part)
    except OSError:
        os._exit(1)


def _bound() -> None:
    """Have the kernel keep this process within its bounds."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            most = int(file.read().split()[5]) * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _end_with(connection: socket.socket) -> None:
    """End this process once nobody waits for its answer."""
    with suppress(OSError):  # a reset is an end, too
        connection.recv(1)
    os._exit(1)


async def _run(app: FastAPI, request: Request, send: Callable[[Message], Any]) -> None:
    messages = [{"type": "http.request", "body": request.body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await _never()

    await app(request.scope, receive, send)


async def _never() -> Message:
    """A client that goes ends the process: nobody needs to be informed."""
    await asyncio.Event().wait()
    raise AssertionError


def warm_up(app: FastAPI, state: dict[str, Any]) -> None:
    """Answer a request of each kind, so that no child has to build and import what they need.

    Raises RuntimeError if threads are left: they would not live on in a child.
    """

    async def ignore(message: Message) -> None:
        pass

    for path, query, body in WARM_UP:
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query,
            "headers": [(b"content-type", b"application/json")],
            "client": None,
            "server": None,
            "state": dict(state),
        }
        asyncio.run(_run(app, Request(scope, body), ignore))
    deadline = time.monotonic() + WARM_UP_SECONDS
    while threading.active_count() > 1:
        if time.monotonic() > deadline:
            raise RuntimeError(f"threads are left: {threading.enumerate()}")
        time.sleep(0.01)


def main() -> None:
    """Serve on the control socket whose file descriptor is given. The settings come first."""
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = received(control)
    logs.configure(settings.log_format, settings.log_level)
    app = application(settings)
    warm_up(app, {"caller": ANYBODY})
    os.nice(NICE)
    gc.collect()
    gc.freeze()  # or the first collection in each child would copy every page
    serve(control, app)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the parent ends it
    main()
