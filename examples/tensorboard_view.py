"""A job in TensorBoard: the events that it leaves behind hold the rates of the curve.

    lrserve up &
    python examples/tensorboard_view.py [--url http://localhost:8000]
    tensorboard --logdir runs                   # the job's losses, accuracies and rate, beside those of other jobs

`lrserve artifacts ID --download runs/ID` does the same for a job that is there already.
"""

from pathlib import Path

import httpx
from common import check, rates, server, trained
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

EPOCHS = 5
SCHEDULE = {"type": "StepLR", "step_size": 2, "gamma": 0.5}
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

folder = Path("runs") / job["id"]
folder.mkdir(parents=True)
for artifact in api.get(job["links"]["artifacts"]).raise_for_status().json()["artifacts"]:
    if "tfevents" in artifact["name"]:
        (folder / artifact["name"]).write_bytes(api.get(f"{job['links']['artifacts']}/{artifact['name']}").content)

events = EventAccumulator(str(folder))
events.Reload()
print(f"{folder}: {', '.join(events.Tags()['scalars'])}")
used = [event.value for event in events.Scalars("lr/group0")]
check(used, rates(SCHEDULE, 0.1, EPOCHS, url), within=1e-8)  # TensorBoard keeps float32
