"""The kinds of jobs: what the store keeps and reads, by the name under which it does."""

from __future__ import annotations

from lrcore.errors import LrcoreError
from lrcore.jobs.experiment import ExperimentSpec, PartSpec
from lrcore.jobs.range_test import RangeTestSpec
from lrcore.jobs.spec import JobSpec
from lrcore.jobs.work import Work

KINDS: dict[str, type[Work]] = {cls.kind: cls for cls in (JobSpec, RangeTestSpec, ExperimentSpec, PartSpec)}


class UnknownKind(LrcoreError):
    """A job of another version."""


def kind_of(name: str) -> type[Work]:
    """What a job of this kind is described by. Raises UnknownKind."""
    try:
        return KINDS[name]
    except KeyError:
        raise UnknownKind(f"there is no kind of job {name!r}; there are {', '.join(KINDS)}") from None
