"""The store as clients of jobs use it: submit, list, and ask for changes. It cannot claim a job."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import NoPermissionError, OutOfMemoryError, ResponseError

from lrcore import plugins
from lrcore.jobs.ids import NOBODY, new_id
from lrcore.jobs.job import Job, JobOptions, JobSummary
from lrcore.jobs.job_spec import JobSpec
from lrcore.jobs.job_types import UnknownKind, kind_of
from lrcore.jobs.states import State
from lrcore.service import traces
from lrcore.store.errors import (
    IllegalMove,
    JobExists,
    JobNotFound,
    JobTooLarge,
    KeyReused,
    LimitReached,
    NotReplicated,
    StoreFull,
)
from lrcore.store.memory import MemoryGuard
from lrcore.store.queue import queue_for
from lrcore.store.reader import JobReader
from lrcore.store.records import NewJob, job_from, milliseconds, summary_from
from lrcore.store.scripts import meaning_of

SPEC_BYTES = 2**20  # of a job's spec as JSON: Redis keeps it until the job is deleted
WAIT_SECONDS = 1.0  # for replicas to confirm: less than a command may take
RECORD_BYTES = 2048  # of a short job in Redis beside its spec, about: 3 kB were measured, with a spec of 0.7 kB


class ClientStore(JobReader):
    """Jobs as their clients see them.

    Args:
        wait_replicas: replicas of Redis that must have a new job before it counts as accepted.
    """

    def __init__(self, redis: Redis, wait_replicas: int = 0) -> None:
        super().__init__(redis)
        self._memory = MemoryGuard(redis)
        self._wait_replicas = wait_replicas

    def create(self, spec: JobSpec, options: JobOptions | None = None, *, key: str = "") -> Job:
        """Put a new job into its queue, behind those with the same priority or a higher one.

        Args:
            key: names the request. Sent again within a day, it makes no second job, but returns the first one.

        Raises:
            KeyReused: the key has come with another job.
            StoreFull, LimitReached, JobTooLarge: nothing was stored.
            NotReplicated: it was stored, but may be lost if Redis fails over.
        """
        [made] = self.create_many([NewJob(spec, options or JobOptions(), key, trace=traces.current())])
        if isinstance(made, Exception):
            raise made
        return made

    def create_many(self, wanted: Sequence[NewJob]) -> list[Job | Exception]:
        """Do what `create` does for each of them, in one round trip. What cannot be made is an exception."""
        self._memory.check()
        answers, confirmed = self._run_creates([self._arguments(each) for each in wanted])
        made = [_created(answer, each) for each, answer in zip(wanted, answers, strict=True)]
        if confirmed:
            return made
        return [self._not_replicated() if isinstance(each, Job) else each for each in made]

    def put(self, job_id: str, spec: JobSpec, options: JobOptions | None = None) -> tuple[Job, bool]:
        """Put a new job under a chosen id into its queue, unless it is there already.

        Returns:
            The job, and whether it is new.

        Raises:
            JobExists: there is another job with this id.
            StoreFull, LimitReached, JobTooLarge: nothing was stored.
            NotReplicated: it was stored, but may be lost if Redis fails over.
        """
        self._memory.check()
        new = NewJob(spec, options or JobOptions(), trace=traces.current())
        tenant = self._tenant or NOBODY
        stored_id = job_id if tenant == NOBODY or ":" in job_id else f"{tenant}:{job_id}"
        [answer], confirmed = self._run_creates([self._arguments(new, stored_id)])
        if error := _error(answer):
            raise error
        if answer[0] == "taken" and not (answer[1] and _is(job_from(answer[1]), spec, new.options)):
            raise JobExists(job_id)
        if refusal := _refusal(answer, spec):
            raise refusal
        if not confirmed:
            raise self._not_replicated()
        return job_from(answer[1]), answer[0] == "made"

    def _run_creates(self, jobs: Sequence[Sequence[str | int]]) -> tuple[list[Any], bool]:
        """Run lua/create.lua with each of the arguments, in one round trip.

        Returns:
            The answers, errors among them, and whether enough replicas have what is in Redis now.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            for arguments in jobs:
                self._scripts.run("create", *arguments, client=pipe)
            if not self._wait_replicas:
                return pipe.execute(raise_on_error=False), True
            # WAIT counts the replicas that have the writes of its own connection. A request that came before makes none
            self._scripts.run("probe", client=pipe)
            pipe.wait(self._wait_replicas, milliseconds(WAIT_SECONDS))
            *answers, probe, replicas = pipe.execute(raise_on_error=False)
        if isinstance(replicas, NoPermissionError):
            raise replicas
        failed = isinstance(probe, Exception) or isinstance(replicas, Exception)
        return answers, not failed and replicas >= self._wait_replicas

    def _not_replicated(self) -> NotReplicated:
        return NotReplicated(self._wait_replicas, WAIT_SECONDS)

    def check_size(self, spec: JobSpec) -> None:
        """Find out whether the tenant may submit so large a job at all. Raises JobTooLarge, as `create` and `put`."""
        answer = self._scripts.run("check_size", self._tenant or NOBODY, SPEC_BYTES, *_flat(_record(spec)))
        if answer and (refusal := _refusal(answer, spec)):
            raise refusal

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
        """Return jobs, newest first, and the cursor of the next page or None. Every page costs the same, however far.

        Args:
            experiments: only these; then there is no choice by label.
            whole: return Jobs, with their specs and results.
        """
        index = "experiments" if experiments else f"label:{label}" if label else "jobs"
        index += f":{state}" if state else ""
        found = self._scripts.run("page", index, cursor or "+inf", limit + 1, self._tenant, int(whole))
        parse = job_from if whole else summary_from
        jobs = [parse(view) for _, view in found[:limit] if view]
        return jobs, found[limit - 1][0] if len(found) > limit else None

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued job, or ask the worker of a running one to stop; a cancelled one stays as it is.

        Raises JobNotFound, and IllegalMove if the job ended otherwise.
        """
        return self._request("cancel", job_id, "cancelled", {"cancelled", "requested"})

    def pause(self, job_id: str) -> Job:
        """Take a queued job out of its queue, or ask the worker of a running one to stop with a checkpoint.

        Raises JobNotFound, and IllegalMove if the job has ended or is about to be cancelled.
        """
        return self._request("pause", job_id, "paused", {"paused", "requested"})

    def resume(self, job_id: str) -> Job:
        """Put a paused job back into its queue, at its old place; take back a pause that was only asked for.

        A job that is queued or runs anyway stays as it is. Raises JobNotFound, and IllegalMove if the job has ended.
        """
        return self._request("resume", job_id, "resumed", {"queued", "running"})

    def prioritize(self, job_id: str, priority: int) -> Job:
        """Give a job another priority. Raises JobNotFound, and IllegalMove if it has ended."""
        return self._request("prioritize", job_id, "prioritized", {"changed"}, priority)

    def forget(self, job_id: str) -> None:
        """Remove an ended job with its epochs and events. Raises JobNotFound, and IllegalMove if it has not ended."""
        outcome = self._scripts.run("forget", self._stored_id(job_id), "")
        if outcome == "missing":
            raise JobNotFound(job_id)
        if outcome != "forgotten":
            raise IllegalMove(job_id, outcome, "deleted")

    def _request(self, script: str, job_id: str, wanted: str, good: set[str], *arguments: int) -> Job:
        outcome = self._scripts.run(script, self._stored_id(job_id), *arguments)
        if outcome == "missing":
            raise JobNotFound(job_id)
        if outcome not in good:
            raise IllegalMove(job_id, outcome, wanted)
        return self.get(job_id)

    def _stored_id(self, job_id: str) -> str:
        """The id under which a job is stored. Raises JobNotFound if it is not the tenant's."""
        if not self._tenant:
            return job_id
        found: str | None = self._scripts.run("resolve", job_id, self._tenant)
        if not found:
            raise JobNotFound(job_id)
        return found

    def _arguments(self, new: NewJob, job_id: str = "") -> list[str | int]:
        """The arguments of lua/create.lua. `job_id`: one that the client has chosen."""
        used = plugins.used_by(new.spec)
        record = _record(new.spec) | {
            "queue": queue_for(new.options.hardware, used),
            "labels": json.dumps(new.options.labels),
            "priority": new.options.priority,
            "max_attempts": new.options.max_attempts,
        }
        if new.options.max_seconds is not None:
            record["max_ms"] = milliseconds(new.options.max_seconds)
        if used:
            record["plugins"] = json.dumps(used)
        if new.trace:
            record["trace"] = new.trace
        content = hashlib.sha256(f"{record['spec']}\n{new.options.model_dump_json()}".encode()).hexdigest()
        names = job_id or new_id(), int(bool(job_id)), new.key, content, new.tenant or self._tenant or NOBODY
        return [*names, SPEC_BYTES, self._memory.share, RECORD_BYTES, *_flat(record)]


def _record(spec: JobSpec) -> dict[str, str | int]:
    """The fields of a job's record that follow from its spec."""
    record = spec.record() | {
        "kind": spec.kind,
        "title": spec.title,
        "spec": spec.model_dump_json(),
        "progress": spec.progress(0).model_dump_json(),
    }
    return record | ({"steps_after": spec.steps_after} if spec.steps_after else {})


def _flat(record: dict[str, str | int]) -> list[str | int]:
    return [part for item in record.items() for part in item]


def _created(answer: Any, wanted: NewJob) -> Job | Exception:
    """The job that lua/create.lua has made, or why it has made none."""
    if error := _error(answer):
        return error
    if refusal := _refusal(answer, wanted.spec):
        return refusal
    job = job_from(answer[1])
    if answer[0] == "reused" and not _is(job, wanted.spec, wanted.options):
        return KeyReused(f"the key {wanted.key[:80]!r} was used for another job")
    return job


def _error(answer: Any) -> Exception | None:
    """The error that stands in place of an answer, if one does."""
    if not isinstance(answer, Exception):
        return None
    error = meaning_of(answer) if isinstance(answer, ResponseError) else answer
    return StoreFull(f"nothing was stored: {error}") if isinstance(error, OutOfMemoryError) else error


def _refusal(answer: Sequence[str], spec: JobSpec) -> LimitReached | JobTooLarge | None:
    """Why lua/create.lua has made no job, if a limit is the reason."""
    if answer[0] == "large":
        return _too_large(spec, *answer[1:])
    return LimitReached(*answer[1:]) if answer[0] == "limit" else None


def _too_large(spec: JobSpec, name: str, most: str, size: str) -> JobTooLarge:
    if name == "spec":
        longest, _ = max(spec.model_dump(mode="json").items(), key=lambda item: len(json.dumps(item[1])))
        way_out = "give it with fewer values, such as a closed form in place of a list"
        return JobTooLarge(longest, f"{size} bytes of JSON in the whole spec are more than {most}; {way_out}")
    field = "epochs" if name == "steps_after" else spec.sized_by
    unit = "runs" if name == "runs" else "optimizer steps"
    return JobTooLarge(field, f"{size} {unit} are more than the limit of {most}")


def _is(job: Job, spec: JobSpec, options: JobOptions) -> bool:
    """Whether a job is the wanted one, however its record is written.

    A version may write the same spec with its fields in another order, or leave out those that it does not know yet.
    """
    try:
        return (kind_of(job.kind).model_validate_json(json.dumps(job.spec)), job.options) == (spec, options)
    except (ValidationError, UnknownKind):
        return False
