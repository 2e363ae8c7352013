"""What Redis 6.2, the embedded server until Valkey took its place, has left in the data folder.

    PYTHONPATH=. python -m tests.upgrade.test_redis_6_2 PATH/TO/redis-server

recorded it.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from lrcore.jobs.job import Best
from lrcore.jobs.states import State
from lrcore.store.connection import connect
from tests.conftest import SERVERS, redis_process
from tests.factories import LEASE, SPEC, claimed, epoch, progress
from tests.stores import JobStore
from tests.upgrade.record import dumped

RECORDED = Path(__file__).parent / "recorded_redis_6_2"
KEY = "once"  # the Idempotency-Key of the first job


def left_behind(store: JobStore) -> None:
    """Leave a job that has succeeded, one of another tenant that runs, and one that waits."""
    store.create(SPEC, key=KEY)
    done = claimed(store)
    store.add_epoch(done, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))
    store.finish(done, State.SUCCEEDED)
    store.of("vision").put("theirs", SPEC)
    store.beat(claimed(store), LEASE, progress(4))
    store.put("waiting", SPEC)


def kept(redis: Redis) -> dict[str, Any]:
    """All keys that do not expire, as JSON has them."""
    found = {key: value for key, value in dumped(redis).items() if redis.ttl(key) == -1}
    return dict(json.loads(json.dumps(found)))


def record(server: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with redis_process(Path(folder), server) as url:
            redis = connect(url)
            left_behind(JobStore(redis))
            store = kept(redis)
        RECORDED.mkdir(exist_ok=True)
        shutil.copy(Path(folder) / "appendonly.aof", RECORDED)
    (RECORDED / "store.json").write_text(json.dumps(store, indent=1) + "\n")


@pytest.mark.parametrize("kind", SERVERS)
def test_every_key_is_there_and_the_jobs_go_on(kind: str, tmp_path: Path) -> None:
    if (server := SERVERS[kind]()) is None:
        pytest.skip(f"no {kind} Redis server")
    shutil.copy(RECORDED / "appendonly.aof", tmp_path)

    with redis_process(tmp_path, server) as url:
        redis = connect(url)
        assert kept(redis) == json.loads((RECORDED / "store.json").read_text())
        go_on(JobStore(redis))

    with redis_process(tmp_path, server) as url:  # from the files that this server wrote
        assert JobStore(connect(url)).get("waiting").state == "succeeded"


def go_on(store: JobStore) -> None:
    assert [job.state for job in store.page()[0]] == ["queued", "succeeded"]
    assert store.of("vision").get("theirs").state == "running"
    claim = claimed(store)
    assert claim.id == "waiting"
    store.add_epoch(claim, LEASE, epoch(0), Best(epoch=0, test_accuracy=0.5))
    store.finish(claim, State.SUCCEEDED)


if __name__ == "__main__":
    record(Path(sys.argv[1]))
