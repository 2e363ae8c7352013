"""Requests as bytes, over sockets of asyncio: one connection per request, so that a reset is seen as what it is."""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

HOST = "127.0.0.1"
PART = 2**20
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
RETRY = re.compile(rb"\r\nretry-after: *\d+", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """An HTTP request."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    def raw(self, token: str) -> bytes:
        """Build the bytes to send, with a key if `token` is not empty."""
        headers = {"Host": HOST, "Connection": "close"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if self.body:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(self.body))}
        headers |= dict(self.headers)
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1") + self.body


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        status: the HTTP status; "reset" if the connection ended before one, "cut" if it ended inside the body.
        retry_after: whether the answer says when to try again.
        received: bytes of the body, chunk sizes included.
        start: the first bytes of the body, as many as were asked for.
    """

    status: int | str
    retry_after: bool = False
    received: int = 0
    start: bytes = b""


def post(path: str, value: Any, *headers: tuple[str, str]) -> Request:
    """Build a POST request with a JSON body."""
    return Request("POST", path, orjson.dumps(value), headers)


def get(path: str, *headers: tuple[str, str]) -> Request:
    """Build a GET request."""
    return Request("GET", path, b"", headers)


async def connected(port: int, deaf: bool = False) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection. `deaf`: buffers are so small that the server notices at once that nobody reads."""
    connection = socket.socket()
    connection.setblocking(False)
    if deaf:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (HOST, port))
    except BaseException:
        connection.close()
        raise
    return await asyncio.open_connection(sock=connection, limit=1024 if deaf else PART)


async def exchange(port: int, raw: bytes, keep: int = 0) -> Answer:
    """Send a whole request and read its whole answer, of which the first `keep` bytes are kept."""
    try:
        reader, writer = await connected(port)
    except ConnectionError:
        return Answer("reset")
    sending = asyncio.create_task(_send(writer, raw))
    try:
        return await answer(reader, keep)
    finally:
        sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
        writer.transport.abort()


async def _send(writer: asyncio.StreamWriter, raw: bytes) -> None:
    with suppress(ConnectionError):  # the server may answer, and close, before it has read everything
        writer.write(raw)
        await writer.drain()


async def answer(reader: asyncio.StreamReader, keep: int = 0) -> Answer:
    """Read an answer to the end of its connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return Answer("reset")
    status, received, start, end = int(head[9:12]), 0, b"", b""
    try:
        while part := await reader.read(PART):
            received += len(part)
            start += part[: keep - len(start)] if len(start) < keep else b""
            end = (end + part)[-5:]
    except ConnectionError:
        return Answer("cut", received=received, start=start)
    length = LENGTH.search(head)
    whole = received == int(length[1]) if length else not CHUNKED.search(head) or end == b"0\r\n\r\n"
    if not whole and status not in (204, 304):
        return Answer("cut", received=received, start=start)
    return Answer(status, bool(RETRY.search(head)), received, start)
