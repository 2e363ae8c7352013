from __future__ import annotations

import httpx
import pytest
from redis import Redis

from lrcore.store.connection import connect
from tests.conftest import Service, until


def test_health_says_that_the_process_is_up(http: httpx.Client) -> None:
    answer = http.get("/healthz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_readiness_counts_the_workers(http: httpx.Client) -> None:
    until(lambda: http.get("/readyz").json()["workers"] == 1)

    assert http.get("/readyz").json() == {
        "status": "ready",
        "redis": "ok",
        "workers": 1,
        "queues": {name: {"waiting": 0, "workers": 1} for name in ("cpu", "default")},
    }


@pytest.fixture
def embedded(service: Service) -> Redis:
    """The Redis of the running service."""
    return connect(service.stack.services[0].environment["LRSERVE_REDIS_URL"])


def test_the_embedded_redis_keeps_what_it_is_given_and_refuses_rather_than_forgets(embedded: Redis) -> None:
    assert embedded.config_get("appendonly")["appendonly"] == "yes"
    assert embedded.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


def test_the_embedded_redis_listens_to_no_network(embedded: Redis) -> None:
    assert embedded.config_get("port")["port"] == "0"


def test_requests_are_counted_under_the_whole_template_of_their_route(http: httpx.Client) -> None:
    http.post("/v1/curves", json={"schedule": {"type": "StepLR", "step_size": 5}, "base_lr": 0.1, "steps": 20})
    http.post("/v1/jobs/nope/cancel")
    http.post("/v1/experiments/nope/cancel")
    http.get("/v1/jobs/nope/events")
    http.get("/v1/jobs/nope/artifacts/a")

    lines = http.get("/metrics").text.splitlines()
    counted = [line for line in lines if line.startswith("lrserve_http_requests_total")]
    routes = {line.split('route="')[1].split('"')[0] for line in counted}
    known = http.get("/openapi.json").json()["paths"]
    assert {
        "/v1/curves",
        "/v1/jobs/{job_id}/cancel",
        "/v1/experiments/{job_id}/cancel",
        "/v1/jobs/{job_id}/events",
    } <= routes
    assert {route for route in routes if route.startswith("/v1")} <= known.keys()
    assert not any(route.startswith("/{") for route in routes)
