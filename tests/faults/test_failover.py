"""The primary of a Redis with Sentinels dies under fifty jobs, and its replica takes over."""

from __future__ import annotations

import json
import os
import random
import secrets
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from lrcore.jobs.job import Epoch
from lrcore.jobs.states import State
from tests.conftest import until
from tests.factories import job_spec
from tests.failover import FailoverRedis, failover_redis
from tests.faults.harness import Rig, Spec, Trial, job_of

ROUNDS = int(os.environ.get("FAILOVER_ROUNDS", "1"))
JOBS = 50
DOWN_MS = 5000
FOLLOWED = job_of(20)
SEEDS = 4  # different jobs among them


@pytest.mark.faults("the primary of Redis killed under 50 jobs")
@pytest.mark.timeout(300 + 120 * ROUNDS)
def test_every_accepted_job_ends_once_when_redis_fails_over(trial: Trial, tmp_path: Path) -> None:
    seed = int(os.environ.get("FAULTS_SEED", secrets.randbelow(10**6)))
    trial.row.notes.append(f"FAULTS_SEED={seed}")
    with (
        failover_redis(tmp_path / "redis", down_ms=DOWN_MS) as redis,
        trial.service(workers=2, redis_url=redis.url, redis_wait_replicas=1) as rig,
    ):
        story = Story(rig, redis, random.Random(seed))
        for number in range(ROUNDS):
            story.round(number)
            rig.row.rounds += 1
        assert rig.redis.zcard("lrserve:jobs") == len(rig.jobs) == ROUNDS * (JOBS + 1)
        refused = ", ".join(f"{count} {kind}" for kind, count in sorted(story.refusals.items()))
        rig.row.notes.append(f"refused and sent again: {refused or 'none'}")
        rig.row.notes.append(f"seconds from the kill to the promotion: {', '.join(story.promotions)}")
        rig.row.notes.append(f"connections of the clients that follow a job: {story.connections}")


class Story:
    """Rounds of fifty jobs, in each of which the primary dies and comes back as the replica of the other server."""

    def __init__(self, rig: Rig, redis: FailoverRedis, chance: random.Random) -> None:
        self.rig, self.redis, self.chance = rig, redis, chance
        self.refusals: Counter[str] = Counter()
        self.promotions: list[str] = []
        self.connections = 0

    def round(self, number: int) -> None:
        accepted = len(self.rig.jobs)
        followed = self.submit(f"{number} followed", FOLLOWED)
        with ThreadPoolExecutor(2) as pool:
            events = pool.submit(self.follow, followed)
            submits = pool.submit(self.submit_all, number)
            at = accepted + self.chance.randint(5, JOBS)
            until(lambda: len(self.rig.jobs) > at or submits.done())
            time.sleep(self.chance.random())
            self.fail_over()
            finished(submits)
            assert {job.state for job in self.rig.all_ended()} == {State.SUCCEEDED}
            self.check_followed(followed, finished(events))
        self.redis.wait_for_replica()

    def fail_over(self) -> None:
        """Kill the primary, and start it again once all Sentinels name the other server."""
        killed, began = self.redis.primary(), time.monotonic()
        self.redis.kill(killed)
        self.redis.wait_for_promotion(killed)
        self.promotions.append(f"{time.monotonic() - began:.1f}")
        self.redis.start_server(killed)

    def submit_all(self, number: int) -> None:
        for index in range(JOBS):
            self.submit(f"{number} {index}", job_spec(seed=index % SEEDS))

    def submit(self, key: str, spec: Spec) -> str:
        """A job that the service has accepted. What it does not accept is sent again, as the answer says."""
        while True:
            try:
                answer = self.rig.service.http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": key}, timeout=10)
            except httpx.TransportError:
                self.refusals["no answer"] += 1
                continue
            if answer.status_code == 202:
                job_id = str(answer.json()["id"])
                self.rig.jobs[job_id] = spec
                return job_id
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) > 0
            self.refusals[answer.json()["type"].rpartition(":")[2]] += 1
            time.sleep(0.2)

    def follow(self, job_id: str) -> list[dict[str, Any]]:
        """The job's events, each with its id, by a client that comes back with the last one that it has."""
        events: list[dict[str, Any]] = []
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            after = {"Last-Event-ID": events[-1]["id"]} if events else {}
            self.connections += 1
            try:
                with self.rig.service.http.stream("GET", f"/v1/jobs/{job_id}/events", headers=after) as answer:
                    fields: dict[str, str] = {}
                    for line in answer.iter_lines() if answer.is_success else ():
                        name, _, value = line.partition(": ")
                        if line and name:
                            fields[name] = value
                        elif "id" in fields:
                            events.append(fields | {"data": json.loads(fields["data"])})
                            fields = {}
            except httpx.TransportError:
                continue
            if events and events[-1]["event"] == "end":
                return events
            time.sleep(0.2)
        raise AssertionError(f"{job_id} had no end: {events[-3:]}")

    def check_followed(self, job_id: str, events: list[dict[str, Any]]) -> None:
        """Whoever followed the job has kept its place, and has every epoch as it is in the end."""
        places = [tuple(map(int, event["id"].split("-"))) for event in events]
        assert all(before < after for before, after in pairwise(places)), job_id
        epochs: list[dict[str, Any]] = []
        for event in events:
            if event["event"] == "epoch":
                epochs = [*epochs[: event["data"]["epoch"]], event["data"]]
        assert [Epoch.model_validate(row) for row in epochs] == self.rig.client.metrics(job_id)


def finished(work: Future[Any]) -> Any:
    return work.result(240)
