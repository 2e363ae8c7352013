"""Keys and tenants through the API."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from lrcore.access.keys import KeyStore, Role
from lrcore.store.connection import connect
from lrserve.api.app import create_app
from lrserve.api.middleware.auth import FRESH_SECONDS
from lrserve.api.settings import ApiSettings
from tests.conftest import Service, until
from tests.factories import job_spec, long_job

KEPT_APART = [
    ("get", ""),
    ("get", "/metrics"),
    ("get", "/events"),
    ("get", "/plot.png"),
    ("get", "/plot.svg"),
    ("get", "/artifacts"),
    ("get", "/artifacts/spec.json"),
    ("post", "/cancel"),
    ("post", "/pause"),
    ("post", "/resume"),
    ("post", "/retry"),
    ("post", "/clone"),
    ("patch", ""),
    ("delete", ""),
]


def redis_url(service: Service) -> str:
    return (service.stack.settings.home_folder / "redis.url").read_text()


def caller(service: Service, token: str) -> httpx.Client:
    return httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {token}"}, timeout=60)


@pytest.fixture(scope="module")
def mine(guarded: Service, keys: KeyStore) -> Iterator[httpx.Client]:
    with caller(guarded, keys.create("mine", Role.ADMIN)[1]) as client:
        yield client


@pytest.fixture(scope="module")
def theirs(guarded: Service, keys: KeyStore) -> Iterator[httpx.Client]:
    with caller(guarded, keys.create("theirs", Role.ADMIN)[1]) as client:
        yield client


def ended(client: httpx.Client, path: str) -> dict[str, Any]:
    found: dict[str, Any] = until(
        lambda: (lambda job: job if job["state"] in ("succeeded", "failed") else None)(client.get(path).json())
    )
    return found


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic bXk6a2V5"},
        {"Authorization": "Bearer lrs_000000000000_" + "A" * 43},
        {"Authorization": "Bearer " + "x" * 5000},
        {"Authorization": "Bearer lrs_../../x_" + "A" * 43},
    ],
)
def test_nobody_gets_in_without_a_good_key(header: dict[str, str], guarded: Service) -> None:
    for method, path in (("GET", "/v1/jobs"), ("POST", "/v1/curves"), ("GET", "/v1/schedules"), ("GET", "/nothing")):
        answer = guarded.http.request(method, path, headers=header)

        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_two_keys_are_none(guarded: Service, keys: KeyStore) -> None:
    _, token = keys.create("mine", Role.READ)
    headers = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]

    assert guarded.http.get("/v1/jobs", headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/docs", "/openapi.json"])
def test_probes_and_documents_need_no_key(path: str, guarded: Service) -> None:
    assert guarded.http.get(path).status_code == 200


def test_what_each_role_may(guarded: Service, keys: KeyStore) -> None:
    curve = {"schedule": {"type": "StepLR", "step_size": 5}, "base_lr": 0.1, "steps": 3}
    asked: list[tuple[str, str, Any, Role]] = [
        ("GET", "/v1/jobs", None, Role.READ),
        ("POST", "/v1/curves", curve, Role.READ),
        ("POST", "/v1/curves?format=csv", curve, Role.READ),
        ("POST", "/v1/jobs", job_spec(epochs=1), Role.SUBMIT),
        ("GET", "/v1/keys", None, Role.ADMIN),
        ("GET", "/v1/audit", None, Role.ADMIN),
        ("POST", "/v1/keys", {"role": "read"}, Role.ADMIN),
    ]
    for role in Role:
        with caller(guarded, keys.create("roles", role)[1]) as client:
            for method, path, body, needed in asked:
                status = client.request(method, path, json=body).status_code
                assert (status == 403) is not role.may(needed), (role, method, path, status)
                assert status < 500


@pytest.mark.slowest
def test_a_revoked_or_old_key_is_refused_and_its_streams_end(
    guarded: Service, keys: KeyStore, mine: httpx.Client
) -> None:
    key, token = keys.create("mine", Role.READ)
    _, old = keys.create("mine", Role.READ, days=1 / 86_400)
    links = mine.post("/v1/jobs", json=long_job(epochs=1000)).json()["links"]
    with (
        caller(guarded, token) as client,
        caller(guarded, old) as other,
        client.stream("GET", links["events"]) as stream,
        mine.stream("GET", links["events"]) as good,
    ):
        assert client.get("/v1/jobs").status_code == other.get("/v1/jobs").status_code == 200
        keys.revoke(key.id)
        time.sleep(1.1)
        assert other.get("/v1/jobs").status_code == 401
        until(lambda: client.get("/v1/jobs").status_code == 401, FRESH_SECONDS + 2)
        assert "event: end" not in stream.read().decode()
        assert mine.get(links["self"]).json()["state"] == "running"
        mine.post(links["cancel"])
        assert "event: end" in good.read().decode()


def test_redis_holds_no_secret(guarded: Service, keys: KeyStore) -> None:
    _, token = keys.create("mine", Role.READ)
    with connect(redis_url(guarded)) as redis:
        stored = " ".join(str(redis.hgetall(name)) for name in redis.keys("lrserve:key:*"))

    assert token.rpartition("_")[2] not in stored
    assert token not in guarded.log.read_text()


def test_tenants_do_not_meet(mine: httpx.Client, theirs: httpx.Client) -> None:
    made = mine.post("/v1/jobs", json=job_spec(epochs=1, labels=["secret"])).json()
    job = ended(mine, made["links"]["self"])
    before = mine.get(job["links"]["self"]).json()

    for method, path in KEPT_APART:
        body = {"priority": 1} if method == "patch" else {"epochs": 1} if path == "/clone" else None
        answer = theirs.request(method, f"/v1/jobs/{job['id']}{path}", json=body)
        nothing = theirs.request(method, f"/v1/jobs/nothing{path}", json=body)
        assert answer.status_code == nothing.status_code == 404, (method, path, answer.text)
        assert answer.text.replace(job["id"], "nothing") == nothing.text
    assert theirs.get("/v1/jobs").json()["jobs"] == []
    assert theirs.get("/v1/jobs?label=secret").json()["jobs"] == []
    assert mine.get(job["links"]["self"]).json() == before
    assert mine.get("/v1/jobs?label=secret").json()["jobs"][0]["id"] == job["id"]


def test_experiments_and_range_tests_do_not_meet(mine: httpx.Client, theirs: httpx.Client) -> None:
    body = {"base": job_spec(epochs=1), "grid": {"lr": [0.1, 0.2]}}
    experiment = ended(mine, mine.post("/v1/experiments", json=body).json()["links"]["self"])
    test = mine.post(
        "/v1/lr-range-tests", json={k: v for k, v in job_spec().items() if k != "epochs"} | {"num_iter": 8}
    )

    for path in ("", "/leaderboard", "/metrics", "/runs/0", "/plot.png", "/events"):
        assert mine.get(f"/v1/experiments/{experiment['id']}{path}").status_code == 200
        assert theirs.get(f"/v1/experiments/{experiment['id']}{path}").status_code == 404
    assert theirs.post(f"/v1/experiments/{experiment['id']}/cancel").status_code == 404
    assert theirs.get("/v1/experiments").json()["jobs"] == []
    assert theirs.get(f"/v1/lr-range-tests/{test.json()['id']}/curve").status_code == 404


def test_a_chosen_id_is_the_tenant_s(mine: httpx.Client, theirs: httpx.Client) -> None:
    ours = mine.put("/v1/jobs/sweep", json=job_spec(epochs=1))
    others = theirs.put("/v1/jobs/sweep", json=job_spec(epochs=2))

    assert ours.status_code == others.status_code == 202
    assert ours.json()["id"] == others.json()["id"] == "sweep"
    done = ended(mine, "/v1/jobs/sweep"), ended(theirs, "/v1/jobs/sweep")
    assert [job["spec"]["epochs"] for job in done] == [1, 2]
    specs = [client.get("/v1/jobs/sweep/artifacts/spec.json").json()["epochs"] for client in (mine, theirs)]
    assert specs == [1, 2]
    assert '"sweep"' in mine.get("/v1/jobs/sweep/artifacts").text
    assert mine.delete("/v1/jobs/sweep").status_code == 204
    assert theirs.get("/v1/jobs/sweep/artifacts/spec.json").status_code == 200


def test_webhooks_do_not_meet(mine: httpx.Client, theirs: httpx.Client) -> None:
    made = mine.post("/v1/webhooks", json={"url": "https://example.org/x", "events": ["job.succeeded"]}).json()
    path = f"/v1/webhooks/{made['id']}"

    assert mine.get(path).status_code == 200
    assert theirs.get("/v1/webhooks").json()["webhooks"] == []
    assert theirs.get(path).status_code == theirs.delete(path).status_code == 404
    assert theirs.patch(path, json={"enabled": False}).status_code == 404
    for action in ("rotate", "test", "deliveries/x/redeliver"):
        assert theirs.post(f"{path}/{action}").status_code == 404
    assert theirs.get(f"{path}/deliveries").status_code == 404
    mine.delete(path)


def test_keys_by_http(guarded: Service, mine: httpx.Client, theirs: httpx.Client) -> None:
    made = mine.post("/v1/keys", json={"role": "read", "name": "a board", "days": 30})
    key = made.json()

    assert made.status_code == 201
    with caller(guarded, key["token"]) as board:
        assert board.get("/v1/jobs").status_code == 200
    listed = {each["id"]: each for each in mine.get("/v1/keys").json()["keys"]}
    assert listed[key["id"]]["name"] == "a board"
    assert "token" not in listed[key["id"]]
    assert key["id"] not in theirs.get("/v1/keys").text
    assert theirs.delete(f"/v1/keys/{key['id']}").status_code == 404
    assert mine.delete(f"/v1/keys/{key['id']}").status_code == 204
    assert mine.post("/v1/keys", json={"role": "god"}).json()["errors"][0]["loc"] == ["body", "role"]


def test_the_audit_says_who_did_what(
    guarded: Service, keys: KeyStore, mine: httpx.Client, theirs: httpx.Client
) -> None:
    key, token = keys.create("audited", Role.ADMIN)
    with caller(guarded, token) as client:
        job = client.post("/v1/jobs", json=job_spec(epochs=1)).json()
        client.post(job["links"]["cancel"])
        client.get(job["links"]["self"])
        client.post("/v1/jobs", json={"epochs": 0})
        client.get("/v1/keys")
        client.get("/v1/audit")
        made = client.post("/v1/keys", json={"role": "read"}).json()["id"]
        found = client.get("/v1/audit").json()["entries"]
    calls = [(entry["method"], entry["path"], entry["made"]) for entry in found]
    assert calls == [
        ("POST", "/v1/keys", f"/v1/keys/{made}"),
        ("POST", job["links"]["cancel"], ""),
        ("POST", "/v1/jobs", job["links"]["self"]),
    ]
    assert {(entry["tenant"], entry["key"]) for entry in found} == {("audited", key.id)}


@pytest.mark.slowest
def test_the_command_makes_lists_and_revokes_keys(guarded: Service) -> None:
    home = guarded.stack.settings.home_folder

    def lrserve(*arguments: str, **environment: str) -> str:
        command = [sys.executable, "-m", "lrserve", *arguments]
        env = os.environ | {"LRSERVE_HOME": str(home), "COLUMNS": "200"} | environment
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
        return done.stdout.strip()

    token = lrserve("keys", "create", "team-a", "--role", "read", "--name", "ci")
    key_id = token.split("_")[1]
    with caller(guarded, token) as client:
        assert client.get("/v1/jobs").status_code == 200
        assert "ci" in lrserve("keys", "list", "--tenant", "team-a")
        assert "lr" in lrserve(
            "curve", "StepLR", "step_size=5", "--base-lr", "0.1", "--url", guarded.url, LRSERVE_KEY=token
        )
        assert "revoked" in lrserve("keys", "revoke", key_id)
        until(lambda: client.get("/v1/jobs").status_code == 401, FRESH_SECONDS + 2)
        with pytest.raises(subprocess.CalledProcessError) as refused:
            lrserve("jobs", "--url", guarded.url, LRSERVE_KEY=token)
    assert "LRSERVE_KEY takes a key" in refused.value.stderr


def test_the_document_asks_for_a_key(guarded: Service) -> None:
    document = guarded.http.get("/openapi.json").json()

    assert document["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation.get("security") == ([{"key": []}] if path.startswith("/v1/") else None)


def test_no_secret_in_a_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRSERVE_REDIS_URL", "rediss://user:hunter2@redis.example.org:6380/0")
    shown = repr(ApiSettings()) + repr(create_app(ApiSettings()).state._state)

    assert "hunter2" not in shown
