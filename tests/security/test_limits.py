"""Limits of tenants through the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from lrcore.access.keys import KeyStore, Role
from lrcore.access.limits import ALL, LimitStore
from lrcore.store.connection import connect
from tests.conftest import Service, until
from tests.factories import job_spec, long_job, range_test_job

NOBODY = {"hardware": "nobody"}


@pytest.fixture(scope="module")
def redis(guarded: Service) -> Iterator[Redis]:
    with connect((guarded.stack.settings.home_folder / "redis.url").read_text()) as client:
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


def test_requests_of_a_minute(guarded: Service, redis: Redis) -> None:
    with tenant(guarded, redis, "often", requests_per_minute=5) as client, tenant(guarded, redis, "other") as other:
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
        assert guarded.http.get("/healthz").status_code == 200


def test_jobs_that_wait(guarded: Service, redis: Redis) -> None:
    with tenant(guarded, redis, "patient", queued=2) as client:
        jobs = [client.post("/v1/jobs", json=job_spec(**NOBODY)) for _ in range(3)]

        assert [job.status_code for job in jobs] == [202, 202, 429]
        assert jobs[2].headers["retry-after"]
        assert "queued" in jobs[2].json()["detail"]
        assert client.put("/v1/jobs/mine", json=job_spec(**NOBODY)).status_code == 429
        client.post(jobs[0].json()["links"]["cancel"])
        assert client.post("/v1/jobs", json=job_spec(**NOBODY)).status_code == 202


def test_the_size_of_a_request(guarded: Service, redis: Redis) -> None:
    with tenant(guarded, redis, "short", body_bytes=500) as client:
        small, large = job_spec(**NOBODY), job_spec(**NOBODY, labels=["x" * 60] * 8)

        assert client.post("/v1/jobs", json=small).status_code == 202
        assert client.post("/v1/jobs", json=large).status_code == 413


def test_the_size_of_a_job(guarded: Service, redis: Redis) -> None:
    with tenant(guarded, redis, "small", steps=12, runs=3) as client:
        job = client.post("/v1/jobs", json=job_spec(**NOBODY))
        larger: dict[str, Any] = job_spec(epochs=4, **NOBODY)

        assert job.status_code == 202
        refused(client.post("/v1/jobs", json=larger), ["epochs"])
        refused(client.post("/v1/jobs?dry_run=true", json=larger), ["epochs"])
        refused(client.put("/v1/jobs/x", json=larger), ["epochs"])
        refused(client.post(job.json()["links"]["clone"], json={"epochs": 4}), ["epochs"])
        test = range_test_job(**NOBODY)
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


def test_what_jobs_leave_behind(guarded: Service, redis: Redis) -> None:
    with tenant(guarded, redis, "full", stored_bytes=1000) as client:

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


def state(client: httpx.Client, job: httpx.Response) -> str:
    return str(client.get(f"/v1/jobs/{job.json()['id']}").json()["state"])


def test_paused_jobs_keep_their_places(guarded: Service, redis: Redis) -> None:
    with tenant(guarded, redis, "pausing", queued=2) as client:
        jobs = [client.post("/v1/jobs", json=job_spec(**NOBODY)) for _ in range(2)]
        for job in jobs:
            client.post(job.json()["links"]["pause"]).raise_for_status()
        ended = client.put("/v1/jobs/ended", json=job_spec(**NOBODY))
        assert ended.status_code == 429
        assert "paused" in ended.json()["detail"]
        for job in jobs:
            assert client.post(job.json()["links"]["clone"], json={}).status_code == 429
        client.post(jobs[0].json()["links"]["cancel"]).raise_for_status()
        assert client.post(jobs[0].json()["links"]["retry"]).status_code == 202
        assert client.post(jobs[0].json()["links"]["retry"]).status_code == 429
        assert client.post(jobs[1].json()["links"]["resume"]).json()["state"] == "queued"
        assert client.post("/v1/jobs", json=job_spec(**NOBODY)).status_code == 429


def test_the_checkpoint_of_a_paused_job(guarded: Service, redis: Redis) -> None:
    with tenant(guarded, redis, "resting", stored_bytes=1000) as client:
        job = client.post("/v1/jobs", json=long_job(epochs=200))
        path = f"/v1/jobs/{job.json()['id']}"
        until(lambda: client.get(path).json()["progress"]["step"] > 0)
        client.post(f"{path}/pause").raise_for_status()
        until(lambda: state(client, job) == "paused", 120)
        folder = guarded.stack.settings.job_folder(job.json()["id"])
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())

        assert int(redis.get("lrserve:of:resting:stored")) == size > 1000  # type: ignore[arg-type]
        refusal = client.post("/v1/jobs", json=job_spec(**NOBODY))
        assert refusal.status_code == 429
        assert "cancel paused ones" in refusal.json()["detail"]
        client.post(f"{path}/resume").raise_for_status()  # it has begun, and may go on
        until(lambda: state(client, job) == "running", 120)
        client.post(f"{path}/cancel").raise_for_status()
        until(lambda: state(client, job) == "cancelled", 120)
        assert redis.get("lrserve:of:resting:stored") == "0"
        assert client.post("/v1/jobs", json=job_spec(**NOBODY)).status_code == 202


def test_a_job_that_waits_when_its_tenant_has_stored_all_it_may(guarded: Service, redis: Redis) -> None:
    with tenant(guarded, redis, "brimful") as client:
        first = client.put("/v1/jobs/first", json=job_spec(epochs=1))
        until(lambda: state(client, first) == "succeeded", 120)
        LimitStore(redis).change("brimful", {"running": 1})
        long = client.post("/v1/jobs", json=long_job(epochs=200))
        waiting = client.post("/v1/jobs", json=job_spec(epochs=1))
        until(lambda: state(client, long) == "running", 120)
        LimitStore(redis).change("brimful", {"stored_bytes": 1000})
        client.post(long.json()["links"]["cancel"]).raise_for_status()
        until(lambda: state(client, long) == "cancelled", 120)
        with tenant(guarded, redis, "next") as other:  # the worker is free, and takes this one
            theirs = other.post("/v1/jobs", json=job_spec(epochs=1))
            until(lambda: state(other, theirs) == "succeeded", 120)
        assert state(client, waiting) == "queued"
        assert client.get(f"/v1/jobs/{waiting.json()['id']}").json()["starts_in_seconds"] is None
        assert client.delete("/v1/jobs/first").status_code == 204
        until(lambda: state(client, waiting) == "succeeded", 120)


def test_a_job_that_was_queued_before_its_tenant_s_limit(guarded: Service, redis: Redis) -> None:
    with tenant(guarded, redis, "earlier", running=1) as client:
        long = client.post("/v1/jobs", json=long_job(epochs=200))
        until(lambda: state(client, long) == "running", 120)
        larger, smaller = (client.post("/v1/jobs", json=job_spec(epochs=epochs)) for epochs in (3, 1))
        LimitStore(redis).change("earlier", {"steps": 11})
        refused(client.post("/v1/jobs", json=job_spec()), ["epochs"])  # at once, not when a cache is old
        assert state(client, long) == "running"
        client.post(long.json()["links"]["cancel"]).raise_for_status()

        until(lambda: state(client, smaller) == "succeeded", 120)
        job = client.get(f"/v1/jobs/{larger.json()['id']}").json()
        assert (job["state"], job["error"]["type"]) == ("failed", "limit_reached")
        assert "limit of 11" in job["error"]["message"]
        refused(client.post(job["links"]["retry"]), ["epochs"])
        assert client.post(job["links"]["clone"], json={"epochs": 2}).status_code == 202


def test_the_records_of_jobs(guarded: Service, redis: Redis) -> None:
    with tenant(guarded, redis, "collector", record_bytes=7000) as client:
        jobs = [client.post("/v1/jobs", json=job_spec(**NOBODY)) for _ in range(3)]
        assert [job.status_code for job in jobs] == [202, 202, 429]
        assert "record_bytes" in jobs[2].json()["detail"]
        client.post(jobs[0].json()["links"]["cancel"]).raise_for_status()
        assert client.post("/v1/jobs", json=job_spec(**NOBODY)).status_code == 429  # it is still there
        assert client.delete(f"/v1/jobs/{jobs[0].json()['id']}").status_code == 204
        assert client.post("/v1/jobs", json=job_spec(**NOBODY)).status_code == 202


def test_the_size_of_a_spec(guarded: Service, redis: Redis) -> None:
    rates = {str(step): 0.1 + step * 1e-9 for step in range(9_000)}
    parts = [{"type": "manual", "values": rates} for _ in range(6)]
    by_hand = {"type": "SequentialLR", "schedulers": parts, "milestones": [1, 2, 3, 4, 5]}
    job = job_spec(schedule=by_hand, interval="step", epochs=3, **NOBODY)
    test = range_test_job(**NOBODY)
    many = {"base": job_spec(epochs=1), "grid": {"schedule": [by_hand]}} | NOBODY
    with tenant(guarded, redis, "wordy") as client:
        kept = client.post("/v1/jobs", json=job_spec(**NOBODY)).json()
        for answer, field in (
            (client.post("/v1/jobs", json=job), "schedule"),
            (client.post("/v1/jobs?dry_run=true", json=job), "schedule"),
            (client.put("/v1/jobs/x", json=job), "schedule"),
            (client.post(kept["links"]["clone"], json={"schedule": by_hand, "interval": "step"}), "schedule"),
            (client.post("/v1/experiments", json=many), "grid"),
        ):
            assert answer.status_code == 422, answer.text
            [error] = answer.json()["errors"]
            assert error["loc"] == ["body", field]
            assert "more than 1048576" in error["msg"]
        assert client.post("/v1/lr-range-tests", json=test).status_code == 202


def test_limits_for_all_hold_for_those_without_their_own(guarded: Service, redis: Redis) -> None:
    LimitStore(redis).change(ALL, {"queued": 1})
    try:
        with tenant(guarded, redis, "plain") as client, tenant(guarded, redis, "special", queued=2) as other:
            statuses = [
                [c.post("/v1/jobs", json=job_spec(**NOBODY)).status_code for _ in range(3)] for c in (client, other)
            ]
        assert statuses == [[202, 429, 429], [202, 202, 429]]
    finally:
        LimitStore(redis).change(ALL, {"queued": None})
