"""A receiver of OTLP over HTTP: python -m tests.ops.collector FOLDER. Prints its port; keeps each request as a file."""

from __future__ import annotations

import itertools
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(sys.argv[1])
NUMBERS = itertools.count()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        part = FOLDER / f"{next(NUMBERS)}.part"
        part.write_bytes(body)
        part.rename(part.with_suffix(".pb" if self.path == "/v1/traces" else ".other"))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
