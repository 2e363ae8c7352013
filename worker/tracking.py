"""A finished job as a run in MLflow, where MLFLOW_TRACKING_URI names a server; MLflow's other variables hold too."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrcore.jobs.job import Best, Epoch
from lrcore.jobs.training_spec import TrainingSpec

from .artifacts import ends, files, scalars

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger("lrserve.worker")

JOB = "lrserve.job_id"  # tag
PARAMS, METRICS = 100, 1000  # that MLflow takes at once
# MLflow's own defaults hold up a job for minutes if the server is away, and tell others what it is used for
QUIET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


def track(folder: Path, spec: TrainingSpec, epochs: Sequence[Epoch], best: Best, job_id: str) -> None:
    """Log the job, once however often it is called. What goes wrong is a warning: the job is not to blame."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        _track(folder, spec, epochs, best, job_id)
    except ImportError:
        log.warning("MLFLOW_TRACKING_URI is set, but not used: pip install 'lrserve[mlflow]'")
    except Exception as error:  # MLflow's own, those of requests, of a database, of a bucket
        log.warning("was not logged to MLflow: %s: %s", type(error).__name__, error)


def _track(folder: Path, spec: TrainingSpec, epochs: Sequence[Epoch], best: Best, job_id: str) -> None:
    from mlflow import MlflowClient  # noqa: PLC0415  # optional, and a second that other workers need not wait for
    from mlflow.entities import Metric, Param  # noqa: PLC0415

    client = MlflowClient()
    experiment = _experiment(client, os.environ.get("MLFLOW_EXPERIMENT_NAME") or "lrserve")
    for run in client.search_runs([experiment], f"tags.`{JOB}` = '{job_id}'"):
        if run.info.status == "FINISHED":
            return
        client.delete_run(run.info.run_id)  # a worker died over it
    run_id = client.create_run(experiment, tags={JOB: job_id}, run_name=job_id).info.run_id
    params = [Param(name, value) for name, value in flat(spec.model_dump(mode="json"))]
    for start in range(0, len(params), PARAMS):
        client.log_batch(run_id, params=params[start : start + PARAMS])
    metrics = [
        Metric(name, value, round(1000 * end), epoch.epoch)
        for epoch, end in zip(epochs, ends(epochs), strict=True)
        for name, value in scalars(epoch).items()
    ]
    metrics += [
        Metric(f"best/{name}", value, metrics[-1].timestamp, best.epoch)
        for name, value in best.model_dump(mode="json").items()
    ]
    for start in range(0, len(metrics), METRICS):
        client.log_batch(run_id, metrics=metrics[start : start + METRICS])
    for file in files(folder):
        client.log_artifact(run_id, str(file))
    client.set_terminated(run_id)


def _experiment(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name)
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:  # so it was not another worker that came first
                raise
    return found.experiment_id


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a spec by their paths, such as optimizer.lr; a list is one leaf, as JSON."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)
