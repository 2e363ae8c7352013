"""What every role of the store may read."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from typing import Any, Self

from redis import Redis

from lrcore.jobs.job import Best, Epoch, GroupingView, Job, JobError
from lrcore.jobs.states import RunState
from lrcore.store.errors import JobNotFound
from lrcore.store.records import RunView, job_from
from lrcore.store.scripts import PREFIX, ScriptRunner


class JobReader:
    """Jobs in one Redis, the truth about every job. Safe to share between threads.

    Every method raises redis.RedisError if Redis does not answer; those that run a script raise StoreTooNew if a newer
    version has written the store. A store that is bound to a tenant by `of` finds that tenant's jobs alone.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis, self._scripts = redis, ScriptRunner(redis)
        self._tenant = ""  # any

    def of(self, tenant: str) -> Self:
        """Return the store as a tenant sees it."""
        bound = copy.copy(self)
        bound._tenant = tenant
        return bound

    def check_format(self) -> None:
        """Migrate the records of an older version."""
        self._scripts.check_format()

    def get(self, job_id: str) -> Job:
        """Return the job as it is now. Raises JobNotFound."""
        view = self._scripts.run("read", job_id, self._tenant)
        if not view:
            raise JobNotFound(job_id)
        return job_from(view)

    def epochs(self, job_id: str) -> list[Epoch]:
        """Return every finished epoch, in order. Raises JobNotFound."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hexists(f"{PREFIX}job:{job_id}", "spec")  # a shard of an experiment has none
            pipe.lrange(f"{PREFIX}epochs:{job_id}", 0, -1)
            exists, rows = pipe.execute()
        if not exists:
            raise JobNotFound(job_id)
        return [Epoch.model_validate_json(row) for row in rows]

    def runs(self, job_id: str) -> dict[int, RunView]:
        """Return the runs of an experiment that have begun."""
        with self._redis.pipeline(transaction=True) as pipe:
            for what in ("states", "metrics", "best", "errors", "training"):
                pipe.hgetall(f"{PREFIX}runs:{job_id}:{what}")
            states, metrics, best, errors, training = pipe.execute()
        return {
            int(run): RunView(
                RunState(state),
                Epoch.model_validate_json(metrics[run]) if run in metrics else None,
                Best.model_validate_json(best[run]) if run in best else None,
                JobError.model_validate_json(errors[run]) if run in errors else None,
                GroupingView.model_validate_json(training[run]) if run in training else None,
            )
            for run, state in states.items()
        }

    def run_epochs(self, job_id: str, runs: Sequence[int]) -> list[list[Epoch]]:
        """Return every finished epoch of some runs of an experiment, in order."""
        return [[Epoch.model_validate_json(row) for row in rows] for rows in self._epoch_rows(job_id, runs)]

    def run_figures(self, job_id: str, runs: Sequence[int], figure: str) -> list[list[Any]]:
        """Return one figure of every finished epoch of some runs, by its name in Epoch; quicker than whole epochs."""
        return [[json.loads(row)[figure] for row in rows] for rows in self._epoch_rows(job_id, runs)]

    def events_key(self, job_id: str) -> str:
        """Return the Redis stream of a job's events: fields `type` and `data` (JSON)."""
        return f"{PREFIX}events:{job_id}"

    def _epoch_rows(self, job_id: str, runs: Sequence[int]) -> list[list[str]]:
        with self._redis.pipeline(transaction=False) as pipe:
            for run in runs:
                pipe.lrange(f"{PREFIX}epochs:{job_id}/{run}", 0, -1)
            found: list[list[str]] = pipe.execute()
        return found
