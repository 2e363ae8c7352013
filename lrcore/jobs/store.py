"""Where jobs live: one Redis, the truth about every job.

Who may write: anyone creates and cancels; a running job is written by the worker that claimed it and by nobody
else. A claim hands out a random token, and every later write of that worker carries it. A write with a token that
is no longer the job's changes nothing and raises LeaseLost: so a worker that was only frozen cannot overwrite its
successor.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from lrcore.errors import LrcoreError
from lrcore.jobs import scripts
from lrcore.jobs.ids import new_id
from lrcore.jobs.job import Best, Epoch, Job, JobError, Progress, rfc3339
from lrcore.jobs.queue import QUEUE, broker_list
from lrcore.jobs.spec import JobSpec
from lrcore.jobs.states import State

PREFIX = "lrserve:"


class JobNotFound(LrcoreError):
    """There is no such job."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id[:80]!r}")


class IllegalMove(LrcoreError):
    """The job's state does not allow this."""

    def __init__(self, job_id: str, state: str, wanted: str) -> None:
        super().__init__(f"job {job_id} is {state} and cannot be {wanted}")
        self.state = state


class KeyReused(LrcoreError):
    """The idempotency key belongs to another request."""


class LeaseLost(LrcoreError):
    """The worker no longer holds the job: its lease ran out, or the record is gone."""


class StoreFault(LrcoreError):
    """The records do not fit together: trying again would not help."""


@dataclass(frozen=True)
class Claim:
    """A job in a worker's hands."""

    id: str
    token: str
    attempt: int
    spec: JobSpec


class JobStore:
    """Jobs in Redis. Safe to share between threads.

    Every method raises redis.RedisError if Redis does not answer.
    """

    def __init__(self, redis: Redis, prefix: str = PREFIX) -> None:
        self._redis = redis
        self._prefix = prefix
        self._scripts: dict[str, Callable[..., Any]] = {}

    def ping(self) -> None:
        """Ask Redis for a sign of life."""
        self._redis.ping()

    def create(
        self,
        spec: JobSpec,
        queue: str = QUEUE,
        *,
        labels: Sequence[str] = (),
        priority: int = 0,
        key: str = "",
    ) -> Job:
        """Put a new job into its queue, behind those with the same priority or a higher one.

        Args:
            key: names the request. Sent again within a day, it makes no second job, but returns the first one.

        Raises:
            KeyReused: the key has come with another job.
        """
        text, labelled = spec.model_dump_json(), json.dumps(list(labels))
        content = hashlib.sha256(json.dumps([text, queue, labelled, priority]).encode()).hexdigest()
        progress = start_of(spec).model_dump_json()
        job_id = self._run(
            scripts.CREATE, new_id(), "training", text, queue, progress, labelled, priority, key, content
        )
        if not job_id:
            raise KeyReused(f"the key {key[:80]!r} was used for another job")
        return self.get(job_id)

    def get(self, job_id: str) -> Job:
        """The job as it is now. Raises JobNotFound."""
        record: dict[str, str] = self._redis.hgetall(self._key(job_id))  # type: ignore[assignment]
        if not record:
            raise JobNotFound(job_id)
        return _job(record, self._redis.zrank(self._queue(record), job_id))

    def page(
        self,
        *,
        state: State | None = None,
        label: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> tuple[list[Job], str | None]:
        """Jobs, newest first, and the cursor of the next page or None. Every page costs the same, however far."""
        index = self._prefix + (f"label:{label}" if label else "jobs") + (f":{state}" if state else "")
        below = f"({cursor}" if cursor else "+"
        ids: list[str] = self._redis.zrange(  # type: ignore[assignment]
            index, below, "-", desc=True, bylex=True, offset=0, num=limit + 1
        )
        with self._redis.pipeline(transaction=False) as pipe:
            for job_id in ids[:limit]:
                pipe.hgetall(self._key(job_id))
            records = [record for record in pipe.execute() if record]
            for record in records:
                pipe.zrank(self._queue(record), record["id"])
            ranks = pipe.execute() if records else []
        jobs = [_job(record, rank) for record, rank in zip(records, ranks, strict=True)]
        return jobs, ids[limit - 1] if len(ids) > limit else None

    def epochs(self, job_id: str) -> list[Epoch]:
        """Every finished epoch, in order. Raises JobNotFound."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.exists(self._key(job_id))
            pipe.lrange(f"{self._prefix}epochs:{job_id}", 0, -1)
            exists, rows = pipe.execute()
        if not exists:
            raise JobNotFound(job_id)
        return [Epoch.model_validate_json(row) for row in rows]

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued job, or ask the worker of a running one to stop; a cancelled one stays as it is.

        Raises JobNotFound, and IllegalMove if the job ended otherwise.
        """
        return self._asked(scripts.CANCEL, job_id, "cancelled", {"cancelled", "requested"})

    def pause(self, job_id: str) -> Job:
        """Take a queued job out of its queue, or ask the worker of a running one to stop with a checkpoint.

        Raises JobNotFound, and IllegalMove if the job has ended or is about to be cancelled.
        """
        return self._asked(scripts.PAUSE, job_id, "paused", {"paused", "requested"})

    def resume(self, job_id: str) -> Job:
        """Put a paused job back into its queue, at its old place; take back a pause that was only asked for.

        A job that is queued or runs anyway stays as it is. Raises JobNotFound, and IllegalMove if the job has ended.
        """
        return self._asked(scripts.RESUME, job_id, "resumed", {"queued", "running"})

    def prioritize(self, job_id: str, priority: int) -> Job:
        """Give a job another priority. Raises JobNotFound, and IllegalMove if it has ended."""
        return self._asked(scripts.PRIORITIZE, job_id, "prioritized", {"changed"}, priority)

    def forget(self, job_id: str) -> None:
        """Remove an ended job with its epochs and events. Raises JobNotFound, and IllegalMove if it has not ended."""
        outcome = self._run(scripts.FORGET, job_id)
        if outcome == "missing":
            raise JobNotFound(job_id)
        if outcome != "forgotten":
            raise IllegalMove(job_id, outcome, "deleted")

    def _asked(self, script: str, job_id: str, wanted: str, good: set[str], *arguments: int) -> Job:
        outcome = self._run(script, job_id, *arguments)
        if outcome == "missing":
            raise JobNotFound(job_id)
        if outcome not in good:
            raise IllegalMove(job_id, outcome, wanted)
        return self.get(job_id)

    def claim(self, queue: str, worker: str, lease_seconds: float) -> Claim | None:
        """Take the first waiting job of a queue; None if none waits."""
        token = secrets.token_hex(16)
        taken = self._run(scripts.CLAIM, queue, worker, token, _ms(lease_seconds))
        if not taken:
            return None
        job_id, spec, attempt = taken
        return Claim(job_id, token, int(attempt), JobSpec.model_validate_json(spec))

    def beat(self, claim: Claim, lease_seconds: float, progress: Progress | None) -> str:
        """Keep the lease and say how far the job is, if known. Returns what is wanted of it: cancel, pause or nothing.

        Raises LeaseLost.
        """
        text = progress.model_dump_json() if progress else ""
        return self._still_held(claim, self._run(scripts.BEAT, claim.id, claim.token, _ms(lease_seconds), text))

    def add_epoch(self, claim: Claim, lease_seconds: float, epoch: Epoch, best: Best) -> str:
        """Record a finished epoch. Returns what is wanted of the job, as `beat` does.

        Raises LeaseLost, and StoreFault if the epoch before is missing.
        """
        row = epoch.model_dump_json()
        return self._still_held(
            claim,
            self._run(
                scripts.EPOCH, claim.id, claim.token, _ms(lease_seconds), epoch.epoch, row, best.model_dump_json()
            ),
        )

    def finish(self, claim: Claim, state: State, error: JobError | None = None) -> str:
        """End the job, or with QUEUED or PAUSED give it back, to where it is wanted by then. Raises LeaseLost."""
        text = error.model_dump_json() if error else ""
        return self._still_held(claim, self._run(scripts.FINISH, claim.id, claim.token, state, text))

    def reap(self, max_losses: int) -> list[str]:
        """Put running jobs whose lease ran out back in their queue, or end them. Returns their ids."""
        return list(self._run(scripts.REAP, max_losses))

    def abandon(self, worker: str, max_losses: int) -> list[str]:
        """What `reap` does, at once, for the jobs that an earlier process of this worker held."""
        return list(self._run(scripts.ABANDON, worker, max_losses))

    def present(self, worker: str, seconds: float) -> None:
        """Say that a worker lives, for the next `seconds`."""
        self._run(scripts.PRESENT, worker, _ms(seconds))

    def absent(self, worker: str) -> None:
        """Say that a worker is gone."""
        self._redis.zrem(f"{self._prefix}workers", worker)

    def workers(self) -> int:
        """How many workers live."""
        return int(self._run(scripts.WORKERS))

    def missing_rings(self, queue: str = QUEUE) -> int:
        """Waiting jobs of a queue that no message on the broker announces."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.zcard(f"{self._prefix}queue:{queue}")
            pipe.llen(broker_list(queue))
            waiting, ringing = map(int, pipe.execute())
        return max(0, waiting - ringing)

    def events_key(self, job_id: str) -> str:
        """The Redis stream of a job's events: fields `type` and `data` (JSON)."""
        return f"{self._prefix}events:{job_id}"

    def _queue(self, record: dict[str, str]) -> str:
        return f"{self._prefix}queue:{record['queue']}"

    def _key(self, job_id: str) -> str:
        return f"{self._prefix}job:{job_id}"

    def _run(self, script: str, *arguments: str | int) -> Any:
        call = self._scripts.get(script)
        if call is None:
            call = self._scripts[script] = self._redis.register_script(scripts.COMMON + script)
        try:
            return call(args=[self._prefix, *arguments])
        except ResponseError as error:
            kind, _, message = str(error).partition(" ")
            if kind != "FAULT":
                raise
            raise StoreFault(message) from error

    @staticmethod
    def _still_held(claim: Claim, answer: Any) -> str:
        standing, want = answer
        if standing != "held":
            raise LeaseLost(f"job {claim.id} is {standing}: its token is no longer that of attempt {claim.attempt}")
        return str(want)


def start_of(spec: JobSpec) -> Progress:
    """The progress of a job that has not begun."""
    steps = spec.epochs * spec.steps_per_epoch
    return Progress(epoch=0, epochs=spec.epochs, step=0, steps=steps, fraction=0.0, eta_seconds=None)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _job(record: dict[str, str], rank: Any) -> Job:
    def parsed(field: str) -> Any:
        return json.loads(record[field]) if field in record else None

    return Job(
        id=record["id"],
        kind=record["kind"],
        state=State(record["state"]),
        spec=parsed("spec"),
        labels=parsed("labels") or [],
        priority=int(record.get("priority", 0)),
        position=rank,
        attempt=int(record["attempt"]),
        progress=parsed("progress"),
        metrics=parsed("metrics"),
        best=parsed("best"),
        error=parsed("error"),
        created_at=rfc3339(int(record["created_at"])) or "",
        started_at=rfc3339(parsed("started_at")),
        finished_at=rfc3339(parsed("finished_at")),
    )
