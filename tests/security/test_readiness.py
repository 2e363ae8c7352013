"""/readyz says whether jobs can be stored, and how the service stands only to whoever may know."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis import Redis
from redis.exceptions import RedisError

from lrcore.access.keys import KeyStore, Role
from lrcore.store.errors import StoreFull
from lrserve.client import Client
from lrserve.supervisor import free_port
from tests.conftest import SERVERS, until
from tests.factories import job_spec
from tests.security.conftest import api_process
from tests.stores import JobStore

BARE = {"status": "ready", "redis": "ok"}


@contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    """A Redis that writes no append-only file, as one must be to fail for want of a snapshot."""
    server = SERVERS["installed"]() or SERVERS["bundled"]()
    assert server is not None
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "3600 1")
    process = subprocess.Popen([str(server), *options], stdout=subprocess.DEVNULL)
    client = Redis(port=port, decode_responses=True)
    try:
        until(lambda: answers(client))
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(60)


def answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except RedisError:
        return False


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as client:
        yield client


@pytest.fixture(scope="module")
def http(redis: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client, without a key, of an API that asks for keys."""
    port = redis.connection_pool.connection_kwargs["port"]
    url = f"redis://127.0.0.1:{port}/0"
    with (
        api_process(tmp_path_factory.mktemp("api"), auth="true", redis_url=url) as served,
        httpx.Client(base_url=f"http://127.0.0.1:{served}", timeout=60) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def key(redis: Redis) -> str:
    return KeyStore(redis).create("ours", Role.READ)[1]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_a_good_key_readiness_is_all_that_is_said(http: httpx.Client, redis: Redis, key: str) -> None:
    JobStore(redis).present("worker-with-a-telling-name", ["gpu.h200", "default"], 60)
    details = BARE | {
        "workers": 1,
        "queues": {"default": {"waiting": 0, "workers": 1}, "gpu.h200": {"waiting": 0, "workers": 1}},
    }

    for headers in ({}, bearer("lrs_000000000000_wrong"), bearer("x"), {"Authorization": "Basic YTpi"}):
        answer = http.get("/readyz", headers=headers)
        assert (answer.status_code, answer.json()) == (200, BARE)
    assert http.get("/readyz", headers=bearer(key)).json() == details
    assert http.get("/readyz").json() == BARE


def test_the_python_client_takes_both_answers(http: httpx.Client, key: str) -> None:
    url = str(http.base_url)
    with Client(url, retries=0) as stranger, Client(url, key=key, retries=0) as known:
        assert (stranger.ready().workers, stranger.ready().queues) == (None, None)
        assert known.ready().workers is not None


def test_a_revoked_key_is_none(http: httpx.Client, redis: Redis) -> None:
    made, token = KeyStore(redis).create("theirs", Role.ADMIN)
    assert "workers" in http.get("/readyz", headers=bearer(token)).json()
    KeyStore(redis).revoke(made.id)

    until(lambda: http.get("/readyz", headers=bearer(token)).json() == BARE)


@contextmanager
def out_of_memory(redis: Redis, folder: Path) -> Iterator[None]:
    redis.config_set("maxmemory", "100kb")
    yield
    redis.config_set("maxmemory", "0")


@contextmanager
def without_replicas(redis: Redis, folder: Path) -> Iterator[None]:
    redis.config_set("min-replicas-to-write", 1)
    yield
    redis.config_set("min-replicas-to-write", 0)


@contextmanager
def read_only(redis: Redis, folder: Path) -> Iterator[None]:
    redis.replicaof("127.0.0.1", str(free_port()))
    yield
    redis.replicaof("NO", "ONE")


@contextmanager
def disk_full(redis: Redis, folder: Path) -> Iterator[None]:
    """To Redis it is the same whether the disk is full or a folder in the way: no snapshot can be written."""
    in_the_way = Path(redis.config_get("dir")["dir"]) / "dump.rdb"
    in_the_way.unlink(missing_ok=True)
    in_the_way.mkdir()
    redis.bgsave()
    until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "err")
    yield
    in_the_way.rmdir()
    redis.bgsave()
    until(lambda: redis.info("persistence")["rdb_last_bgsave_status"] == "ok")


@pytest.mark.parametrize("trouble", [out_of_memory, without_replicas, read_only, disk_full])
def test_it_is_not_ready_while_jobs_cannot_be_stored(
    trouble: object, http: httpx.Client, redis: Redis, key: str, tmp_path: Path
) -> None:
    assert callable(trouble)
    kind = "store-full" if trouble is out_of_memory else "store-unavailable"
    submitting = bearer(KeyStore(redis).create("ours", Role.SUBMIT)[1])
    until(lambda: http.get("/readyz").is_success)
    with trouble(redis, tmp_path):
        until(lambda: http.get("/readyz").status_code == 503)
        for headers in ({}, bearer(key)):
            answer = http.get("/readyz", headers=headers)
            assert (answer.status_code, answer.json()["type"]) == (503, f"urn:lrserve:problem:{kind}")
            assert "workers" not in answer.json()
        assert http.post("/v1/jobs", json=job_spec(), headers=submitting).status_code == 503
        assert http.get("/healthz").status_code == 200
    until(lambda: http.get("/readyz").is_success)

    assert http.post("/v1/jobs", json=job_spec(), headers=submitting).status_code == 202


def test_many_questions_are_few_writes(http: httpx.Client, redis: Redis) -> None:
    before = redis.info("commandstats").get("cmdstat_set", {"calls": 0})["calls"]
    for _ in range(100):
        assert http.get("/readyz").is_success

    took = redis.info("commandstats").get("cmdstat_set", {"calls": 0})["calls"] - before
    assert took < 60  # one a second, and this machine may be slow
    assert not [name for name in redis.scan_iter("lrserve:*probe*")]


@pytest.fixture
def of_each_kind(any_redis: str) -> Iterator[Redis]:
    client = Redis.from_url(any_redis, decode_responses=True)
    yield client
    for name, value in (("maxmemory", 0), ("min-replicas-to-write", 0)):
        client.config_set(name, value)
    client.replicaof("NO", "ONE")
    client.close()


@pytest.mark.parametrize("trouble", [out_of_memory, without_replicas, read_only])
def test_every_redis_is_found_out(trouble: object, of_each_kind: Redis, tmp_path: Path) -> None:
    assert callable(trouble)
    JobStore(of_each_kind).check_writable()

    with trouble(of_each_kind, tmp_path), pytest.raises(StoreFull if trouble is out_of_memory else RedisError):
        JobStore(of_each_kind).check_writable()
