"""Print the reference of training jobs as Markdown: python -m lrcore.jobs > docs/training.md."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from lrcore.datasets import DATASETS, Dataset
from lrcore.family import Member
from lrcore.jobs.experiment import Axes, ExperimentSpec
from lrcore.jobs.job import JobOptions
from lrcore.jobs.prune import Asha
from lrcore.jobs.range_test import RangeTestResult, RangeTestSpec, Suggestion
from lrcore.jobs.training_spec import EarlyStopping, Setup, TrainingSpec
from lrcore.models import MODELS, Model
from lrcore.optimizers import OPTIMIZERS, Optimizer
from lrcore.reference import introduction, table
from lrcore.reports.leaderboard import Difference, Row

HEAD = """# Training jobs

Made from the code by `make docs`; do not edit. Models, data sets and optimizers are also at `GET /v1/models`,
`/v1/datasets` and `/v1/optimizers`, as JSON with full JSON Schemas; schedules have [a page of their own](schedules.md).
"""


def reference() -> str:
    """The whole page."""
    kinds = {"model": "a model", "dataset": "a data set", "optimizer": "an optimizer"}
    schedules = dict.fromkeys(("schedule", "momentum_schedule", "weight_decay_schedule"), "a schedule")
    own = RangeTestSpec.model_fields.keys() - Setup.model_fields.keys()
    lines = [
        HEAD,
        "## A job\n",
        f"{inspect.getdoc(TrainingSpec)} What `POST /v1/jobs` and `python -m lrserve.worker.engine` take.\n",
        table(TrainingSpec, types=kinds | schedules),
        f"\n`early_stopping`: {inspect.getdoc(EarlyStopping)}\n",
        table(EarlyStopping),
        "\n### How it is run\n",
        f"{inspect.getdoc(JobOptions)} Beside the job's own fields, in `POST /v1/jobs` and `PUT /v1/jobs/{{id}}`.\n",
        table(JobOptions),
        "\n## An LR range test\n",
        f"{inspect.getdoc(RangeTestSpec)}\n",
        "What `POST /v1/lr-range-tests` takes, beside a job's other fields without schedules and `interval`:\n",
        table(RangeTestSpec, only=own),
        "\nThe job's `result`, once it has succeeded:\n",
        *_fields(RangeTestResult, ""),
        *_fields(Suggestion, "suggestion."),
        "\n## An experiment\n",
        f"{inspect.getdoc(ExperimentSpec)} What `POST /v1/experiments` takes, beside how it is run, without",
        "`max_seconds`:\n",
        table(ExperimentSpec, types={"base": "a job", "grid": "the axes", "prune": "a rule"}),
        "\n`grid`: any of these, and any other argument of the base's optimizer, each with values that differ:\n",
        table(Axes, types={"schedule": "schedules"}),
        f"\n`prune`: {inspect.getdoc(Asha)}\n",
        table(Asha),
        "\nA row of its leaderboard:\n",
        *_fields(Row, ""),
        *_fields(Difference, "difference."),
        *_family("Models", MODELS, Model),
        *_family("Data sets", DATASETS, Dataset),
        *_family("Optimizers", OPTIMIZERS, Optimizer),
    ]
    return "\n".join(lines)


def _fields(answer: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in answer.model_fields.items():
        yield f"- `{prefix}{name}`: {field.description}"


def _family(title: str, members: Mapping[str, type[Member]], base: type[Member]) -> Iterator[str]:
    """The fields that all have, then each with its own."""
    yield f"\n## {title}\n"
    yield f"{inspect.getdoc(base)} All take:\n"
    yield table(base)
    for member in dict.fromkeys(members.values()):
        names = member.names()
        yield f"\n### {names[0] if len(names) == 1 else names[0].split(':')[0] + ':…'}\n"
        yield f"{introduction(member)}\n"
        yield f"{inspect.getdoc(member)}\n"
        if len(names) > 1:
            yield f"{', '.join(f'`{name}`' for name in names)}\n"
        changed = {n for n, f in member.model_fields.items() if n not in base.model_fields or _differs(base, n, f)}
        if own := changed - {"type"}:
            yield table(member, only=own)
        yield f"\n```json\n{json.dumps(member.example)}\n```"


def _differs(base: type[Member], name: str, field: object) -> bool:
    return getattr(base.model_fields[name], "default", None) != getattr(field, "default", None)


if __name__ == "__main__":
    print(reference())
