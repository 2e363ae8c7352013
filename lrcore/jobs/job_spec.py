"""What every kind of job has in common."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import ValidationError

from lrcore.errors import LrcoreError
from lrcore.family import Spec
from lrcore.jobs.job import Job, Progress


class MissingPlugin(LrcoreError):
    """A stored job has members of a plug-in that this process has not loaded."""


class JobSpec(Spec):
    """What a job does: everything that decides its result. A kind of job is a subclass, listed in job_types.KINDS."""

    kind: ClassVar[str]
    sized_by: ClassVar[str]  # the field on which the number of steps hangs most

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the spec of a stored job. Raises MissingPlugin."""
        try:
            return cls.model_validate(job.spec)
        except ValidationError:
            if not job.plugins:
                raise
            used = ", ".join(f"{name}=={version}" for name, version in job.plugins.items())
            raise MissingPlugin(
                f"job {job.id} was submitted with the plug-in {used}, which cannot read it here"
            ) from None

    def progress(self, step: int) -> Progress:
        """How far the job is when `step` steps are done."""
        raise NotImplementedError

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole job."""
        raise NotImplementedError

    @property
    def steps_after(self) -> int:
        """Optimizer steps of the job that this one submits at its end; 0 if it submits none."""
        return 0

    @property
    def title(self) -> str:
        """What the job is about, in a line."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise CurveError for what takes too long to find out while it is read."""

    def record(self) -> dict[str, str | int]:
        """What the store has to know of it beside what every job has."""
        return {}
