"""What can go wrong with a job in the store."""

from __future__ import annotations

from lrcore.errors import LrcoreError

WAY_OUT = {
    "queued": "jobs that wait or are paused; try again when one has begun, or cancel some",
    "stored_bytes": "bytes of files and checkpoints; delete ended jobs, or cancel paused ones",
    "record_bytes": "bytes of jobs' records; delete ended jobs",
}


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


class JobTooLarge(LrcoreError):
    """The job is larger than its tenant may submit at any time. `field`: of its spec, what its size hangs on most."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class StoreFull(LrcoreError):
    """Redis has no memory left for more jobs."""


class NotReplicated(LrcoreError):
    """A job was written, but too few replicas have confirmed it in time."""

    def __init__(self, wanted: int, seconds: float) -> None:
        replicas = "no replica has" if wanted == 1 else f"fewer than {wanted} replicas have"
        super().__init__(
            f"The job was written, but {replicas} confirmed it within {seconds:g} s, and a failover may lose it. "
            "Send the request again with the same Idempotency-Key, or PUT it again: that makes no second job."
        )


class StoreFault(LrcoreError):
    """The records do not fit together: trying again would not help."""


class LeaseLost(LrcoreError):
    """The worker no longer holds the job: its lease ran out, or the record is gone."""


class Gap(LrcoreError):
    """Redis has lost epochs of the job. The worker must resend epochs from `epoch` on; of a shard, those of `run`."""

    def __init__(self, job_id: str, epoch: int, run: int | None = None) -> None:
        super().__init__(f"of {f'run {run} of ' if run is not None else ''}job {job_id}, epoch {epoch} is missing")
        self.epoch, self.run = epoch, run
