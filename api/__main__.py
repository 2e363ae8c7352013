"""Serve the API: python -m lrserve.api --host HOST --port PORT."""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # what is imported stays: looking through it again and again is a tenth of the start
from lrcore.families import load_or_exit

if __name__ == "__main__":
    load_or_exit()
import argparse
import logging
import socket
import sys
from functools import partial

import uvicorn
from starlette.datastructures import State

from lrcore.service import logs, traces

from .app import create_app
from .middleware import open_files
from .middleware.bounded_http import BoundedProtocol
from .settings import ApiSettings, is_loopback

log = logging.getLogger("lrserve.api")

# for the next request of a connection: longer than clients keep theirs, httpx 5 s and node 4, or they would send a
# request just as the connection is closed
KEEP_SECONDS = 15

# a collection of everything takes 50 ms of the event loop: once a million new objects, not each seventy thousand
GC_THRESHOLDS = (2000, 10, 50)
SWITCH_SECONDS = 1e-3  # after which a thread lets the event loop go on; Python's own is five times as long


class Server(uvicorn.Server):
    """Uvicorn, that lets event streams end before it waits for open connections."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self._state = state

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the event streams, then do what uvicorn does."""
        self._state.event_broadcaster.end()
        await super().shutdown(sockets)


def main() -> None:
    """Run one uvicorn process until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m lrserve.api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    settings = ApiSettings()
    logs.configure(settings.log_format, settings.log_level)
    traces.start("lrserve-api")
    if "auth" not in settings.model_fields_set and is_loopback(arguments.host):
        settings = settings.model_copy(update={"auth": False})
    if not settings.auth and not is_loopback(arguments.host):
        log.warning(
            "LRSERVE_AUTH=false: whoever reaches %s may do everything; browsers, under the names of "
            "LRSERVE_ALLOWED_HOSTS alone",
            arguments.host,
        )
    app = create_app(settings, arguments.host)
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()
    config = uvicorn.Config(
        app,
        host=arguments.host,
        port=arguments.port,
        log_config=None,  # as lrcore.service.logs has it
        access_log=False,
        http=partial(  # type: ignore[arg-type]
            BoundedProtocol,
            max_connections=open_files.connections_for(settings.max_connections),
            head_seconds=settings.head_seconds,
            body_seconds=settings.body_seconds,
            write_seconds=settings.write_seconds,
        ),
        proxy_headers=bool(settings.trusted_proxies),  # uvicorn trusts its own machine otherwise
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        ws="none",
        server_header=False,
        timeout_keep_alive=KEEP_SECONDS,
        timeout_graceful_shutdown=settings.shutdown_seconds,  # a client that does not read would hold it for ever
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    server = Server(config, app.state)
    server.run()
    if not server.started:
        sys.exit(1)


if __name__ == "__main__":
    main()
