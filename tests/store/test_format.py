"""A store and the version that reads it: older records are migrated, newer ones left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from lrcore.jobs.job import JobOptions
from lrcore.store import format as module
from lrcore.store.errors import KeyReused
from lrcore.store.format import FORMAT, StoreTooNew
from lrcore.store.queue import QUEUE
from lrcore.store.scripts import PREFIX, source
from lrserve.supervisor import free_port
from tests.conftest import redis_process, until
from tests.factories import SPEC
from tests.stores import JobStore

KEY = f"{PREFIX}format"
RENAMED = """for _, id in ipairs(redis.call('ZRANGE', P .. 'jobs', 0, -1)) do
  redis.call('HSET', P .. 'job:' .. id, 'importance', redis.call('HGET', P .. 'job:' .. id, 'priority'))
  redis.call('HDEL', P .. 'job:' .. id, 'priority')
end"""
DOUBLED = """for _, id in ipairs(redis.call('ZRANGE', P .. 'jobs', 0, -1)) do
  redis.call('HSET', P .. 'job:' .. id, 'importance', 2 * redis.call('HGET', P .. 'job:' .. id, 'importance'))
end"""


def migrate(redis: Redis, number: int, migrations: dict[int, str], prefix: str = PREFIX) -> None:
    """Bring the store to a number, as a version would that had these migrations."""
    table = ", ".join(f"[{before}] = function() {text} end" for before, text in migrations.items())
    text = source("format").replace("local migrations = {}", f"local migrations = {{{table}}}")
    assert text != source("format")
    redis.eval(text, 0, prefix, number)


def test_an_older_store_is_migrated_once_over_all_steps(store: JobStore, redis: Redis) -> None:
    job = store.create(SPEC, JobOptions(priority=4))
    for _ in range(2):
        migrate(redis, FORMAT + 2, {FORMAT: RENAMED, FORMAT + 1: DOUBLED})

    assert redis.hmget(f"{PREFIX}job:{job.id}", "priority", "importance") == [None, "8"]
    assert redis.get(KEY) == str(FORMAT + 2)


def test_a_store_without_a_number_is_of_the_first_format(store: JobStore, redis: Redis) -> None:
    job = store.create(SPEC, JobOptions(priority=4))
    assert redis.get(KEY) is None
    migrate(redis, 2, {1: RENAMED})

    assert redis.hget(f"{PREFIX}job:{job.id}", "importance") == "4"


def test_nothing_is_read_from_a_newer_store_nor_written_to_it(redis: Redis) -> None:
    redis.set(KEY, FORMAT + 1)
    before = redis.dbsize()

    with pytest.raises(StoreTooNew, match=f"format {FORMAT + 1}, and this version of lrserve knows formats up to"):
        JobStore(redis).create(SPEC)
    with pytest.raises(StoreTooNew):
        JobStore(redis).page()
    with pytest.raises(StoreTooNew):
        JobStore(redis).claim([QUEUE], "a", 30)
    assert redis.dbsize() == before


def test_an_older_process_notices_that_its_store_was_migrated(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 0.0)
    store = JobStore(redis)
    store.create(SPEC)
    migrate(redis, FORMAT + 1, {FORMAT: ""})

    with pytest.raises(StoreTooNew):
        store.create(SPEC)


def rewritten(redis: Redis, job_id: str) -> None:
    """The record as a version would have written it that has the fields in another order, and one fewer."""
    key = f"{PREFIX}job:{job_id}"
    spec = json.loads(redis.hget(key, "spec") or "")
    del spec["label_smoothing"]
    redis.hset(key, mapping={"spec": json.dumps(dict(reversed(spec.items()))), "content": "of another text"})


def test_a_put_finds_its_job_however_an_older_version_has_written_it(store: JobStore, redis: Redis) -> None:
    made, _ = store.put("mine", SPEC)
    rewritten(redis, "mine")

    again, new = store.put("mine", SPEC)

    assert (again.created_at, new) == (made.created_at, False)


def test_a_request_sent_again_finds_its_job_however_it_is_written(store: JobStore, redis: Redis) -> None:
    made = store.create(SPEC, key="once")
    rewritten(redis, made.id)
    redis.hset(f"{PREFIX}request:once", "content", "of another text")

    assert store.create(SPEC, key="once").id == made.id
    with pytest.raises(KeyReused):
        store.create(SPEC, JobOptions(priority=1), key="once")


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a process whose store belongs to a newer version."""
    with redis_process(tmp_path_factory.mktemp("redis")) as url:
        Redis.from_url(url).set(KEY, FORMAT + 1)
        yield {"LRSERVE_REDIS_URL": url, "LRSERVE_REAP_SECONDS": "0.1", "PATH": "/usr/bin"}


@pytest.mark.slow
def test_a_worker_that_is_older_than_the_store_ends_and_says_why(newer: dict[str, str], tmp_path: Path) -> None:
    worker = [sys.executable, "-m", "lrserve.worker"]
    done = subprocess.run(worker, env=newer | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=False)

    assert done.returncode == 78
    assert f"format {FORMAT + 1}" in done.stderr


@pytest.mark.slowest
@pytest.mark.parametrize("auth", ["false", "true"])
def test_an_api_that_is_older_than_the_store_serves_curves_alone(
    newer: dict[str, str], tmp_path: Path, auth: str
) -> None:
    port, log = free_port(), tmp_path / "log"
    with log.open("w") as stderr:
        api = subprocess.Popen(
            [sys.executable, "-m", "lrserve.api", "--port", str(port)],
            env=newer | {"HOME": str(tmp_path), "LRSERVE_AUTH": auth},
            stderr=stderr,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            until(lambda: answers(http))
            for path in ("/readyz", "/v1/jobs") if auth == "false" else ():
                answer = http.get(path)
                assert (answer.status_code, answer.json()["type"]) == (503, "urn:lrserve:problem:store-too-new")
                assert f"format {FORMAT + 1}" in answer.json()["detail"]
                assert http.get("/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=20").status_code == 200
            until(lambda: f"format {FORMAT + 1}" in log.read_text())
    finally:
        api.terminate()
        api.wait(60)

    assert "Traceback" not in log.read_text()


def answers(http: httpx.Client) -> bool:
    try:
        return http.get("/healthz").is_success
    except httpx.TransportError:
        return False
