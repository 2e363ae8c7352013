"""The users of docs/deploy/redis.acl are enough for everything, and can do no more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.retry import Retry

from lrcore.access.keys import KeyStore, Role
from lrcore.access.limits import LimitStore
from lrserve.supervisor import free_port
from tests.api.receiver import Receiver
from tests.conftest import SERVERS, until
from tests.factories import job_spec, long_job, range_test_job
from tests.security.guarded import Guarded, assert_nothing_was_lost, contents, guarded_redis
from tests.stores import JobStore

pytestmark = pytest.mark.slow


@dataclass
class Serving:
    """An API and a worker with a user each, and an admin's client of the API."""

    http: httpx.Client
    ending: ExitStack


@pytest.fixture(scope="module", params=list(SERVERS))
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    server = SERVERS[request.param]()
    if server is None:
        pytest.skip(f"no {request.param} Redis server: see the Makefile's target redis-server")
    with guarded_redis(server, tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(scope="module")
def serving(guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    home, port = tmp_path_factory.mktemp("home"), free_port()
    common = dict(os.environ, LRSERVE_HOME=str(home), LRSERVE_AUTH="true", LRSERVE_REAP_SECONDS="0.2")
    common |= {"LRSERVE_WEBHOOK_ALLOW": '["127.0.0.0/8"]', "LRSERVE_WEBHOOK_RETRY_SECONDS": "[0.1]"}
    _, token = KeyStore(guarded.client("api")).create("ours", Role.ADMIN)
    LimitStore(guarded.client("api")).change("ours", {"requests_per_minute": 100_000, "gpu_seconds_per_day": 10_000})
    commands = {"api": ["lrserve.api", "--port", str(port)], "worker": ["lrserve.worker", "--name", "guarded"]}
    with ExitStack() as ending:
        for name, command in commands.items():
            environment = dict(common, LRSERVE_REDIS_URL=guarded.url(name))
            process = subprocess.Popen(
                [sys.executable, "-m", *command], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            ending.callback(process.wait, 60)
            ending.callback(process.terminate)
        client = ending.enter_context(caller(f"http://127.0.0.1:{port}", token))
        until(lambda: served(client), 150)
        yield Serving(client, ending)


@pytest.fixture
def http(serving: Serving) -> httpx.Client:
    """A client, with an admin's key, of an API and a worker that have a user each."""
    return serving.http


def caller(url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def served(client: httpx.Client) -> bool:
    """Whether there is a worker."""
    try:
        answer = client.get("/readyz")
    except httpx.TransportError:
        return False
    return answer.is_success and bool(answer.json()["workers"])


def submitted(http: httpx.Client, kind: str, spec: dict[str, Any]) -> str:
    return str(http.post(f"/v1/{kind}", json=spec).raise_for_status().json()["id"])


def state(http: httpx.Client, job_id: str) -> str:
    return str(http.get(f"/v1/jobs/{job_id}").raise_for_status().json()["state"])


def ended(http: httpx.Client, job_id: str) -> str:
    until(lambda: state(http, job_id) in ("succeeded", "failed", "cancelled"), 240)
    return state(http, job_id)


@pytest.mark.sampled(2)
def test_two_users_are_enough_for_a_job_and_an_experiment(guarded: Guarded, http: httpx.Client) -> None:
    http.post("/v1/webhooks", json={"url": "https://example.com/hook"}).raise_for_status()
    first = submitted(http, "jobs", job_spec(labels=["a"]))
    with http.stream("GET", f"/v1/jobs/{first}/events", timeout=240) as events:
        assert b"event: end" in b"".join(events.iter_bytes())
    assert ended(http, first) == "succeeded"

    paused = submitted(http, "jobs", long_job(epochs=200))
    until(lambda: http.get(f"/v1/jobs/{paused}").json()["progress"]["step"] > 0)
    http.post(f"/v1/jobs/{paused}/pause").raise_for_status()
    until(lambda: state(http, paused) == "paused")
    http.post(f"/v1/jobs/{paused}/resume").raise_for_status()
    http.post(f"/v1/jobs/{paused}/cancel").raise_for_status()
    assert ended(http, paused) == "cancelled"

    experiment = submitted(http, "experiments", {"base": job_spec(), "grid": {"seed": [0, 1]}})
    assert ended(http, experiment) == "succeeded"
    for path in (f"/v1/jobs/{first}/metrics", f"/v1/experiments/{experiment}", "/v1/jobs?label=a", "/v1/webhooks"):
        http.get(path).raise_for_status()
    http.put("/v1/jobs/mine", json=job_spec(), headers={"Prefer": "wait=30"}).raise_for_status()
    assert ended(http, "mine") == "succeeded"
    for job_id in (first, experiment, "mine"):
        http.delete(f"/v1/jobs/{job_id}").raise_for_status()

    assert guarded.refused() == []


@pytest.mark.slowest
def test_two_users_are_enough_for_keys_limits_and_webhooks(guarded: Guarded, http: httpx.Client) -> None:
    receiver = Receiver()
    try:
        failing = {"first": True}
        receiver.answer = lambda message: 500 if failing.pop("first", False) else 204
        hook = http.post("/v1/webhooks", json={"url": receiver.url}).raise_for_status().json()
        made = http.post("/v1/lr-range-tests", json=range_test_job(seeds=[0, 1], use_for="max_lr", epochs=1))
        test = made.raise_for_status()
        assert "ratelimit" in test.headers
        assert ended(http, test.json()["id"]) == "succeeded"
        until(lambda: len(receiver.of(test.json()["id"])) == 4)
        assert all(message.signed_by(hook["secret"]) for message in receiver.messages)
        assert set(receiver.of(test.json()["id"])) == {"queued", "running", "succeeded"}  # and one that failed, again

        path = f"/v1/webhooks/{hook['id']}"
        old = http.get(f"{path}/deliveries").raise_for_status().json()["deliveries"][-1]
        http.post(f"{path}/deliveries/{old['id']}/redeliver").raise_for_status()
        http.post(f"{path}/rotate").raise_for_status()
        http.post(f"{path}/test").raise_for_status()
        until(lambda: "webhook.test" in receiver.types())
        http.patch(path, json={"enabled": False}).raise_for_status()
        http.delete(path).raise_for_status()
    finally:
        receiver.close()
    key = http.post("/v1/keys", json={"role": "read", "days": 1}).raise_for_status().json()
    with caller(str(http.base_url), key["token"]) as reader:
        assert reader.get("/v1/jobs").is_success
        assert reader.get("/v1/keys").status_code == 403
    assert len(http.get("/v1/keys").raise_for_status().json()["keys"]) >= 2
    http.delete(f"/v1/keys/{key['id']}").raise_for_status()
    assert http.get("/v1/audit").raise_for_status().json()["entries"][0]["path"] == f"/v1/keys/{key['id']}"
    operator = guarded.client("operator")
    for counter in operator.keys("lrserve:rates*"):  # type: ignore[union-attr]
        operator.pexpire(counter, 30_000)  # as in the next minute, which begins by what has become of the last one
    assert int(http.get("/v1/jobs").headers["ratelimit"].split(";")[1].removeprefix("r=")) < 99_990
    pruned = {"base": job_spec(), "grid": {"lr": [0.1, 0.01, 0.001]}, "prune": {"type": "asha", "reduction_factor": 2}}
    assert ended(http, submitted(http, "experiments", pruned)) == "succeeded"

    assert guarded.refused() == []


def test_what_they_have_written_outlives_a_restart_of_redis(guarded: Guarded, serving: Serving) -> None:
    job = submitted(serving.http, "jobs", job_spec(labels=["kept"]))
    assert ended(serving.http, job) == "succeeded"
    serving.ending.close()  # they write as long as they live
    before = contents(guarded.client("operator"))
    assert f"lrserve:job:{job}" in before

    guarded.restart()

    assert_nothing_was_lost(before, guarded.client("operator"))


OPERATORS = (
    ("FLUSHALL",),
    ("KEYS", "*"),
    ("CONFIG", "GET", "*"),
    ("ACL", "LIST"),
    ("DEBUG", "SLEEP", "0"),
    ("MONITOR",),
)
OUTSIDE = (("GET", "other"), ("SET", "other", "1"), ("EVAL", "return redis.call('GET', 'other')", "0"))
SECRETS = (("HGETALL", "lrserve:webhook:x"), ("HGETALL", "lrserve:key:x"), ("ZRANGE", "lrserve:keys", "0", "-1"))


@pytest.mark.parametrize("user", ["api", "worker"])
def test_neither_user_rules_the_server_or_sees_the_rest_of_it(user: str, guarded: Guarded) -> None:
    redis = guarded.client(user)
    for command in (*OPERATORS, *OUTSIDE, *(SECRETS if user == "worker" else ())):
        with pytest.raises(RedisError, match=r"(?i)permission|can't (run|access)|not allowed"):
            redis.execute_command(*command)


def test_nobody_comes_in_without_a_password(guarded: Guarded) -> None:
    once = Retry(NoBackoff(), 0)  # or redis-py would try again for seconds
    with pytest.raises(AuthenticationError):
        Redis(port=guarded.port, retry=once).get("lrserve:jobs")
    for user in ("api", "default", None):
        with pytest.raises(AuthenticationError):
            Redis(port=guarded.port, username=user, password="guessed", retry=once).ping()


def test_the_health_check_learns_nothing_more(guarded: Guarded) -> None:
    redis = Redis(port=guarded.port, username="health", password="any")
    assert redis.ping()
    with pytest.raises(NoPermissionError):
        redis.get("lrserve:jobs")


def test_the_store_works_as_the_api_s_user(guarded: Guarded) -> None:
    assert JobStore(guarded.client("api")).queues() is not None
