"""Where jobs live: one Redis, the truth about every job.

Who may write: anyone creates and cancels; a running job is written by the worker that claimed it and by nobody
else. A claim hands out a random token, and every later write of that worker carries it. A write with a token that
is no longer the job's changes nothing and raises LeaseLost: so a worker that was only frozen cannot overwrite its
successor.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import ValidationError
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError

from lrcore import plugins, traces
from lrcore.errors import LrcoreError
from lrcore.jobs import scripts
from lrcore.jobs.format import StoreFormat
from lrcore.jobs.ids import NOBODY, display, new_id
from lrcore.jobs.job import Best, Epoch, GroupingView, Job, JobError, JobOptions, JobSummary, Progress, rfc3339
from lrcore.jobs.job_spec import JobSpec
from lrcore.jobs.job_types import UnknownKind, kind_of
from lrcore.jobs.queue import QUEUE, broker_list, hardware_of, queue_for
from lrcore.jobs.service_stats import ServiceStats, WorkerStats, readable
from lrcore.jobs.states import RunState, State

PREFIX = "lrserve:"
FULL = 0.9  # of Redis' memory: beyond it no job is accepted, so that those that run can report to their end
SPEC_BYTES = 2**20  # of a job's spec as JSON: Redis keeps it until the job is deleted
RECORD_BYTES = 2048  # of a short job in Redis beside its spec, about: 3 kB were measured, with a spec of 0.7 kB
SHARE = 0.25  # of Redis' memory: what a tenant's records may take if no limit says otherwise
READING_SECONDS = 120.0  # of a lease while a job is read: ten times what the largest spec takes, with all its rates
TAKEN = "the worker had taken the job"  # the first sign of life
DRAINING = "draining"  # the sign of life of a worker that was asked to end
ENOUGH_MESSAGES = 100  # on the broker, to keep its workers busy between two rounds


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


class JobExists(LrcoreError):
    """The chosen id belongs to another job."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is another job {job_id!r} already; a job cannot be changed, but cloned or deleted")


class LimitReached(LrcoreError):
    """The tenant has as much as it may have."""

    def __init__(self, name: str, most: str) -> None:
        super().__init__(f"the limit {name} is reached: {most} {WAY_OUT[name]}")
        self.name = name


WAY_OUT = {
    "queued": "jobs that wait or are paused; try again when one has begun, or cancel some",
    "stored_bytes": "bytes of files and checkpoints; delete ended jobs, or cancel paused ones",
    "record_bytes": "bytes of jobs' records; delete ended jobs",
}


class JobTooLarge(LrcoreError):
    """The job is larger than its tenant may submit at any time. `field`: of its spec, what its size hangs on most."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class StoreFull(LrcoreError):
    """Redis has no memory left for more jobs."""


class LeaseLost(LrcoreError):
    """The worker no longer holds the job: its lease ran out, or the record is gone."""


class StoreFault(LrcoreError):
    """The records do not fit together: trying again would not help."""


class Gap(LrcoreError):
    """Redis has lost epochs of the job. The worker must resend epochs from `epoch` on; of a shard, those of `run`."""

    def __init__(self, job_id: str, epoch: int, run: int | None = None) -> None:
        super().__init__(f"of {f'run {run} of ' if run is not None else ''}job {job_id}, epoch {epoch} is missing")
        self.epoch, self.run = epoch, run


@dataclass(frozen=True)
class Claim:
    """A job in a worker's hands."""

    id: str
    token: str
    attempt: int
    spec: JobSpec
    queue: str = QUEUE
    more: bool = False  # of an experiment there are runs that nobody has yet
    trace: str = ""  # W3C traceparent of the request that made it, if that was traced
    waited: tuple[int, int] = (0, 0)  # of a traced job, from when to when, in ms since 1970 by Redis' clock


class RunEpoch(NamedTuple):
    """A finished epoch of a run of an experiment."""

    run: int
    epoch: Epoch
    best: Best


class RunEnd(NamedTuple):
    """What became of a run of an experiment."""

    run: int
    state: RunState
    error: JobError | None = None
    training: GroupingView | None = None


class Judgement(NamedTuple):
    """Whether some runs of an experiment go on.

    Attributes:
        key: names the question.
    """

    key: str
    runs: range
    goes_on: bool


@dataclass(frozen=True)
class RunView:
    """A run of an experiment: where it is, its last epoch and its best one, why it failed, and how it was trained."""

    state: RunState
    metrics: Epoch | None = None
    best: Best | None = None
    error: JobError | None = None
    training: GroupingView | None = None


class NewJob(NamedTuple):
    """A job that is wanted; arguments of JobStore.create. Without a tenant it is the store's.

    `trace` is the W3C traceparent of whoever wants it, if that is traced.
    """

    spec: JobSpec
    options: JobOptions
    key: str = ""
    tenant: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Queue:
    """What there is to do, and who does it.

    Attributes:
        waiting: jobs.
        workers: that serve the queue and live.
        messages: on the broker.
    """

    name: str
    waiting: int
    workers: int
    messages: int

    @property
    def missing_notifications(self) -> int:
        """Messages that must be sent so that every waiting job is announced, or as many as can matter."""
        return max(0, min(self.waiting, max(ENOUGH_MESSAGES, 2 * self.workers)) - self.messages)


class JobStore:
    """Jobs in Redis. Safe to share between threads.

    Every method raises redis.RedisError if Redis does not answer. What a job's client does, it does for one tenant's
    jobs if the store is bound to one by `of`: all others are not found.
    """

    def __init__(self, redis: Redis, prefix: str = PREFIX) -> None:
        self._redis = redis
        self._prefix = prefix
        self._format = StoreFormat(redis, prefix)
        self._scripts: dict[str, Callable[..., Any]] = {}
        self._room_until = self._writable_until = 0.0
        self._share = 0
        self._tenant = ""  # any

    def of(self, tenant: str) -> JobStore:
        """The store as a tenant sees it."""
        bound = copy.copy(self)
        bound._tenant = tenant
        return bound

    def ping(self) -> None:
        """Ask Redis for a sign of life."""
        self._redis.ping()

    def check_writable(self) -> None:
        """Find out, by a write once a second, whether jobs can be stored.

        Raises:
            StoreFull: Redis has no memory left for more jobs.
            redis.RedisError: it is away, a replica, without the replicas it needs, or cannot write to its disk.
        """
        self._check_room()
        if time.monotonic() > self._writable_until:
            try:
                self._run(scripts.PROBE)
            except OutOfMemoryError as error:
                raise StoreFull(f"nothing can be stored: {error}") from error
            self._writable_until = time.monotonic() + 1

    def check_format(self) -> None:
        """Migrate the records of an older version. Raises StoreTooNew, as every other method does."""
        self._format.check()

    def create(self, spec: JobSpec, options: JobOptions | None = None, *, key: str = "") -> Job:
        """Put a new job into its queue, behind those with the same priority or a higher one.

        Args:
            key: names the request. Sent again within a day, it makes no second job, but returns the first one.

        Raises:
            KeyReused: the key has come with another job.
            StoreFull, LimitReached, JobTooLarge: nothing was stored.
        """
        [made] = self.create_many([NewJob(spec, options or JobOptions(), key, trace=traces.current())])
        if isinstance(made, Exception):
            raise made
        return made

    def create_many(self, wanted: Sequence[NewJob]) -> list[Job | Exception]:
        """Do what `create` does for each of them, in one round trip. What cannot be made is an exception."""
        self._check_room()
        with self._redis.pipeline(transaction=False) as pipe:
            for each in wanted:
                tenant = each.tenant or self._tenant or NOBODY
                fields = _creation(
                    each.spec, each.options, each.key, tenant=tenant, trace=each.trace, share=self._share
                )
                self._run(scripts.CREATE, *fields, client=pipe)
            answers = pipe.execute(raise_on_error=False)
        return [_created(answer, each) for each, answer in zip(wanted, answers, strict=True)]

    def put(self, job_id: str, spec: JobSpec, options: JobOptions | None = None) -> tuple[Job, bool]:
        """Put a new job under a chosen id into its queue, unless it is there already.

        Returns:
            The job, and whether it is new.

        Raises:
            JobExists: there is another job with this id.
            StoreFull, LimitReached, JobTooLarge: nothing was stored.
        """
        self._check_room()
        options = options or JobOptions()
        try:
            tenant = self._tenant or NOBODY
            inner = job_id if tenant == NOBODY or ":" in job_id else f"{tenant}:{job_id}"
            fields = _creation(spec, options, "", inner, tenant=tenant, trace=traces.current(), share=self._share)
            answer = self._run(scripts.CREATE, *fields)
        except OutOfMemoryError as error:
            raise StoreFull(f"nothing was stored: {error}") from error
        if answer[0] == "taken":
            if answer[1] and _is(job := _job(answer[1]), spec, options):
                return job, False
            raise JobExists(job_id)
        if refusal := _refusal(answer, spec):
            raise refusal
        return _job(answer[1]), answer[0] == "made"

    def check_size(self, spec: JobSpec) -> None:
        """Find out whether the tenant may submit so large a job at all. Raises JobTooLarge, as `create` and `put`."""
        fields = (part for item in _record(spec).items() for part in item)
        answer = self._run(scripts.FITS, self._tenant or NOBODY, SPEC_BYTES, *fields)
        if answer and (refusal := _refusal(answer, spec)):
            raise refusal

    def get(self, job_id: str) -> Job:
        """The job as it is now. Raises JobNotFound."""
        view = self._run(scripts.READ, job_id, self._tenant)
        if not view:
            raise JobNotFound(job_id)
        return _job(view)

    def page(
        self,
        *,
        state: State | None = None,
        label: str | None = None,
        experiments: bool = False,
        limit: int = 20,
        cursor: str | None = None,
        whole: bool = False,
    ) -> tuple[Sequence[JobSummary], str | None]:
        """Jobs, newest first, and the cursor of the next page or None. Every page costs the same, however far.

        Args:
            experiments: only these; then there is no choice by label.
            whole: return Jobs, with their specs and results.
        """
        index = "experiments" if experiments else f"label:{label}" if label else "jobs"
        index += f":{state}" if state else ""
        found = self._run(scripts.PAGE, index, cursor or "+inf", limit + 1, self._tenant, int(whole))
        made = _job if whole else lambda view: JobSummary(**_summary(view))
        jobs = [made(view) for _, view in found[:limit] if view]
        return jobs, found[limit - 1][0] if len(found) > limit else None

    def epochs(self, job_id: str) -> list[Epoch]:
        """Every finished epoch, in order. Raises JobNotFound."""
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.hexists(self._key(job_id), "spec")  # a shard of an experiment has none
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

    def forget(self, job_id: str, finished_at: int | None = None) -> None:
        """Remove an ended job with its epochs and events.

        Args:
            finished_at: milliseconds since 1970, if only the job is meant that ended then, and no later one of its id.

        Raises:
            JobNotFound: there is no such job.
            IllegalMove: it has not ended.
        """
        outcome = self._run(scripts.FORGET, self._mine(job_id), finished_at or "")
        if outcome == "missing":
            raise JobNotFound(job_id)
        if outcome != "forgotten":
            raise IllegalMove(job_id, outcome, "deleted")

    def _asked(self, script: str, job_id: str, wanted: str, good: set[str], *arguments: int) -> Job:
        outcome = self._run(script, self._mine(job_id), *arguments)
        if outcome == "missing":
            raise JobNotFound(job_id)
        if outcome not in good:
            raise IllegalMove(job_id, outcome, wanted)
        return self.get(job_id)

    def claim(
        self, queues: Sequence[str], worker: str, lease_seconds: float, most_runs: int = 1, plugins: Sequence[str] = ()
    ) -> Claim | None:
        """Take the best waiting job of all the queues together; None if none waits.

        `plugins` are the worker's, each as name==version: jobs that need some of these and no others count as well.

        Of an experiment it takes a shard: at most `most_runs` runs, and no more than a fair share among the living
        workers; or a whole shard that came back with its checkpoint. The lease is longer while the spec is read: nobody
        renews it then.
        """
        while True:
            token = secrets.token_hex(16)
            reading = _ms(max(lease_seconds, READING_SECONDS))
            taken = self._run(scripts.CLAIM, worker, token, reading, most_runs, ",".join(plugins), *queues)
            if not taken:
                return None
            job_id, spec, attempt, queue, kind, more, trace, *waited = taken
            try:
                work = kind_of(kind).model_validate_json(spec)
                with contextlib.suppress(RedisError):  # the next sign of life does it, too
                    self._run(scripts.BEAT, job_id, token, _ms(lease_seconds), TAKEN, "")
                began, ended = map(int, waited)
                return Claim(job_id, token, int(attempt), work, queue, bool(more), trace, (began, ended))
            except (ValidationError, UnknownKind) as error:  # accepted by another version
                why = JobError(type="invalid_spec", message=f"this worker cannot read the job: {error}"[:2000])
                self._run(scripts.FINISH, job_id, token, State.FAILED, why.model_dump_json(), 0)

    def beat(self, claim: Claim, lease_seconds: float, progress: Progress | None, sign: str = "") -> str:
        """Keep the lease and say how far the job is, if known.

        Args:
            sign: what the worker does now, for the error of the job if the worker dies of it; DRAINING if it is to end.

        Returns what is wanted of the job: "cancel", "pause", "expire" once it has run for its max_seconds, or "".
        Raises LeaseLost.
        """
        text = progress.model_dump_json() if progress else ""
        answer = self._run(scripts.BEAT, claim.id, claim.token, _ms(lease_seconds), sign, text)
        return self._still_held(claim, answer)

    def add_epoch(self, claim: Claim, lease_seconds: float, epoch: Epoch, best: Best) -> str:
        """Record a finished epoch. Returns what is wanted of the job, as `beat` does.

        Raises LeaseLost, and Gap if an epoch before it is missing.
        """
        row = epoch.model_dump_json()
        return self._still_held(
            claim,
            self._run(
                scripts.EPOCH, claim.id, claim.token, _ms(lease_seconds), epoch.epoch, row, best.model_dump_json()
            ),
        )

    def report(
        self, claim: Claim, lease_seconds: float, step: int, news: Sequence[RunEpoch | RunEnd], sign: str = ""
    ) -> str:
        """Record epochs and ends of the runs of a shard, in order. Returns what is wanted of it, as `beat` does.

        Args:
            step: optimizer steps that are done, of all the shard's runs together.
            sign: as for `beat`.

        Raises LeaseLost, and Gap if an epoch before one of them is missing.
        """
        fields = [field for each in news for field in _reported(each)]
        return self._still_held(
            claim, self._run(scripts.REPORT, claim.id, claim.token, _ms(lease_seconds), sign, step, *fields)
        )

    def judge(self, claim: Claim, judgements: Sequence[Judgement]) -> list[bool]:
        """Prune runs of the experiment. Returns for each judgement what counts: the one that was given first."""
        fields = [f for j in judgements for f in (j.key, "go" if j.goes_on else "stop", j.runs.start, len(j.runs))]
        answer = self._still_held(claim, self._run(scripts.JUDGE, claim.id, claim.token, *fields))
        return [verdict == "go" for verdict in answer.split()]

    def reached(self, experiment_id: str, epoch: int) -> dict[int, tuple[RunState, Epoch | None]]:
        """State of each run that has begun, and its figures of an epoch, if it came so far."""
        found = self._run(scripts.REACHED, experiment_id, epoch)
        return {run: (RunState(state), Epoch.model_validate_json(row) if row else None) for run, state, row in found}

    def runs(self, job_id: str) -> dict[int, RunView]:
        """The runs of an experiment that have begun."""
        with self._redis.pipeline(transaction=True) as pipe:
            for what in ("states", "metrics", "best", "errors", "training"):
                pipe.hgetall(f"{self._prefix}runs:{job_id}:{what}")
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
        """Every finished epoch of some runs of an experiment, in order."""
        return [[Epoch.model_validate_json(row) for row in rows] for rows in self._epoch_rows(job_id, runs)]

    def run_figures(self, job_id: str, runs: Sequence[int], figure: str) -> list[list[Any]]:
        """One figure of every finished epoch of some runs, by its name in Epoch; quicker than whole epochs."""
        return [[json.loads(row)[figure] for row in rows] for rows in self._epoch_rows(job_id, runs)]

    def _epoch_rows(self, job_id: str, runs: Sequence[int]) -> list[list[str]]:
        with self._redis.pipeline(transaction=False) as pipe:
            for run in runs:
                pipe.lrange(f"{self._prefix}epochs:{job_id}/{run}", 0, -1)
            found: list[list[str]] = pipe.execute()
        return found

    def finish(
        self, claim: Claim, state: State, error: JobError | None = None, *, again: bool = False, result: str = ""
    ) -> State:
        """End the job, or with QUEUED give it back, to where it is wanted by then. Returns where it went.

        Args:
            again: whether a job that FAILED may be tried another time, if its max_attempts allow it.
            result: JSON object of what a job that SUCCEEDED came to, if its kind has more than epochs.

        Raises:
            LeaseLost: the job is another worker's, or gone.
        """
        text = error.model_dump_json() if error else ""
        answer = self._run(scripts.FINISH, claim.id, claim.token, state, text, int(again), result)
        return State(self._still_held(claim, answer))

    def stored(self, claim: Claim, size: int) -> None:
        """Say how many bytes a job leaves behind. They count until it is deleted. Raises LeaseLost."""
        self._still_held(claim, self._run(scripts.TAKES, claim.id, claim.token, "stored", size))

    def keeps(self, claim: Claim, size: int) -> None:
        """Say how many bytes a job needs on its worker's disk to go on. They count until it ends. Raises LeaseLost."""
        self._still_held(claim, self._run(scripts.TAKES, claim.id, claim.token, "checkpoint", size))

    def lose(self, claim: Claim, max_losses: int) -> None:
        """What `reap` does, for a worker that knows that it will end. Raises LeaseLost."""
        self._still_held(claim, self._run(scripts.LOSE, claim.id, claim.token, max_losses))

    def reap(self, max_losses: int) -> list[str]:
        """Put running jobs whose lease ran out back in their queue, or end them. Returns their ids."""
        return list(self._run(scripts.REAP, max_losses, broker_list("")))

    def abandon(self, worker: str, max_losses: int, max_kills: int | None = None, how: str = "") -> list[str]:
        """What `reap` does, at once, for the jobs that an earlier process of this worker held.

        Args:
            max_kills: deaths of its worker's process at which a job fails; None if that process did not die.
            how: it died, such as "of signal 9", for the job's error.
        """
        return list(self._run(scripts.ABANDON, worker, max_losses, "" if max_kills is None else max_kills, how))

    def take_stale(self, days: float, lease_seconds: float) -> tuple[str, int] | None:
        """The oldest of the jobs that ended more than `days` ago, which nobody else is given for `lease_seconds`.

        Returns:
            Its id, and when it ended, in milliseconds since 1970.
        """
        taken = self._run(scripts.STALE, _ms(days * 86_400), _ms(lease_seconds))
        return (taken[0], int(taken[1])) if taken else None

    def present(
        self, worker: str, queues: Sequence[str], seconds: float, worker_stats: WorkerStats | None = None
    ) -> None:
        """Record for the next `seconds` that a worker lives, which queues it serves, and its statistics.

        With plug-ins in `worker_stats` it also serves the queues of jobs that need them, as in `claim`.
        """
        text, names = (worker_stats.model_dump_json(), worker_stats.plugins) if worker_stats else ("", ())
        self._run(scripts.PRESENT, worker, _ms(seconds), text, ",".join(names), *queues)

    def absent(self, worker: str) -> None:
        """Say that a worker is gone."""
        self._run(scripts.ABSENT, worker)

    def workers(self) -> int:
        """How many workers live."""
        return int(self._run(scripts.WORKERS))

    def queues(self) -> list[Queue]:
        """Every queue that a job or a worker has named."""
        return [Queue(name, *map(int, counts)) for name, *counts in self._run(scripts.QUEUES, broker_list(""))]

    def service_stats(self) -> ServiceStats:
        """Return what is known of the service as a whole, over all tenants."""
        queues = self.queues()
        now, counters, states, ages, worker_stats = self._run(scripts.SERVICE_STATS)
        return ServiceStats(
            at=int(now) / 1000,
            counters={name: int(value) for name, value in zip(counters[::2], counters[1::2], strict=True)},
            jobs={State(state): jobs for state, jobs, _ in states},
            experiments={State(state): experiments for state, _, experiments in states},
            queues={queue.name: (queue.waiting, queue.workers) for queue in queues},
            oldest={queue: age / 1000 for queue, age in ages if age >= 0},
            workers=readable(worker_stats),
        )

    def events_key(self, job_id: str) -> str:
        """The Redis stream of a job's events: fields `type` and `data` (JSON)."""
        return f"{self._prefix}events:{job_id}"

    def _mine(self, job_id: str) -> str:
        """The id under which a job is stored. Raises JobNotFound if it is not the tenant's."""
        if not self._tenant:
            return job_id
        found: str | None = self._run(scripts.RESOLVE, job_id, self._tenant)
        if not found:
            raise JobNotFound(job_id)
        return found

    def _check_room(self) -> None:
        """Look at Redis' memory, once a second. Raises StoreFull."""
        if time.monotonic() > self._room_until:
            memory: dict[str, Any] = self._redis.info("memory")
            used = memory["used_memory"] - memory.get("mem_not_counted_for_evict", 0)
            self._share = int(SHARE * (memory["maxmemory"] or memory.get("total_system_memory", 0)))
            if memory["maxmemory"] and used > FULL * memory["maxmemory"]:
                raise StoreFull(
                    f"Redis uses {used} of its {memory['maxmemory']} bytes; what is left is for the jobs that run"
                )
            self._room_until = time.monotonic() + 1

    def _key(self, job_id: str) -> str:
        return f"{self._prefix}job:{job_id}"

    def _run(self, script: str, *arguments: str | int, client: Pipeline | None = None) -> Any:
        self._format.check()
        call = self._scripts.get(script)
        if call is None:
            call = self._scripts[script] = self._redis.register_script(scripts.COMMON + script)
        try:
            return call(args=[self._prefix, *arguments], client=client)
        except ResponseError as error:
            raise _meant(error) from error

    @staticmethod
    def _still_held(claim: Claim, answer: Any) -> str:
        standing, want = answer
        if standing == "gap":
            *run, epoch = map(int, want.split())
            raise Gap(claim.id, epoch, *run)
        if standing != "held":
            raise LeaseLost(f"job {claim.id} is {standing}: its token is no longer that of attempt {claim.attempt}")
        return str(want)


def _creation(
    spec: JobSpec,
    options: JobOptions,
    key: str,
    job_id: str = "",
    *,
    tenant: str = NOBODY,
    trace: str = "",
    share: int = 0,
) -> list[str | int]:
    """The arguments of CREATE. `share`: bytes of records that a tenant may have without a limit; 0 if unknown."""
    used = plugins.used_by(spec)
    record = _record(spec) | {
        "queue": queue_for(options.hardware, used),
        "labels": json.dumps(options.labels),
        "priority": options.priority,
        "max_attempts": options.max_attempts,
    }
    if options.max_seconds is not None:
        record["max_ms"] = _ms(options.max_seconds)
    if used:
        record["plugins"] = json.dumps(used)
    if trace:
        record["trace"] = trace
    content = hashlib.sha256(f"{record['spec']}\n{options.model_dump_json()}".encode()).hexdigest()
    fields = (part for item in record.items() for part in item)
    sizes = SPEC_BYTES, share, RECORD_BYTES
    return [job_id or new_id(), int(bool(job_id)), key, content, tenant, *sizes, *fields]


def _record(spec: JobSpec) -> dict[str, str | int]:
    """The fields of a job's record that follow from its spec."""
    record = spec.record() | {
        "kind": spec.kind,
        "title": spec.title,
        "spec": spec.model_dump_json(),
        "progress": spec.progress(0).model_dump_json(),
    }
    return record | ({"steps_after": spec.steps_after} if spec.steps_after else {})


def _too_large(spec: JobSpec, name: str, most: str, size: str) -> JobTooLarge:
    """What `large` of a script says, whose other words these are."""
    if name == "spec":
        longest, _ = max(spec.model_dump(mode="json").items(), key=lambda item: len(json.dumps(item[1])))
        way_out = "give it with fewer values, such as a closed form in place of a list"
        return JobTooLarge(longest, f"{size} bytes of JSON in the whole spec are more than {most}; {way_out}")
    field = "epochs" if name == "steps_after" else spec.sized_by
    unit = "runs" if name == "runs" else "optimizer steps"
    return JobTooLarge(field, f"{size} {unit} are more than the limit of {most}")


def _refusal(answer: Sequence[str], spec: JobSpec) -> LimitReached | JobTooLarge | None:
    """Why CREATE has made no job, if a limit is the reason."""
    if answer[0] == "large":
        return _too_large(spec, *answer[1:])
    return LimitReached(*answer[1:]) if answer[0] == "limit" else None


def _is(job: Job, spec: JobSpec, options: JobOptions) -> bool:
    """Whether a job is the wanted one, however its record is written.

    A version may write the same spec with its fields in another order, or leave out those that it does not know yet.
    """
    try:
        return (kind_of(job.kind).model_validate_json(json.dumps(job.spec)), job.options) == (spec, options)
    except (ValidationError, UnknownKind):
        return False


def _created(answer: Any, wanted: NewJob) -> Job | Exception:
    """The job that CREATE has made, or what came of it."""
    if isinstance(answer, ResponseError):
        error = _meant(answer)
        return StoreFull(f"nothing was stored: {error}") if isinstance(error, OutOfMemoryError) else error
    if isinstance(answer, Exception):
        return answer
    if refusal := _refusal(answer, wanted.spec):
        return refusal
    job = _job(answer[1])
    if answer[0] == "reused" and not _is(job, wanted.spec, wanted.options):
        return KeyReused(f"the key {wanted.key[:80]!r} was used for another job")
    return job


def _reported(news: RunEpoch | RunEnd) -> tuple[str | int, ...]:
    """The arguments of REPORT."""
    if isinstance(news, RunEnd):
        how = news.training.model_dump_json() if news.training else ""
        return "end", news.run, news.state, news.error.model_dump_json() if news.error else "", how
    return "epoch", news.run, news.epoch.epoch, news.epoch.model_dump_json(), news.best.model_dump_json()


def _meant(error: ResponseError) -> Exception:
    """What an error of a script says."""
    kind, _, message = str(error).partition(" ")
    if kind == "FAULT":
        return StoreFault(message)
    if "-OOM " in message:  # how Redis 6 wraps it
        return OutOfMemoryError(message)
    return error


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _job(view: Sequence[Any]) -> Job:
    """A job from what the scripts' `view` gives."""
    return Job(**_summary(view), spec=_parsed(view, "spec"), result=_parsed(view, "result"))


def _parsed(view: Sequence[Any], field: str) -> Any:
    """A field that is JSON; None if there is none."""
    fields = view[0][::2]
    return json.loads(view[0][2 * fields.index(field) + 1]) if field in fields else None


def _summary(view: Sequence[Any]) -> dict[str, Any]:
    """The fields of a JobSummary."""
    parts, rank, workers, pace = (*view, None, None, None)[:4]
    record = dict(zip(parts[::2], parts[1::2], strict=True))

    def parsed(field: str) -> Any:
        return json.loads(record[field]) if field in record else None

    return dict(
        id=display(record["id"]),
        key=record["id"],
        tenant=record.get("tenant", NOBODY),
        kind=record["kind"],
        title=record.get("title", record["kind"]),  # older records have none
        state=State(record["state"]),
        labels=parsed("labels"),
        priority=int(record["priority"]),
        hardware=hardware_of(record["queue"]),
        plugins=parsed("plugins") or {},
        max_attempts=int(record["max_attempts"]),
        max_seconds=int(record["max_ms"]) / 1000 if "max_ms" in record else None,
        requested=record.get("want"),
        position=rank,
        starts_in_seconds=round((rank + 1) * float(pace) / 1000 / workers, 1) if pace and workers else None,
        attempt=int(record["attempt"]),
        losses=int(record["losses"]),
        progress=parsed("progress"),
        metrics=parsed("metrics"),
        best=parsed("best"),
        error=parsed("error"),
        created_at=rfc3339(int(record["created_at"])) or "",
        started_at=rfc3339(parsed("started_at")),
        finished_at=rfc3339(parsed("finished_at")),
    )
