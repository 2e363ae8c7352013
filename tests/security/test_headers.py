"""What answers say to browsers and caches."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from lrserve.api.app import create_app
from lrserve.api.middleware.headers import CONTENT, PAGE
from lrserve.api.routes.web import POLICY
from lrserve.api.settings import ApiSettings
from tests.conftest import Service
from tests.factories import job_spec
from tests.security.conftest import api_process

CURVE = {"schedule": {"type": "StepLR", "step_size": 5}, "base_lr": 0.1, "steps": 20}
HOME = "https://lab.example"


def directives(answer: httpx.Response) -> dict[str, list[str]]:
    policy = answer.headers["content-security-policy"]
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


REQUESTS: dict[str, tuple[str, str, Any]] = {
    "the dashboard": ("GET", "/", None),
    "a script of the dashboard": ("GET", "/web/js/main.js", None),
    "the page": ("GET", "/docs", None),
    "a script": ("GET", "/docs/start.js", None),
    "the OpenAPI document": ("GET", "/openapi.json", None),
    "health": ("GET", "/healthz", None),
    "a curve": ("POST", "/v1/curves", CURVE),
    "a curve with a query": ("POST", "/v1/curves?format=csv", CURVE),
    "a picture": ("POST", "/v1/curves?format=svg", CURVE),
    "jobs": ("GET", "/v1/jobs", None),
    "bad input": ("POST", "/v1/jobs", {}),
    "no job": ("GET", "/v1/jobs/none", None),
    "no route": ("GET", "/none", None),
    "no method": ("DELETE", "/healthz", None),
}


@pytest.mark.parametrize("case", REQUESTS)
def test_every_answer_tells_browsers_to_take_it_for_nothing_else(case: str, http: httpx.Client) -> None:
    method, path, body = REQUESTS[case]
    answer = http.request(method, path, json=body)

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["content-security-policy"] == {"/docs": PAGE, "/": POLICY}.get(path, CONTENT)
    assert "server" not in answer.headers
    assert all(len(answer.headers.get_list(name)) == 1 for name in answer.headers)


def test_a_fault_of_the_server_has_the_headers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(ApiSettings(auth=False))

    @app.get("/fault")
    def fault() -> None:
        raise RuntimeError

    answer = TestClient(app, "http://localhost", raise_server_exceptions=False).get("/fault")

    assert answer.status_code == 500
    assert answer.headers["content-security-policy"] == CONTENT
    assert answer.headers["cache-control"] == "no-store"


def test_the_page_runs_its_own_files_alone_and_has_them(http: httpx.Client) -> None:
    page = http.get("/docs")
    allowed = directives(page)

    assert allowed["default-src"] == ["'none'"]
    assert allowed["script-src"] == allowed["connect-src"] == ["'self'"]
    assert allowed["frame-ancestors"] == ["'none'"]
    assert re.findall(r"<script>|<style|\son\w+=|style=", page.text) == []
    files = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(files) == 4
    for file in files:
        assert file.startswith("/docs/")
        assert http.get(file).is_success


def test_a_picture_that_is_opened_by_itself_has_its_styles_and_no_scripts(http: httpx.Client) -> None:
    answer = http.post("/v1/curves?format=svg", json=CURVE)
    allowed = directives(answer)

    assert "style=" in answer.text
    assert allowed == {
        "default-src": ["'none'"],
        "style-src": ["'unsafe-inline'"],
        "frame-ancestors": ["'none'"],
        "sandbox": [],
    }


def test_what_belongs_to_somebody_is_kept_by_no_proxy(http: httpx.Client, service: Service) -> None:
    job = service.train(job_spec(epochs=1))
    path = f"/v1/jobs/{job.id}"
    paths = [path, "/v1/jobs", "/v1/webhooks", *(f"{path}/{what}" for what in ("metrics", "events", "plot.png"))]

    for each in paths:
        assert http.get(each).headers["cache-control"] == "no-store", each
    figure = http.get(f"{path}/artifacts/spec.json")
    assert figure.headers["cache-control"] == "private, no-cache"
    again = http.get(f"{path}/artifacts/spec.json", headers={"If-None-Match": figure.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "private, no-cache")


def test_curves_belong_to_everybody(http: httpx.Client) -> None:
    answer = http.get("/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=20")

    assert answer.headers["cache-control"].startswith("public")


def preflight(port: int, origin: str) -> httpx.Response:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    wanted = {"Access-Control-Request-Headers": "content-type, idempotency-key"}
    return httpx.options(f"http://127.0.0.1:{port}/v1/jobs", headers=asked | wanted)


@pytest.mark.slowest
def test_other_pages_may_not_ask_unless_they_are_named(impatient: int, tmp_path: Path) -> None:
    refused = preflight(impatient, HOME)
    assert not any(name.startswith("access-control") for name in refused.headers)

    with api_process(tmp_path, cors_origins=f'["{HOME}"]') as port:
        asked = preflight(port, HOME)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, HOME)
        assert "access-control-allow-credentials" not in asked.headers
        assert asked.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in preflight(port, "https://lab.example.evil").headers
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/curves", json=CURVE, headers={"Origin": HOME})
        assert answer.headers["access-control-allow-origin"] == HOME
        assert "ETag" in answer.headers["access-control-expose-headers"]


def test_any_page_may_ask_but_never_with_cookies() -> None:
    client = TestClient(create_app(ApiSettings(cors_origins=("*",))))
    answer = client.get("/healthz", headers={"Origin": HOME, "Cookie": "a=b"})

    assert answer.headers["access-control-allow-origin"] in ("*", HOME)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["https://lab.example/", "lab.example", "https://*.example", "null", "", "file://"])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="cors_origins"):
        ApiSettings(cors_origins=(origin,))
