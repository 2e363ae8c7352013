"""What is posted to make a job of each kind: the job's own fields, and how it is to be run."""

from __future__ import annotations

from typing import Any

from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.job import Placement, Terms
from lrcore.jobs.range_test import RangeTestSpec
from lrcore.jobs.spec import JobSpec
from lrcore.jobs.work import Work


class Asked(Placement):
    """A job of any kind, and what does not change its result."""

    @property
    def terms(self) -> Terms:
        """How it is to be run."""
        return Terms.model_construct(**self._of(Terms))

    @property
    def spec(self) -> Work:
        """The job alone."""
        raise NotImplementedError

    def _of(self, part: type[Terms | Work]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in part.model_fields if name in type(self).model_fields}


class JobRequest(Asked, Terms, JobSpec):
    """A job, and what does not change its result."""

    @property
    def spec(self) -> JobSpec:
        """The job alone."""
        return JobSpec.model_construct(**self._of(JobSpec))


class RangeTestRequest(Asked, Terms, RangeTestSpec):
    """A range test, and what does not change its result."""

    @property
    def spec(self) -> RangeTestSpec:
        """The range test alone."""
        return RangeTestSpec.model_construct(**self._of(RangeTestSpec))


class ExperimentRequest(Asked, ExperimentSpec):
    """An experiment, and what does not change its result."""

    @property
    def spec(self) -> ExperimentSpec:
        """The experiment alone."""
        return ExperimentSpec.model_construct(**self._of(ExperimentSpec))


REQUESTS: dict[str, type[Asked]] = {
    JobSpec.kind: JobRequest,
    RangeTestSpec.kind: RangeTestRequest,
    ExperimentSpec.kind: ExperimentRequest,
}
