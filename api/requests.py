"""What is posted to make a job of each kind: the job's own fields, and how it is to be run."""

from __future__ import annotations

from typing import Any

from lrcore.jobs.job import Terms
from lrcore.jobs.range_test import RangeTestSpec
from lrcore.jobs.spec import JobSpec
from lrcore.jobs.work import Work


class _Asked(Terms):
    @property
    def terms(self) -> Terms:
        """How it is to be run."""
        return Terms.model_construct(**{name: getattr(self, name) for name in Terms.model_fields})

    def _of(self, kind: type[Work]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in kind.model_fields}


class JobRequest(_Asked, JobSpec):
    """A job, and what does not change its result."""

    @property
    def spec(self) -> JobSpec:
        """The job alone."""
        return JobSpec.model_construct(**self._of(JobSpec))


class RangeTestRequest(_Asked, RangeTestSpec):
    """A range test, and what does not change its result."""

    @property
    def spec(self) -> RangeTestSpec:
        """The range test alone."""
        return RangeTestSpec.model_construct(**self._of(RangeTestSpec))


REQUESTS: dict[str, type[JobRequest | RangeTestRequest]] = {cls.kind: cls for cls in (JobRequest, RangeTestRequest)}
