"""The job types by name, as the store keeps them."""

from __future__ import annotations

from lrcore.errors import LrcoreError
from lrcore.jobs.experiment import ExperimentSpec, ShardSpec
from lrcore.jobs.job_spec import JobSpec
from lrcore.jobs.range_test import RangeTestSpec
from lrcore.jobs.training_spec import TrainingSpec

JOB_TYPES: dict[str, type[JobSpec]] = {
    cls.kind: cls for cls in (TrainingSpec, RangeTestSpec, ExperimentSpec, ShardSpec)
}


class UnknownKind(LrcoreError):
    """A job of another version."""


def kind_of(name: str) -> type[JobSpec]:
    """Return the spec class of a job type. Raises UnknownKind."""
    try:
        return JOB_TYPES[name]
    except KeyError:
        raise UnknownKind(f"there is no kind of job {name!r}; there are {', '.join(JOB_TYPES)}") from None
