"""Limits of tenants through the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from lrcore.jobs.connection import connect
from lrcore.jobs.keys import KeyStore, Role
from lrcore.jobs.limits import ALL, LimitStore
from tests.conftest import Service, job_spec, running_service, until

NOBODY = {"hardware": "nobody"}


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An lrserve that asks for keys."""
    with running_service(tmp_path_factory.mktemp("limited") / "home", auth="true") as running:
        yield running


@pytest.fixture(scope="module")
def redis(limited: Service) -> Iterator[Redis]:
    with connect((limited.stack.settings.home_folder / "redis.url").read_text()) as client:
        yield client


def tenant(service: Service, redis: Redis, name: str, **limits: int) -> httpx.Client:
    """A client of a tenant with these limits."""
    LimitStore(redis).change(name, limits)
    _, token = KeyStore(redis).create(name, Role.SUBMIT)
    return httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def refused(answer: httpx.Response, loc: list[str]) -> None:
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["loc"] == ["body", *loc]
    assert "limit" in answer.json()["errors"][0]["msg"]


def test_requests_of_a_minute(limited: Service, redis: Redis) -> None:
    with tenant(limited, redis, "often", requests_per_minute=5) as client, tenant(limited, redis, "other") as other:
        answers = [client.get("/v1/jobs") for _ in range(8)]
        curve = {"schedule": {"type": "StepLR", "step_size": 5}, "base_lr": 0.1, "steps": 3}

        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers[:5]] == [
            f"r={i}" for i in (4, 3, 2, 1, 0)
        ]
        assert answers[0].headers["ratelimit-policy"] == '"default";q=5;w=60'
        last = answers[-1]
        assert last.headers["content-type"] == "application/problem+json"
        assert 1 <= int(last.headers["retry-after"]) <= 60
        assert client.post("/v1/curves", json=curve).status_code == 429
        assert "ratelimit" not in other.get("/v1/jobs").headers
        assert limited.http.get("/healthz").status_code == 200


def test_jobs_that_wait(limited: Service, redis: Redis) -> None:
    with tenant(limited, redis, "patient", queued=2) as client:
        jobs = [client.post("/v1/jobs", json=job_spec(**NOBODY)) for _ in range(3)]

        assert [job.status_code for job in jobs] == [202, 202, 429]
        assert jobs[2].headers["retry-after"]
        assert "queued" in jobs[2].json()["detail"]
        assert client.put("/v1/jobs/mine", json=job_spec(**NOBODY)).status_code == 429
        client.post(jobs[0].json()["links"]["cancel"])
        assert client.post("/v1/jobs", json=job_spec(**NOBODY)).status_code == 202


def test_the_size_of_a_request(limited: Service, redis: Redis) -> None:
    with tenant(limited, redis, "short", body_bytes=500) as client:
        small, large = job_spec(**NOBODY), job_spec(**NOBODY, labels=["x" * 60] * 8)

        assert client.post("/v1/jobs", json=small).status_code == 202
        assert client.post("/v1/jobs", json=large).status_code == 413


def test_the_size_of_a_job(limited: Service, redis: Redis) -> None:
    with tenant(limited, redis, "small", steps=12, runs=3) as client:
        job = client.post("/v1/jobs", json=job_spec(**NOBODY))
        larger: dict[str, Any] = job_spec(epochs=4, **NOBODY)

        assert job.status_code == 202
        refused(client.post("/v1/jobs", json=larger), ["epochs"])
        refused(client.post("/v1/jobs?dry_run=true", json=larger), ["epochs"])
        refused(client.put("/v1/jobs/x", json=larger), ["epochs"])
        refused(client.post(job.json()["links"]["clone"], json={"epochs": 4}), ["epochs"])
        test = {name: value for name, value in job_spec(**NOBODY).items() if name != "epochs"}
        for changes, field in (
            ({"num_iter": 13}, "num_iter"),
            ({"num_iter": 7, "seeds": [0, 1]}, "num_iter"),
            ({"num_iter": 8, "use_for": "valley", "epochs": 4}, "epochs"),  # of the training that it will submit
        ):
            refused(client.post("/v1/lr-range-tests", json=test | changes), [field])
            refused(client.post("/v1/lr-range-tests?dry_run=true", json=test | changes), [field])
        training = {"num_iter": 8, "use_for": "valley", "epochs": 3}
        assert client.post("/v1/lr-range-tests", json=test | training).status_code == 202
        base = {"base": job_spec(epochs=1)} | NOBODY
        assert client.post("/v1/experiments", json=base | {"grid": {"seed": [0, 1, 2]}}).status_code == 202
        for path in ("/v1/experiments", "/v1/experiments?dry_run=true"):
            refused(client.post(path, json=base | {"grid": {"seed": [0, 1, 2, 3]}}), ["grid"])
        refused(client.post("/v1/experiments", json=base | {"base": job_spec(), "grid": {"seed": [0, 1]}}), ["grid"])


def test_what_jobs_leave_behind(limited: Service, redis: Redis) -> None:
    with tenant(limited, redis, "full", stored_bytes=1000) as client:

        def trained(name: str) -> httpx.Response:
            answer = client.put(f"/v1/jobs/{name}", json=job_spec(epochs=1))
            if answer.status_code == 202:
                until(lambda: client.get(f"/v1/jobs/{name}").json()["state"] == "succeeded")
            return answer

        assert trained("first").status_code == 202
        files = client.get("/v1/jobs/first/artifacts").json()["artifacts"]
        assert int(redis.get("lrserve:of:full:stored")) == sum(file["size"] for file in files)  # type: ignore[arg-type]
        assert trained("second").status_code == 429
        assert client.delete("/v1/jobs/first").status_code == 204
        assert redis.get("lrserve:of:full:stored") == "0"
        assert trained("second").status_code == 202


def test_limits_for_all_hold_for_those_without_their_own(limited: Service, redis: Redis) -> None:
    LimitStore(redis).change(ALL, {"queued": 1})
    try:
        with tenant(limited, redis, "plain") as client, tenant(limited, redis, "special", queued=2) as other:
            statuses = [
                [c.post("/v1/jobs", json=job_spec(**NOBODY)).status_code for _ in range(3)] for c in (client, other)
            ]
        assert statuses == [[202, 429, 429], [202, 202, 429]]
    finally:
        LimitStore(redis).change(ALL, {"queued": None})
