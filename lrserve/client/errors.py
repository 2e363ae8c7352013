"""What a client raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lrcore.jobs.job import Job


class ApiError(Exception):
    """The server refused, or did not answer.

    Attributes:
        problem: the application/problem+json answer; empty if there was none.
        retry_after: seconds after which the server asks to be asked again; None if it does not.
    """

    def __init__(self, message: str, problem: dict[str, Any] | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.problem = problem or {}
        self.retry_after = retry_after

    @property
    def status(self) -> int | None:
        """HTTP status; None if there was no answer, or none of lrserve's."""
        return self.problem.get("status")

    @property
    def type(self) -> str | None:
        """Stable name of the kind of problem, such as urn:lrserve:problem:invalid-input."""
        return self.problem.get("type")

    @property
    def title(self) -> str | None:
        """The kind of problem in words."""
        return self.problem.get("title")

    @property
    def detail(self) -> str | None:
        """What was wrong this time."""
        return self.problem.get("detail")

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The fields at fault, each with `loc` and `msg`; empty unless the input was invalid."""
        return self.problem.get("errors") or []


class NoAnswer(ApiError):
    """The server cannot be reached, or broke the connection."""


class JobNotSucceeded(ApiError):
    """A result was asked for of a job that has ended without one.

    Attributes:
        job: as it ended.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} {job.state}" + (f": {job.error.message}" if job.error else ""))
        self.job = job
