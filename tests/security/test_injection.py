"""What a client sends comes back as data, or not at all: never as a header, a script or a line of an event stream."""

from __future__ import annotations

import json
import socket
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import httpx
import pytest

from tests.conftest import Service
from tests.factories import job_spec

SPLIT = "a\r\nX-Injected: yes\r\n\r\n<script>alert(1)</script>"
SCRIPT = "<script>alert(1)</script>"
PIECES = (SPLIT, "a\nX-Injected: yes", "a\rX-Injected: yes", "a\0b", SCRIPT, '"><img src=x onerror=alert(1)>')


def assert_harmless(answer: httpx.Response) -> None:
    assert "x-injected" not in answer.headers
    assert answer.status_code < 500
    assert "text/html" not in answer.headers.get("content-type", "")
    assert not any("<" in value for value in answer.headers.values())
    if "json" in answer.headers.get("content-type", ""):
        json.loads(answer.content)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("path", ["/v1/jobs/{}", "/v1/jobs/{}/events", "/v1/jobs/x/artifacts/{}", "/{}", "/docs/{}"])
def test_a_path_never_becomes_a_header(path: str, piece: str, http: httpx.Client) -> None:
    answer = http.get(path.format(quote(piece, safe="")), follow_redirects=False)

    assert_harmless(answer)
    assert answer.status_code in (404, 422)


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("field", ["label", "state", "cursor", "limit"])
def test_a_query_never_becomes_a_header(field: str, piece: str, http: httpx.Client) -> None:
    answer = http.get("/v1/jobs", params={field: piece})

    assert_harmless(answer)
    assert answer.status_code == 422


@pytest.mark.parametrize("piece", PIECES)
def test_labels_and_ids_are_refused_before_they_get_anywhere(piece: str, http: httpx.Client) -> None:
    for answer in (
        http.post("/v1/jobs", json=job_spec(labels=[piece])),
        http.put(f"/v1/jobs/{quote(piece, safe='')}", json=job_spec()),
    ):
        assert_harmless(answer)
        assert answer.status_code in (404, 422)


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", ["Idempotency-Key", "Prefer", "Accept", "If-None-Match", "Origin", "Last-Event-ID"])
@pytest.mark.parametrize("value", [SCRIPT, 'a: b; c="d", wait=1x', "ÿþ", "a" * 5000])
def test_a_header_does_not_come_back(name: str, value: str, http: httpx.Client, service: Service) -> None:
    sent = {name: value.encode("latin-1")}
    job = service.client.submit(job_spec(epochs=1))
    answers = [
        http.post("/v1/jobs?dry_run=true", json=job_spec(), headers=sent),
        http.get(f"/v1/jobs/{job.id}", headers=sent),
        http.get(f"/v1/jobs/{job.id}/metrics", headers=sent),
        http.get("/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=5", headers=sent),
    ]
    service.ended(job.id)

    for answer in answers:
        assert_harmless(answer)
        assert not any(value in each for each in answer.headers.values())


@pytest.mark.parametrize("value", [b"a\rX-Injected: yes", b"a\0b", b"a\nX-Injected: yes"])
@pytest.mark.parametrize("name", [b"Idempotency-Key", b"Prefer", b"X-Request-ID", b"Host"])
def test_bytes_that_end_a_line_end_no_answer_s(name: bytes, value: bytes, service: Service) -> None:
    url = urlsplit(service.url)
    assert url.port is not None
    with socket.create_connection(("127.0.0.1", url.port), timeout=10) as client:
        client.sendall(b"GET /v1/jobs/none HTTP/1.1\r\n%b: %b\r\nConnection: close\r\n\r\n" % (name, value))
        found = b""
        while part := client.recv(65536):
            found += part

    assert found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))
    assert b"injected" not in found.lower()
    assert found.count(b"HTTP/1.1") == 1


def test_a_redirect_goes_nowhere_else(http: httpx.Client, service: Service) -> None:
    for path in ("//evil.example/", "//evil.example/docs/", "/v1/jobs//evil.example"):
        answer = http.get(f"{service.url}{path}", follow_redirects=False)
        host = urlsplit(answer.headers.get("location", "")).hostname
        assert host in (None, http.base_url.host), (path, answer.headers)


def test_text_in_a_picture_is_text(http: httpx.Client) -> None:
    schedule = {"type": "StepLR", "step_size": 2}
    body = {"steps": 5, "curves": [{"name": f"{SCRIPT}&", "base_lr": 0.1, "schedule": schedule}]}
    answer = http.post("/v1/curves/compare?format=svg", json=body)

    assert answer.status_code == 200
    assert "script" not in {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(answer.text).iter()}
    assert "<script" not in answer.text
