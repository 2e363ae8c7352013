"""The job types of the API: what is posted to submit one, and where."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class JobType:
    """What the API knows of a job type.

    Attributes:
        submit: where its request is posted.
        path: what comes before the id of one.
    """

    request: type[JobSubmission]
    submit: str
    path: str = "/v1/jobs"


JOB_TYPES: dict[str, JobType] = {
    TrainingSpec.kind: JobType(JobRequest, "/v1/jobs"),
    RangeTestSpec.kind: JobType(RangeTestRequest, "/v1/lr-range-tests"),
    ExperimentSpec.kind: JobType(ExperimentRequest, "/v1/experiments", "/v1/experiments"),
}
