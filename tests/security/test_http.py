"""HTTP on the wire: what looks like one request is one, and nobody believes what a client claims about itself."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from lrcore.access.keys import KeyStore, Role
from lrcore.store.connection import connect
from lrserve.api.settings import ApiSettings
from tests.conftest import redis_process, until
from tests.security.conftest import api_process

CURVE = b'{"schedule": {"type": "StepLR", "step_size": 5}, "base_lr": 0.1, "steps": 20}'
HIDDEN = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SECONDS = 60.0

UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    "websocket": b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "anything": b"Upgrade: anything\r\nConnection: keep-alive, Upgrade\r\n",
    "h2c, expected to continue": b"Connection: Upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n",
}


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with api_process(tmp_path_factory.mktemp("http")) as port:
        yield port


def post(path: bytes, upgrade: bytes, body: bytes, chunked: bool) -> tuple[bytes, bytes]:
    """Head and body of a request."""
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % path
    if chunked:
        return head + upgrade + CHUNKED + b"\r\n", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head + upgrade + b"Content-Length: %d\r\n\r\n" % len(body), body


def answers(port: int, *segments: bytes) -> list[tuple[int, bytes]]:
    """Send bytes with a pause after each part. Status and body of every answer until the connection is closed."""
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        try:
            for segment in segments:
                client.sendall(segment)
                time.sleep(0.05)
            while part := client.recv(65536):
                found += part
        except (ConnectionResetError, BrokenPipeError):
            pass
    return list(_parsed(found))


def _parsed(found: bytes) -> Iterator[tuple[int, bytes]]:
    while found:
        head, end, rest = found.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 "), found[:200]
        assert end
        status = int(head.split(b" ")[1])
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0]) if lengths else 0
        if status >= 200:  # 100 Continue is no answer
            yield status, rest[:length]
        found = rest[length:]


@pytest.mark.slow
@pytest.mark.sampled(4)
@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "in pieces"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_a_request_in_the_body_of_one_that_would_switch_protocols_is_not_served(
    upgrade: str, chunked: bool, together: bool, port: int
) -> None:
    head, body = post(b"/v1/curves", UPGRADES[upgrade], HIDDEN, chunked)
    segments = [head + body + LAST] if together else [head, body[:10], body[10:], LAST]
    found = answers(port, *segments)

    assert [status for status, _ in found] == [400, 200]
    assert json.loads(found[0][1])["type"] == "urn:lrserve:problem:invalid-json"
    assert b"openapi" in found[1][1]


@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "in pieces"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_a_request_that_would_switch_protocols_is_served_as_it_is(
    upgrade: str, chunked: bool, together: bool, port: int
) -> None:
    """As RFC 9110, section 7.8, has it: Java's own client offers h2c with every first request."""
    head, body = post(b"/v1/curves", UPGRADES[upgrade], CURVE, chunked)
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + UPGRADES[upgrade] + b"\r\n"
    segments = [get + head + body + get + LAST] if together else [get, head, body[:30], body[30:], get + LAST]
    found = answers(port, *segments)

    assert [status for status, _ in found] == [200, 200, 200, 200]
    assert len(json.loads(found[1][1])["lr"]) == 20
    assert found[0][1] == found[2][1] == b'{"status":"ok"}'


def test_many_such_requests_at_once_are_answered_in_turn(port: int) -> None:
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + UPGRADES["h2c"] + b"\r\n"
    found = answers(port, get * 2000 + LAST)

    assert [status for status, _ in found] == [200] * 2001


@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "in pieces"])
@pytest.mark.parametrize("target", [b"localhost:80", b"/healthz", b"/v1/curves"])
@pytest.mark.parametrize("length", [b"", b"Content-Length: 4\r\n"])
def test_a_tunnel_is_refused_and_nothing_is_read_from_it(
    target: bytes, length: bytes, together: bool, port: int
) -> None:
    head = b"CONNECT %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (target, length)
    found = answers(port, *([head + HIDDEN] if together else [head, HIDDEN]))

    assert [status for status, _ in found] == [501]
    assert json.loads(found[0][1])["status"] == 501


MALFORMED = {
    "a length and chunks": b"Content-Length: 5\r\n" + CHUNKED,
    "chunks and a length": CHUNKED + b"Content-Length: 5\r\n",
    "two lengths": b"Content-Length: 5\r\nContent-Length: 6\r\n",
    "two lengths in one": b"Content-Length: 5, 6\r\n",
    "a length below zero": b"Content-Length: -5\r\n",
    "a length with a sign": b"Content-Length: +5\r\n",
    "a coding that is not chunked": b"Transfer-Encoding: gzip\r\n",
    "chunked, but not last": b"Transfer-Encoding: chunked, identity\r\n",
    "a name with a space": b"Content-Length : 5\r\n",
    "a folded line": b"X: a\r\n Content-Length: 5\r\n",
    "a line that a CR ends": b"X: a\rContent-Length: 5\r\n",
    "a line that an LF ends": b"X: a\nContent-Length: 5\r\n",
    "a NUL": b"X: a\0\r\nContent-Length: 5\r\n",
}


@pytest.mark.parametrize("upgrade", ["", *UPGRADES])
@pytest.mark.parametrize("case", MALFORMED)
def test_a_request_whose_end_is_doubtful_is_refused_and_the_connection_closed(
    case: str, upgrade: str, port: int
) -> None:
    head = b"POST /v1/curves HTTP/1.1\r\nHost: localhost\r\n" + UPGRADES.get(upgrade, b"") + MALFORMED[case] + b"\r\n"
    for segments in ([head + b"0\r\n\r\n" + HIDDEN], [head, b"0\r\n\r\n" + HIDDEN]):
        assert [status for status, _ in answers(port, *segments)] == [400], segments


@pytest.mark.parametrize("garbage", [b"\0", b"a", b"NOTHING\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n"])
def test_requests_before_a_malformed_one_are_answered_and_nothing_else(garbage: bytes, port: int) -> None:
    head, body = post(b"/v1/curves", b"", CURVE, chunked=False)

    assert [status for status, _ in answers(port, HIDDEN + head + body + garbage, HIDDEN)] == [200, 200]


def test_http_2_is_refused(port: int) -> None:
    assert [status for status, _ in answers(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN)] == [400]


def test_a_trailer_is_no_header(port: int) -> None:
    """What follows the last chunk has passed no proxy's checks of the head."""
    head = b"POST /v1/curves HTTP/1.1\r\nHost: localhost\r\n" + CHUNKED + b"\r\n"
    body = b"%x\r\n%b\r\n0\r\nContent-Type: application/json\r\nHost: evil.example\r\n\r\n" % (len(CURVE), CURVE)

    found = answers(port, head + body + LAST)

    assert [status for status, _ in found] == [415, 200]


@pytest.mark.slowest
def test_more_connections_than_files_are_refused_and_end_nothing(tmp_path: Path) -> None:
    """Under a hard limit of 256 files, of 300 connections some are served, some refused; none lacks a file."""
    with ExitStack() as ending:
        redis = ending.enter_context(redis_process(tmp_path / "redis"))
        port = ending.enter_context(api_process(tmp_path, redis_url=redis, files="256:256"))
        url = f"http://127.0.0.1:{port}"
        early = ending.enter_context(httpx.Client(base_url=url, timeout=SECONDS))
        early.get("/healthz").raise_for_status()
        clients = [ending.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(300)]
        for client in clients:
            with suppress(OSError):
                client.sendall(b"GET /healthz HTTP/1.1\r\n")

        assert until(lambda: refused(url)).json()["type"] == "urn:lrserve:problem:too-many-connections"
        assert early.get("/readyz").is_success  # it needs a connection to Redis, and perhaps a new one
        for client in clients:
            client.close()
        until(lambda: httpx.get(f"{url}/readyz").is_success)
    log = (tmp_path / "api.log").read_text()
    assert "LRSERVE_MAX_CONNECTIONS is 10000, but only 128 connections fit into the 256 files" in log
    assert "Too many open files" not in log


def refused(url: str) -> httpx.Response | None:
    """The answer to a new connection if it is a refusal; None if it is closed without one, as many at once are."""
    try:
        answer = httpx.get(f"{url}/healthz", timeout=SECONDS)
    except httpx.TransportError:
        return None
    return answer if answer.status_code == 503 else None


def test_the_limit_on_files_is_raised_to_what_the_connections_need(tmp_path: Path) -> None:
    with api_process(tmp_path, files="300:4096", max_connections=1000) as port:
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(600)]
        try:
            assert httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=SECONDS).is_success
        finally:
            for client in clients:
                client.close()
    assert "LRSERVE_MAX_CONNECTIONS" not in (tmp_path / "api.log").read_text()


FORWARDED = {  # what X-Forwarded-For may say, and whose address the audit has, by the proxies that are named
    "[]": {"203.0.113.9": "127.0.0.1"},  # somebody on this machine, or a proxy on it that nobody has named
    '["127.0.0.1", "10.0.0.0/8"]': {
        "203.0.113.9": "203.0.113.9",
        "198.51.100.1, 203.0.113.9": "203.0.113.9",  # the left one is what the client has sent
        "198.51.100.1, 203.0.113.9, 10.1.2.3": "203.0.113.9",
    },
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("trusted", FORWARDED)
def test_the_audit_believes_a_named_proxy_alone(trusted: str, tmp_path: Path) -> None:
    with (
        redis_process(tmp_path / "redis") as redis,
        api_process(tmp_path, redis_url=redis, auth="true", trusted_proxies=trusted) as port,
    ):
        _, token = KeyStore(connect(redis)).create("ours", Role.ADMIN)
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=SECONDS) as client:
            for claimed, found in FORWARDED[trusted].items():
                forged = {"X-Forwarded-For": claimed, "Forwarded": "for=192.0.2.1", "X-Real-IP": "192.0.2.2"}
                client.post("/v1/keys", json={"role": "read"}, headers=forged).raise_for_status()
                assert client.get("/v1/audit").json()["entries"][0]["client"] == found, claimed


def test_a_proxy_is_an_address_or_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ('["*"]', '["proxy.example"]', '[""]', '["10.0.0.1/8"]'):
        monkeypatch.setenv("LRSERVE_TRUSTED_PROXIES", value)
        with pytest.raises(ValidationError, match="trusted_proxies"):
            ApiSettings()
