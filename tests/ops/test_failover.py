"""A Redis that is found through Sentinels, and submits that wait for its replica."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis.exceptions import RedisError

from lrcore.access.keys import KeyStore
from lrcore.jobs.job import JobOptions
from lrcore.service.settings import Settings
from lrcore.store.client import ClientStore
from lrcore.store.connection import connect, connect_async, connect_pubsub, connect_reader
from lrcore.store.errors import KeyReused, NotReplicated
from lrcore.store.queue import QUEUE, broker_list
from lrserve.api.middleware.rates import Rates
from lrserve.api.notifier import Notifier
from lrserve.api.settings import ApiSettings
from lrserve.checks import Finding, Level
from lrserve.checks import store as checks
from lrserve.supervisor import free_port
from tests.conftest import until
from tests.factories import SPEC, job_spec
from tests.failover import FailoverRedis, failover_redis

PASSWORD, SENTINEL_PASSWORD = "a-password-of-servers", "a-password-of-sentinels"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FailoverRedis]:
    folder = tmp_path_factory.mktemp("failover")
    with failover_redis(folder, password=PASSWORD, sentinel_password=SENTINEL_PASSWORD) as redis:
        yield redis


@contextmanager
def frozen(redis: FailoverRedis) -> Iterator[None]:
    """The replica stands still: Redis does not know it, and counts it among its replicas."""
    [replica] = [port for port in redis.servers if port != redis.primary()]
    redis.signal(replica, signal.SIGSTOP)
    try:
        yield
    finally:
        redis.signal(replica, signal.SIGCONT)


def test_every_client_finds_the_primary_through_the_sentinels(redis: FailoverRedis) -> None:
    with connect(redis.url) as client:
        client.set("lrserve:known", "yes")
        Notifier(Settings(redis_url=redis.url)).notify(QUEUE)
        assert client.llen(broker_list(QUEUE)) == 1
        assert client.connection_pool.get_master_address()[1] == redis.primary()

    async def asynchronous() -> None:
        for made in (connect_async(redis.url, 1.0), connect_reader(redis.url), connect_pubsub(redis.url)):
            async with made as client:
                assert await client.get("lrserve:known") == "yes"
        rates = Rates(redis.url)
        async with rates.redis:
            rate = await rates.hit("tenant", 10)
        assert rate is not None
        assert rate.left == 9

    asyncio.run(asynchronous())


def test_the_command_makes_keys_through_the_sentinels(redis: FailoverRedis) -> None:
    environment = os.environ | {"LRSERVE_REDIS_URL": redis.url}
    command = [sys.executable, "-m", "lrserve", "keys", "create", "by-sentinel", "--json"]

    subprocess.run(command, env=environment, check=True, capture_output=True)

    with connect(redis.url) as client:
        assert [key.tenant for key in KeyStore(client).all()] == ["by-sentinel"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("/jobs/", "/others/"), "'others'"),
        ((SENTINEL_PASSWORD, "wrong"), "no Sentinel names the primary"),
        ((f":{PASSWORD}@", ":wrong@"), "refuses the user or the password"),
    ],
)
def test_doctor_says_what_is_wrong_with_the_way_to_the_primary(
    redis: FailoverRedis, change: tuple[str, str], why: str
) -> None:
    found = next(checks.check(ApiSettings(redis_url=redis.url.replace(*change)), exposed=False))

    assert (found.name, found.level) == ("redis", Level.PROBLEM)
    assert why in found.found
    assert "LRSERVE_REDIS_URL" in found.fix
    assert "assword-of" not in found.found
    assert "redis.client" not in found.found


def replicas(redis: FailoverRedis, wanted: int) -> Finding:
    """What doctor says of the replicas."""
    found = checks.check(ApiSettings(redis_url=redis.url, redis_wait_replicas=wanted), exposed=False)
    return next(each for each in found if each.name == "redis replicas")


def test_doctor_counts_the_replicas(redis: FailoverRedis) -> None:
    assert replicas(redis, 1).level is Level.OK
    assert replicas(redis, 2).level is Level.PROBLEM
    assert "LRSERVE_REDIS_WAIT_REPLICAS" in replicas(redis, 2).fix


def test_a_submit_counts_once_a_replica_has_it(redis: FailoverRedis) -> None:
    with connect(redis.url) as client:
        patient = ClientStore(client, wait_replicas=1)
        made = patient.create(SPEC, key="once")
        chosen, new = patient.put("chosen", SPEC)

        [replica] = [port for port in redis.servers if port != redis.primary()]
        assert redis.server(replica).exists(f"lrserve:job:{made.id}", f"lrserve:job:{chosen.id}") == 2
        assert new
        assert patient.create(SPEC, key="once").id == made.id
        assert patient.put("chosen", SPEC) == (chosen, False)
        with pytest.raises(KeyReused):
            patient.create(SPEC, JobOptions(priority=1), key="once")


def test_a_submit_that_no_replica_has_is_refused_as_often_as_it_comes(redis: FailoverRedis) -> None:
    with connect(redis.url) as client:
        patient = ClientStore(client, wait_replicas=1)
        with frozen(redis):
            for _ in range(2):  # the second one has nothing to write, and is no safer for it
                with pytest.raises(NotReplicated, match="Idempotency-Key"):
                    patient.create(SPEC, key="later")
                with pytest.raises(NotReplicated, match="Idempotency-Key"):
                    patient.put("later", SPEC)
        made = until(lambda: accepted(patient))

        assert made == ClientStore(client).create(SPEC, key="later").id
        with pytest.raises(NotReplicated, match="fewer than 2 replicas"):
            ClientStore(client, wait_replicas=2).create(SPEC)


def accepted(store: ClientStore) -> str | None:
    """The job's id, once a replica has it."""
    try:
        return store.create(SPEC, key="later").id
    except NotReplicated:
        return None


@pytest.mark.slow
def test_the_api_answers_503_and_takes_the_same_request_again(redis: FailoverRedis, tmp_path: Path) -> None:
    port = free_port()
    settings = {"REDIS_URL": redis.url, "REDIS_WAIT_REPLICAS": "1", "HOME": str(tmp_path), "AUTH": "false"}
    api = subprocess.Popen(
        [sys.executable, "-m", "lrserve.api", "--port", str(port)],
        env=os.environ | {f"LRSERVE_{name}": value for name, value in settings.items()},
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Idempotency-Key": "api"}) as http:
            until(lambda: answers(http))
            with frozen(redis):
                refused = http.post("/v1/jobs", json=job_spec())
            accepted = until(lambda: answer if (answer := http.post("/v1/jobs", json=job_spec())).is_success else None)
            again = http.post("/v1/jobs", json=job_spec())
    finally:
        api.terminate()
        api.wait(60)

    assert (refused.status_code, refused.json()["type"]) == (503, "urn:lrserve:problem:not-replicated")
    assert int(refused.headers["retry-after"]) > 0
    assert "Idempotency-Key" in refused.json()["detail"]
    assert (accepted.status_code, again.json()["id"]) == (202, accepted.json()["id"])


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code in (200, 503)
    except httpx.TransportError:
        return False


def test_clients_go_on_with_the_replica_that_takes_over(tmp_path: Path) -> None:
    with failover_redis(tmp_path / "redis") as redis, connect(redis.url) as client:
        notifier = Notifier(Settings(redis_url=redis.url))
        notifier.notify(QUEUE)
        made = ClientStore(client, wait_replicas=1).create(SPEC, key="before")

        redis.kill(redis.primary())

        def known() -> bool:
            try:
                return ClientStore(client).create(SPEC, key="before").id == made.id
            except RedisError:
                return False

        def notified() -> bool:
            try:
                notifier.notify(QUEUE)
            except Exception:  # kombu raises its own and redis'
                return False
            return True

        until(known)
        before = client.llen(broker_list(QUEUE))
        until(notified)
        assert client.llen(broker_list(QUEUE)) > before
