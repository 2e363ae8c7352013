"""The HTTP API in a container, as a user of it: jobs that are submitted, followed and compared."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

CURVE = "/v1/curves/CosineAnnealingLR?T_max=50&base_lr=0.1&steps=50"
JOB = {
    "model": {"type": "lenet"},
    "dataset": {"type": "digits"},
    "optimizer": {"type": "SGD", "lr": 0.1},
    "schedule": {"type": "StepLR", "step_size": 5, "gamma": 0.5},
    "batch_size": 64,
    "seed": 1,
}
Json = dict[str, Any]


def until(holds: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """What holds, once it does. Raises AssertionError after that many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
    return found


class Service:
    """An API at a port of this machine, asked with a key."""

    def __init__(self, port: int, key: str = "") -> None:
        self.url, self.key = f"http://127.0.0.1:{port}", key

    def get(self, path: str, body: Json | None = None) -> bytes:
        """An answer; that of a POST if there is a body. Raises urllib.error.URLError."""
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        request = urllib.request.Request(self.url + path, body and json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def status(self, path: str) -> int:
        """The status of an answer; 0 if there is none."""
        try:
            self.get(path)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0
        return 200

    def ready(self, workers: int = 0, seconds: float = 120) -> None:
        """Return once it can take jobs, and as many workers live."""

        def holds() -> bool:
            return self.status("/readyz") == 200 and json.loads(self.get("/readyz")).get("workers", 0) >= workers

        until(holds, f"ready, with {workers} workers", seconds)

    def submit(self, epochs: int) -> str:
        """The id of a new job."""
        return str(json.loads(self.get("/v1/jobs", JOB | {"epochs": epochs}))["id"])

    def job(self, job: str) -> Json:
        """A job's record."""
        return dict(json.loads(self.get(f"/v1/jobs/{job}")))

    def reaches(self, job: str, epoch: int) -> None:
        """Return once an epoch is done; the job must go on then."""
        until(lambda: self.job(job)["progress"]["epoch"] >= epoch, f"epoch {epoch}")
        assert self.job(job)["state"] == "running", "the job is too short to be disturbed"

    def result(self, job: str, seconds: float = 900) -> list[Json]:
        """Every epoch's metrics but their times, once the job has succeeded."""
        found = until(lambda: (now := self.job(job))["finished_at"] and now, "the job's end", seconds)
        assert found["state"] == "succeeded", found
        epochs = json.loads(self.get(f"/v1/jobs/{job}/metrics"))["epochs"]
        assert [each["epoch"] for each in epochs] == list(range(1, len(epochs) + 1))
        return [{name: value for name, value in each.items() if name != "seconds"} for each in epochs]
