"""A job in MLflow: a worker with MLFLOW_TRACKING_URI in its environment logs each job that succeeds as a run.

    export MLFLOW_TRACKING_URI=http://localhost:5000            # of an MLflow server, or a file:// or sqlite:// store
    lrserve up &
    python examples/mlflow_view.py [--url http://localhost:8000]

The run is named after the job, and has its spec as parameters, every epoch's figures as metrics, and its files.
"""

import httpx
from common import check, rates, server, trained
from mlflow import MlflowClient

EPOCHS = 5
SCHEDULE = {"type": "CosineAnnealingLR", "T_max": EPOCHS, "eta_min": 0.001}
JOB = {
    "model": {"type": "mlp"},
    "dataset": {"type": "digits"},
    "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9},
    "schedule": SCHEDULE,
    "epochs": EPOCHS,
    "batch_size": 64,
}

url = server(__doc__) or "http://localhost:8000"
api = httpx.Client(base_url=url, timeout=60)
job = trained(api, JOB)

mlflow = MlflowClient()
experiment = mlflow.get_experiment_by_name("lrserve")
assert experiment, "the worker logs nothing: is MLFLOW_TRACKING_URI set where it runs?"
(run,) = mlflow.search_runs([experiment.experiment_id], f"tags.`lrserve.job_id` = '{job['id']}'")
print(f"run {run.info.run_name}: accuracy {run.data.metrics['accuracy/test']:.3f}, {run.data.params['schedule.type']}")
history = sorted(mlflow.get_metric_history(run.info.run_id, "lr/group0"), key=lambda metric: metric.step)
check([metric.value for metric in history], rates(SCHEDULE, 0.1, EPOCHS, url))
