"""What every kind of job has in common."""

from __future__ import annotations

from typing import ClassVar

from lrcore.family import Spec
from lrcore.jobs.job import Progress


class JobSpec(Spec):
    """What a job does: everything that decides its result. A kind of job is a subclass, listed in job_types.KINDS."""

    kind: ClassVar[str]
    sized_by: ClassVar[str]  # the field on which the number of steps hangs most

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
