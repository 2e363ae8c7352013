"""The store as workers use it: a claim hands out a lease, and every later write carries its token.

A running job is written by the worker that claimed it and by nobody else. A write with a token that is no longer the
job's changes nothing and raises LeaseLost: so a worker that was only frozen cannot overwrite its successor.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError

from lrcore.jobs.job import Best, Epoch, JobError, Progress
from lrcore.jobs.job_types import UnknownKind, kind_of
from lrcore.jobs.states import RunState, State
from lrcore.store.errors import Gap, LeaseLost
from lrcore.store.reader import JobReader
from lrcore.store.records import Claim, Judgement, RunEnd, RunEpoch, milliseconds
from lrcore.store.service_stats import WorkerStats

READING_SECONDS = 120.0  # of a lease while a job is read: ten times what the largest spec takes, with all its rates
TAKEN = "the worker had taken the job"  # the first sign of life
DRAINING = "draining"  # the sign of life of a worker that was asked to end


class LeaseStore(JobReader):
    """Jobs as the worker that holds them writes them."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self._unanswered: list[str] = []  # tokens of claims of which only Redis knows whether they were made

    def claim(
        self, queues: Sequence[str], worker: str, lease_seconds: float, most_runs: int = 1, plugins: Sequence[str] = ()
    ) -> Claim | None:
        """Take the best waiting job of all the queues together; None if none waits.

        `plugins` are the worker's, each as name==version: jobs that need some of these and no others count as well.

        Of an experiment it takes a shard: at most `most_runs` runs, and no more than a fair share among the living
        workers; or a whole shard that came back with its checkpoint. The lease is longer while the spec is read: nobody
        renews it then.

        A claim that raises RedisError may have been made all the same: the next call finds the job that it took.
        """
        while True:
            token = self._unanswered.pop() if self._unanswered else secrets.token_hex(16)
            reading = milliseconds(max(lease_seconds, READING_SECONDS))
            try:
                taken = self._scripts.run("claim", worker, token, reading, most_runs, ",".join(plugins), *queues)
            except RedisError:
                self._unanswered.append(token)
                raise
            if not taken:
                return None
            job_id, spec, attempt, queue, kind, more, trace, *waited = taken
            try:
                parsed = kind_of(kind).model_validate_json(spec)
                with contextlib.suppress(RedisError):  # the next sign of life does it, too
                    self._scripts.run("beat", job_id, token, milliseconds(lease_seconds), TAKEN, "")
                began, ended = map(int, waited)
                return Claim(job_id, token, int(attempt), parsed, queue, bool(more), trace, (began, ended))
            except (ValidationError, UnknownKind) as error:  # accepted by another version
                why = JobError(type="invalid_spec", message=f"this worker cannot read the job: {error}"[:2000])
                self._scripts.run("finish", job_id, token, State.FAILED, why.model_dump_json(), 0, "")

    def beat(self, claim: Claim, lease_seconds: float, progress: Progress | None, sign: str = "") -> str:
        """Renew the lease, and record how far the job is, if known.

        Args:
            sign: what the worker does now, for the error of the job if the worker dies of it; DRAINING if it is to end.

        Returns what is wanted of the job: "cancel", "pause", "expire" once it has run for its max_seconds, or "".
        Raises LeaseLost.
        """
        text = progress.model_dump_json() if progress else ""
        return self._write("beat", claim, milliseconds(lease_seconds), sign, text)

    def add_epoch(self, claim: Claim, lease_seconds: float, epoch: Epoch, best: Best) -> str:
        """Record a finished epoch. Returns what is wanted of the job, as `beat` does.

        Raises LeaseLost, and Gap if an epoch before it is missing.
        """
        rows = epoch.model_dump_json(), best.model_dump_json()
        return self._write("add_epoch", claim, milliseconds(lease_seconds), epoch.epoch, *rows)

    def report(
        self, claim: Claim, lease_seconds: float, step: int, news: Sequence[RunEpoch | RunEnd], sign: str = ""
    ) -> str:
        """Record epochs and ends of the runs of a shard, in order. Returns what is wanted of it, as `beat` does.

        Args:
            step: optimizer steps that are done, of all the shard's runs together.
            sign: as for `beat`.

        Raises LeaseLost, and Gap if an epoch before one of them is missing.
        """
        fields = [field for each in news for field in _report_fields(each)]
        return self._write("report", claim, milliseconds(lease_seconds), sign, step, *fields)

    def judge(self, claim: Claim, judgements: Sequence[Judgement]) -> list[bool]:
        """Prune runs of the experiment. Returns for each judgement what counts: the one that was given first."""
        fields = [f for j in judgements for f in (j.key, "go" if j.goes_on else "stop", j.runs.start, len(j.runs))]
        return [verdict == "go" for verdict in self._write("judge", claim, *fields).split()]

    def reached(self, experiment_id: str, epoch: int) -> dict[int, tuple[RunState, Epoch | None]]:
        """Return the state of each run that has begun, and its figures of an epoch, if it came so far."""
        found = self._scripts.run("reached", experiment_id, epoch)
        return {run: (RunState(state), Epoch.model_validate_json(row) if row else None) for run, state, row in found}

    def finish(
        self, claim: Claim, state: State, error: JobError | None = None, *, again: bool = False, result: str = ""
    ) -> State:
        """End the job, or with QUEUED give it back, to where it is wanted by then. Returns where it went.

        Args:
            again: whether a job that FAILED may be tried another time, if its max_attempts allow it.
            result: JSON object of what a job that SUCCEEDED came to, if its type has more than epochs.

        Raises:
            LeaseLost: the job is another worker's, or gone.
        """
        text = error.model_dump_json() if error else ""
        return State(self._write("finish", claim, state, text, int(again), result))

    def set_stored_bytes(self, claim: Claim, size: int) -> None:
        """Record how many bytes a job leaves behind. They count until it is deleted. Raises LeaseLost."""
        self._write("set_bytes", claim, "stored", size)

    def set_checkpoint_bytes(self, claim: Claim, size: int) -> None:
        """Record how many bytes a job needs on its worker's disk to go on, until it ends. Raises LeaseLost."""
        self._write("set_bytes", claim, "checkpoint", size)

    def lose(self, claim: Claim, max_losses: int) -> None:
        """Do what OperatorStore.reap does, for a worker that knows that it will end. Raises LeaseLost."""
        self._write("lose", claim, max_losses)

    def abandon(self, worker: str, max_losses: int, max_kills: int | None = None, how: str = "") -> list[str]:
        """Do what OperatorStore.reap does, at once, for the jobs that an earlier process of this worker held.

        Args:
            max_kills: deaths of its worker's process at which a job fails; None if that process did not die.
            how: it died, such as "of signal 9", for the job's error.
        """
        kills = "" if max_kills is None else max_kills
        return list(self._scripts.run("abandon", worker, max_losses, kills, how))

    def present(
        self, worker: str, queues: Sequence[str], seconds: float, worker_stats: WorkerStats | None = None
    ) -> None:
        """Record for the next `seconds` that a worker lives, which queues it serves, and its statistics.

        With plug-ins in `worker_stats` it also serves the queues of jobs that need them, as in `claim`.
        """
        text, plugins = (worker_stats.model_dump_json(), worker_stats.plugins) if worker_stats else ("", ())
        self._scripts.run("present", worker, milliseconds(seconds), text, ",".join(plugins), *queues)

    def absent(self, worker: str) -> None:
        """Forget a worker that ends."""
        self._scripts.run("absent", worker)

    def _write(self, script: str, claim: Claim, *arguments: str | int) -> str:
        """Run a script of a worker that holds a job. Returns the second part of its answer."""
        standing, answer = self._scripts.run(script, claim.id, claim.token, *arguments)
        if standing == "gap":
            *run, epoch = map(int, answer.split())
            raise Gap(claim.id, epoch, *run)
        if standing != "held":
            raise LeaseLost(f"job {claim.id} is {standing}: its token is no longer that of attempt {claim.attempt}")
        return str(answer)


def _report_fields(news: RunEpoch | RunEnd) -> tuple[str | int, ...]:
    """The values of a report for lua/report.lua."""
    if isinstance(news, RunEnd):
        training = news.training.model_dump_json() if news.training else ""
        return "end", news.run, news.state, news.error.model_dump_json() if news.error else "", training
    return "epoch", news.run, news.epoch.epoch, news.epoch.model_dump_json(), news.best.model_dump_json()
