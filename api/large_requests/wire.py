"""What the event loop and a process that answers one request say to each other, over a socket pair."""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any, NamedTuple

from starlette.types import Scope

LENGTH = struct.Struct("<Q")  # before each message, and before each piece of an answer's body; 0 ends the answer


class Request(NamedTuple):
    """A request with its whole body.

    Attributes:
        id: for the child's log.
        trace: W3C traceparent of its span, or "".
    """

    scope: Scope
    body: bytes
    id: str = ""
    trace: str = ""


class Start(NamedTuple):
    """How an answer begins: its status and headers, and the template of its route."""

    status: int
    headers: list[tuple[bytes, bytes]]
    route: str


def packed(value: Any) -> bytes:
    """A message for the other side: its length, then its pickle. Both sides are this service."""
    content = pickle.dumps(value)
    return LENGTH.pack(len(content)) + content


def received(connection: socket.socket) -> Any:
    """Read a message. Raises EOFError if the other side has gone."""
    with connection.makefile("rb", buffering=0) as file:  # what follows the message stays in the socket
        return pickle.loads(_exactly(file, *LENGTH.unpack(_exactly(file, LENGTH.size))))


def _exactly(file: socket.SocketIO, size: int) -> bytes:
    content = bytearray()
    while len(content) < size:
        piece = file.read(min(size - len(content), 2**20))
        if not piece:
            raise EOFError("the other side has gone")
        content += piece
    return bytes(content)
