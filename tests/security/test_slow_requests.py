"""Clients that send a request as slowly, or as long, as they can; by raw sockets, each with an end."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.conftest import Service
from tests.security.conftest import api_process

CURVE = b'{"schedule": {"type": "StepLR", "step_size": 5}, "base_lr": 0.1, "steps": 20}'
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
LATE = 30.0  # seconds by which every connection has been closed, on a busy machine


@contextmanager
def connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=LATE) as client:
        yield client


def rest(client: socket.socket) -> bytes:
    """What comes until the server closes the connection. Fails if it does not."""
    found = b""
    try:
        while part := client.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def trickled(client: socket.socket, what: bytes = b"a", seconds: float = LATE) -> bytes:
    """Send a bit, again and again, until the server closes the connection; what it has said. Fails if it does not."""
    deadline, found = time.monotonic() + seconds, b""
    client.settimeout(0.1)
    while time.monotonic() < deadline:
        try:
            client.sendall(what)
            part = client.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            return found
        if not part:
            return found
        found += part
    raise AssertionError(f"still open after {seconds:g} s, with {found!r}")


def is_problem(answer: bytes, status: int) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer
    assert b"application/problem+json" in head
    assert b"connection: close" in head.lower()
    assert json.loads(body)["status"] == status


def test_a_connection_without_a_request_is_closed(impatient: int) -> None:
    with connection(impatient) as client:
        assert rest(client) == b""


def test_headers_that_trickle_are_a_408(impatient: int) -> None:
    with connection(impatient) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        is_problem(trickled(client, b"X-A: b\r\n"), 408)


def test_headers_that_trickle_after_an_answer_are_a_408(impatient: int) -> None:
    with connection(impatient) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found = b""
        while not found.endswith(b'{"status":"ok"}'):
            found += client.recv(65536)
        client.sendall(b"GET /healthz HT")
        is_problem(rest(client), 408)


def test_lines_without_content_keep_no_connection_open(impatient: int) -> None:
    with connection(impatient) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert trickled(client, b"\r\n").startswith(b"HTTP/1.1 200")


def test_a_switch_of_protocols_that_is_not_made_keeps_no_connection_open(impatient: int) -> None:
    with connection(impatient) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert trickled(client, b"a").startswith(b"HTTP/1.1 ")


def test_headers_without_an_end_are_a_431(impatient: int) -> None:
    sent = 0
    with connection(impatient) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nX-A: ")
        try:
            for _ in range(1000):
                sent += client.send(b"a" * 16384)
                time.sleep(0.001)
        except OSError:
            pass
        answer = rest(client)
        assert not answer or answer.startswith(b"HTTP/1.1 431")
    assert sent < 8 * 2**20  # what buffers hold


def test_headers_a_bit_too_long_are_told(impatient: int) -> None:
    with connection(impatient) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        for i in range(5):
            time.sleep(0.02)
            client.sendall(b"X-%d: %b\r\n" % (i, b"a" * 16384))
        is_problem(rest(client), 431)


def test_a_body_that_trickles_is_a_408(impatient: int) -> None:
    for path, length in ((b"/v1/curves", len(CURVE)), (b"/v1/curves", 100_000), (b"/v1/jobs", 100_000)):
        with connection(impatient) as client:
            client.sendall(POST % (path, length))
            is_problem(trickled(client, b" "), 408)


def test_a_body_that_never_begins_is_a_408(impatient: int) -> None:
    for path in (b"/v1/curves", b"/v1/jobs"):
        with connection(impatient) as client:
            client.sendall(POST % (path, len(CURVE)))
            is_problem(rest(client), 408)


def test_chunks_that_trickle_are_a_408(impatient: int) -> None:
    with connection(impatient) as client:
        client.sendall(b"POST /v1/curves HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
        client.sendall(b"Transfer-Encoding: chunked\r\n\r\n")
        is_problem(trickled(client, b"1\r\n \r\n"), 408)


def test_a_body_that_nobody_reads_keeps_no_connection_open(impatient: int) -> None:
    with connection(impatient) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n")
        assert trickled(client).startswith(b"HTTP/1.1 200")


def test_a_body_in_pieces_that_comes_in_time_is_served(impatient: int) -> None:
    with connection(impatient) as client:
        client.sendall(POST % (b"/v1/curves", len(CURVE)))
        for i in range(0, len(CURVE), 16):
            client.sendall(CURVE[i : i + 16])
            time.sleep(0.02)
        assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_requests_that_come_together_are_answered_in_turn(impatient: int) -> None:
    with connection(impatient) as client:
        client.sendall((POST % (b"/v1/curves", len(CURVE)) + CURVE) * 20)
        found = b""
        while found.count(b"HTTP/1.1 200") < 20:
            found += client.recv(65536)


def test_a_long_answer_outlasts_the_time_for_requests(impatient: int) -> None:
    """Its client sends nothing more, as one that follows a job."""
    with httpx.Client(base_url=f"http://127.0.0.1:{impatient}", timeout=30) as client:
        body = {"schedule": {"type": "StepLR", "step_size": 5}, "base_lr": 0.1, "steps": 300_000}
        with client.stream("POST", "/v1/curves?format=csv", json=body) as answer:
            rows = 0
            for part in answer.iter_bytes():
                rows += part.count(b"\n")
                time.sleep(0.05 if rows < 280_000 else 0)
        assert rows == 300_001


@contextmanager
def slow_clients(port: int) -> Iterator[list[socket.socket]]:
    """Two hundred that do not end their headers."""
    clients = [socket.create_connection(("127.0.0.1", port), timeout=LATE) for _ in range(200)]
    try:
        for client in clients:
            client.sendall(b"POST /v1/curves HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        yield clients
    finally:
        for client in clients:
            client.close()


def test_slow_clients_hold_up_nobody_else(service: Service) -> None:
    with slow_clients(httpx.URL(service.url).port or 0):
        assert service.http.get("/healthz", timeout=5).is_success  # they have ten seconds


def test_each_slow_client_is_told(impatient: int) -> None:
    with slow_clients(impatient) as clients:
        for client in clients:
            assert rest(client).startswith(b"HTTP/1.1 408")


@pytest.mark.slow
def test_connections_are_counted(tmp_path: Path) -> None:
    with api_process(tmp_path, max_connections=5) as port:
        clients = [socket.create_connection(("127.0.0.1", port), timeout=LATE) for _ in range(8)]
        try:
            time.sleep(0.2)
            assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 503
        finally:
            for client in clients:
                client.close()
        time.sleep(0.2)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
