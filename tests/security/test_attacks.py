"""Attacks, each of which must be refused. Slow requests, injected headers and keys have files of their own."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from lrcore.access.audit import AuditLog, Entry
from lrcore.access.keys import KeyStore, Role, TooManyKeys
from tests.conftest import Service
from tests.factories import job_spec, range_test_job
from tests.security.test_keys import caller, ended

SECONDS = 20.0  # far more than a refusal takes, far less than what the bombs ask for


@pytest.fixture(scope="module")
def owner(guarded: Service, keys: KeyStore) -> Iterator[httpx.Client]:
    with caller(guarded, keys.create("owner", Role.ADMIN)[1]) as client:
        yield client


@pytest.fixture(scope="module")
def thief(guarded: Service, keys: KeyStore) -> Iterator[httpx.Client]:
    with caller(guarded, keys.create("thief", Role.ADMIN)[1]) as client:
        yield client


@pytest.fixture(scope="module")
def loot(owner: httpx.Client) -> dict[str, dict[str, str]]:
    """What the owner has, by kind of path: values for the parameters of a path."""
    setup = range_test_job()
    job = owner.post("/v1/jobs", json=job_spec(epochs=1)).json()
    experiment = owner.post("/v1/experiments", json={"base": job_spec(epochs=1), "grid": {"seed": [0, 1]}}).json()
    test = owner.post("/v1/lr-range-tests", json=setup | {"num_iter": 8}).json()
    hook = owner.post("/v1/webhooks", json={"url": "https://example.org", "events": ["job.succeeded"]}).json()
    delivery = owner.post(f"/v1/webhooks/{hook['id']}/test").json()
    key = owner.post("/v1/keys", json={"role": "read"}).json()
    for made in (job, experiment, test):
        ended(owner, made["links"]["self"])
    return {
        "/v1/jobs": {"job_id": job["id"], "name": "spec.json"},
        "/v1/experiments": {"job_id": experiment["id"], "run": "0", "form": "png"},
        "/v1/lr-range-tests": {"job_id": test["id"]},
        "/v1/webhooks": {"webhook_id": hook["id"], "delivery_id": delivery["id"]},
        "/v1/keys": {"key_id": key["id"]},
    }


BODIES: dict[tuple[str, str], Any] = {
    ("patch", "/v1/jobs/{job_id}"): {"priority": 1},
    ("patch", "/v1/experiments/{job_id}"): {"priority": 1},
    ("patch", "/v1/webhooks/{webhook_id}"): {"enabled": False},
    ("post", "/v1/jobs/{job_id}/clone"): {},
    ("post", "/v1/experiments/{job_id}/clone"): {},
}


def test_no_route_lets_a_tenant_cross(
    guarded: Service, owner: httpx.Client, thief: httpx.Client, loot: dict[str, dict[str, str]]
) -> None:
    tried = 0
    for path, methods in guarded.http.get("/openapi.json").json()["paths"].items():
        kind = "/".join(path.split("/")[:3])
        if "{" not in path or kind not in loot:
            continue
        for method in methods:
            if (method, path) == ("put", "/v1/jobs/{job_id}"):
                continue  # an id is each tenant's own: test_keys has it
            there, body = path.format(**loot[kind]), BODIES.get((method, path))
            answer = thief.request(method, there, json=body)
            assert answer.status_code == 404, (method, there, answer.text)
            if method == "get":
                assert owner.get(there).status_code == 200, there
            tried += 1
    assert tried >= 36
    for listing in ("/v1/jobs", "/v1/experiments", "/v1/webhooks", "/v1/audit"):
        text = thief.get(listing).text
        assert not any(value in text for values in loot.values() for value in values.values() if len(value) > 10), (
            listing
        )


OUTSIDE = [
    "../../../../etc/passwd",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..%252f..%252fetc%252fpasswd",
    "....//....//etc/passwd",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "spec.json%00.png",
    "..\\..\\redis.url",
    "~/redis.url",
    "file:%2f%2f%2fetc%2fpasswd",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_file_outside_a_job_s_folder(name: str, owner: httpx.Client, loot: dict[str, dict[str, str]]) -> None:
    job_id = loot["/v1/jobs"]["job_id"]
    for path in (f"/v1/jobs/{job_id}/artifacts/{name}", f"/v1/jobs/{name}/artifacts/spec.json", f"/docs/{name}"):
        url = owner.base_url.copy_with(raw_path=path.encode())
        answer = owner.send(owner.build_request("GET", url))

        assert answer.status_code in (400, 404, 405), (path, answer.status_code)
        assert "root:" not in answer.text
        assert "unix:" not in answer.text


@pytest.mark.parametrize("folder", ["..", "../jobs", "/etc", "a/../../b", "~", "a\x00b", ".", ""])
def test_no_image_folder_outside_the_data_root(folder: str, owner: httpx.Client) -> None:
    data = {"type": "image-folder", "folder": folder, "image_size": 32, "num_classes": 2}
    answer = owner.post("/v1/jobs", json=job_spec(dataset=data))

    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "job_id", ["..", "...", ".hidden", "a/b", "A", "a" * 65, "a:b", "owner:x", "a b", "é", "a\nb", "%2e%2e"]
)
def test_no_id_that_is_a_path_or_another_tenant_s(job_id: str, thief: httpx.Client) -> None:
    quoted = re.sub(rb"[^a-zA-Z0-9.%]", lambda found: b"%%%02X" % found[0][0], job_id.encode())
    url = thief.base_url.copy_with(raw_path=b"/v1/jobs/" + quoted)

    assert thief.send(thief.build_request("PUT", url, json=job_spec())).status_code in (404, 405, 422)


BOMBS: list[dict[str, Any]] = [
    {"type": "LambdaLR", "lr_lambda": "9**9**9**9**9"},
    {"type": "LambdaLR", "lr_lambda": "(" * 5000 + "1" + ")" * 5000},
    {"type": "LambdaLR", "lr_lambda": "-" * 9000 + "1"},
    {"type": "LambdaLR", "lr_lambda": "1" + "0" * 9000},
    {"type": "LambdaLR", "lr_lambda": "2**(2**(2**epoch))"},
    {"type": "LambdaLR", "lr_lambda": "__import__('os').system('true')"},
    {"type": "LambdaLR", "lr_lambda": "().__class__.__bases__[0].__subclasses__()"},
    {"type": "LambdaLR", "lr_lambda": "[x for x in range(10**9)]"},
    {"type": "LambdaLR", "lr_lambda": "'a' * 10**9"},
    {"type": "LambdaLR", "lr_lambda": "(lambda: 1)()"},
    {"type": "MultiStepLR", "milestones": list(range(400_000)), "gamma": 0.5},
    {"type": "StepLR", "step_size": 10**400},
]


def nested(depth: int) -> dict[str, Any]:
    schedule: dict[str, Any] = {"type": "ConstantLR"}
    for _ in range(depth):
        schedule = {"type": "Scale", "factor": 0.5, "schedule": schedule}
    return schedule


@pytest.mark.parametrize("schedule", [*BOMBS, nested(200), nested(900)], ids=lambda s: str(s)[:50])
def test_no_schedule_costs_much(schedule: dict[str, Any], owner: httpx.Client) -> None:
    body = {"schedule": schedule, "base_lr": 0.1, "steps": 100_000}
    start = time.monotonic()
    answer = owner.post("/v1/curves", json=body)

    assert answer.status_code < 500
    assert time.monotonic() - start < SECONDS


def test_deep_json_is_refused(owner: httpx.Client) -> None:
    for text in ("[" * 100_000, '{"a":' * 100_000, '{"schedule":' + "[" * 50_000 + "]" * 50_000 + "}"):
        answer = owner.post("/v1/curves", content=text, headers={"Content-Type": "application/json"})

        assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379/",
        "http://[::1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::ffff:127.0.0.1]/",
        "gopher://127.0.0.1/",
        "file:///etc/passwd",
        "http://user:secret@example.org/",
    ],
)
def test_no_webhook_into_the_private_network(url: str, owner: httpx.Client) -> None:
    answer = owner.post("/v1/webhooks", json={"url": url, "events": ["job.succeeded"]})

    assert answer.status_code == 422, answer.text


def test_no_tenant_pushes_out_what_another_one_s_audit_says(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrcore.access.audit.KEPT", 100)
    log = AuditLog(redis)
    log.add(Entry("owner", "key", "DELETE", "/v1/jobs/precious"))
    for i in range(1000):
        log.add(Entry("thief", "key", "POST", f"/v1/jobs/{i}"))

    assert [entry["path"] for entry in log.last(10, "owner")] == ["/v1/jobs/precious"]
    assert redis.xlen("lrserve:audit:thief") < 1000


def test_keys_are_counted(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lrcore.access.keys.MOST_KEYS", 3)
    store = KeyStore(redis)
    first, *others = [store.create("owner", Role.READ)[0].id for _ in range(3)]

    with pytest.raises(TooManyKeys):
        store.create("owner", Role.READ)
    store.create("other", Role.READ)
    store.revoke(first)
    last, _ = store.create("owner", Role.READ)
    assert {key.id for key in store.all("owner")} == {*others, last.id}


def test_a_wrong_key_is_compared_as_a_right_one(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    store = KeyStore(redis)
    _, token = store.create("owner", Role.READ)
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def watched(one: str, other: str) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    flipped = "B" if token[-1] == "A" else "A"
    tokens = [token, token[:-1] + flipped, "lrs_000000000000_" + token[-43:], "lrs_x", "", token.upper()]
    found = [store.check(each) is not None for each in tokens]

    assert found == [True, False, False, False, False, False]
    assert compared == [(64, 64)] * len(tokens)
