"""The honest tenant: it submits small jobs all the time, and each must come to what it comes to on a quiet service."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import httpx

from tests.factories import job_spec

SEEDS = 3
PATIENCE = 240.0  # seconds for a job, refusals with Retry-After included
ENDED = ("succeeded", "failed", "cancelled")

Figures = list[dict[str, Any]]


class HonestTenant(threading.Thread):
    """Submits jobs, one after another, until it is stopped.

    Attributes:
        seconds: how long each job took, from its submit to its figures.
        faults: what went wrong.
    """

    def __init__(self, url: str, token: str) -> None:
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self.faults: list[str] = []
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)
        self._stopping = threading.Event()
        self._expected: list[Figures] = []

    def prepare(self) -> None:
        """Train each job once while nothing else goes on."""
        self._expected = [self._figures(seed, f"quiet-{seed}") for seed in range(SEEDS)]
        assert all(self._expected)

    def run(self) -> None:
        """Submit jobs until `stop`. The first job that cannot be had back ends it."""
        number = 0
        while not self._stopping.is_set():
            seed, begun = number % SEEDS, time.monotonic()
            try:
                found = self._figures(seed, f"besieged-{number}")
            except Exception as error:
                self.faults.append(f"honest job {number}: {type(error).__name__}: {error}")
                return
            self.seconds.append(time.monotonic() - begun)
            if found != self._expected[seed]:
                expected = json.dumps(self._expected[seed])
                self.faults.append(f"honest job {number}: {json.dumps(found)} and not {expected}")
            number += 1

    def stop(self) -> None:
        """Wait for the last job."""
        self._stopping.set()
        self.join(PATIENCE + 10)
        if self.is_alive():
            self.faults.append(f"the last honest job did not end in {PATIENCE:g} s")
        self._http.close()

    def _figures(self, seed: int, key: str) -> Figures:
        """Train a job. Returns the figures of its epochs, without the time that they took.

        Raises:
            AssertionError: it does not succeed, or not in time.
        """
        deadline = time.monotonic() + PATIENCE
        spec = job_spec(seed=seed, schedule={"type": "CosineAnnealingLR", "T_max": 3}, priority=9)
        job = self._asked("POST", "/v1/jobs", deadline, json=spec, headers={"Idempotency-Key": key})
        path = job["links"]["self"]
        while job["state"] not in ENDED:
            job = self._asked("GET", path, deadline, headers={"Prefer": "wait=10"})
        assert job["state"] == "succeeded", job
        epochs = self._asked("GET", f"{path}/metrics", deadline)["epochs"]
        return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in epochs]

    def _asked(self, method: str, path: str, deadline: float, **arguments: Any) -> Any:
        """Send a request, and again as long as the service asks to come back later."""
        while True:
            assert time.monotonic() < deadline, f"{method} {path}: no answer within {PATIENCE:g} s"
            answer = self._http.request(method, path, **arguments)
            if answer.status_code not in (429, 503):
                assert answer.is_success, answer.text
                return answer.json()
            assert "retry-after" in answer.headers, answer.text
            time.sleep(min(float(answer.headers["retry-after"]), 5.0))
