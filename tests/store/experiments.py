"""Experiments in the store: made, reported on and read, as several tests do."""

from __future__ import annotations

import json
from typing import Any

from redis import Redis

from lrcore.jobs.experiment import ShardSpec
from lrcore.jobs.job import Best, Job, JobError, JobOptions
from lrcore.store.records import Claim, RunEpoch
from tests.factories import claimed_runs, epoch, experiment_of
from tests.stores import JobStore

STEPS = 12  # of a run
BROKE = JobError(type="error", message="it broke")
DIVERGED = JobError(type="diverged", message="the loss is not finite")


def create(store: JobStore, runs: int, **options: Any) -> Job:
    return store.create(experiment_of(runs), JobOptions(**options))


def held(store: JobStore, runs: int = 4, shards: int = 2, **options: Any) -> tuple[str, list[Claim]]:
    """An experiment all of whose runs are held, in shards of the same size."""
    job = create(store, runs, **options)
    return job.id, [claimed_runs(store, "ab"[i], runs // shards) for i in range(shards)]


def indices(claim: Claim) -> list[int]:
    assert isinstance(claim.spec, ShardSpec)
    return list(claim.spec.indices)


def run_epoch(run: int, index: int, accuracy: float = 0.5) -> RunEpoch:
    return RunEpoch(run, epoch(index, accuracy), Best(epoch=index, test_accuracy=accuracy))


def states(store: JobStore, job_id: str) -> list[str]:
    """Of the runs that have begun, in order."""
    views = store.runs(job_id)
    assert sorted(views) == list(range(len(views)))
    return [views[run].state.value for run in range(len(views))]


def events(redis: Redis, store: JobStore, job_id: str, kind: str | None = None) -> list[Any]:
    published = [(fields["type"], json.loads(fields["data"])) for _, fields in redis.xrange(store.events_key(job_id))]
    return [data for name, data in published if name == kind] if kind else [name for name, _ in published]


def contents(redis: Redis) -> dict[str, tuple[bytes, int]]:
    """All that Redis holds: each key's value, and how many milliseconds it has left; 0 for those that stay."""
    return {key: (redis.dump(key), max(0, redis.pttl(key))) for key in redis.scan_iter()}


def rewind(redis: Redis, before: dict[str, tuple[bytes, int]]) -> None:
    """Make Redis lose all that came later."""
    redis.flushall()
    for key, (value, left) in before.items():
        redis.restore(key, left, value)


def values(redis: Redis, without: str = "") -> dict[str, bytes]:
    return {key: value for key, (value, _) in contents(redis).items() if key != without}
