"""What every job type has in common."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import ValidationError

from lrcore.errors import LrcoreError
from lrcore.family import Spec
from lrcore.jobs.job import Job, Progress


class MissingPlugin(LrcoreError):
    """A stored job has members of a plug-in that this process has not loaded."""


class JobSpec(Spec):
    """What a job does: everything that decides its result. A job type is a subclass, listed in job_types.JOB_TYPES."""

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
                f"job {job.id} needs {used}, which is not loaded here or can no longer read it"
            ) from None

    def progress(self, step: int) -> Progress:
        """Return the progress after `step` steps."""
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
    def images_per_step(self) -> float:
        """Images that an optimizer step sees, on average over an epoch."""
        raise NotImplementedError

    @property
    def title(self) -> str:
        """One line on what the job does."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise CurveError for faults that would take too long to find while the spec is parsed."""

    def record(self) -> dict[str, str | int]:
        """Fields of the store's record beside those of every job."""
        return {}
