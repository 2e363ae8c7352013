"""What is posted to make a job of each kind: the job's own fields, and how it is to be run."""

from __future__ import annotations

from typing import Any

from lrcore.jobs.experiment import ExperimentSpec
from lrcore.jobs.job import JobOptions, SchedulingOptions
from lrcore.jobs.job_spec import JobSpec
from lrcore.jobs.range_test import RangeTestSpec
from lrcore.jobs.training_spec import TrainingSpec


class JobSubmission(SchedulingOptions):
    """A job of any type, and what does not change its result."""

    @property
    def options(self) -> JobOptions:
        """How it is to be run."""
        return JobOptions.model_construct(**self._of(JobOptions))

    @property
    def spec(self) -> JobSpec:
        """The job alone."""
        raise NotImplementedError

    def _of(self, part: type[JobOptions | JobSpec]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in part.model_fields if name in type(self).model_fields}


class JobRequest(JobSubmission, JobOptions, TrainingSpec):
    """A job, and what does not change its result."""

    @property
    def spec(self) -> TrainingSpec:
        """The job alone."""
        return TrainingSpec.model_construct(**self._of(TrainingSpec))


class RangeTestRequest(JobSubmission, JobOptions, RangeTestSpec):
    """A range test, and what does not change its result."""

    @property
    def spec(self) -> RangeTestSpec:
        """The range test alone."""
        return RangeTestSpec.model_construct(**self._of(RangeTestSpec))


class ExperimentRequest(JobSubmission, ExperimentSpec):
    """An experiment, and what does not change its result."""

    @property
    def spec(self) -> ExperimentSpec:
        """The experiment alone."""
        return ExperimentSpec.model_construct(**self._of(ExperimentSpec))


REQUESTS: dict[str, type[JobSubmission]] = {
    TrainingSpec.kind: JobRequest,
    RangeTestSpec.kind: RangeTestRequest,
    ExperimentSpec.kind: ExperimentRequest,
}
