"""What an earlier version has left behind, in this one: listed, read, resumed and finished.

It was recorded at e39790a; record.py says how.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis

from tests.conftest import Service, redis_process, running_service
from tests.stores import JobStore
from tests.upgrade.record import ELSEWHERE, LONG, LONG_RANGE, RECORDED, SHORT, post

pytestmark = pytest.mark.slow


class Before:
    """A recorded version, and the present service on what it has left."""

    def __init__(self, service: Service, redis: Redis) -> None:
        self.service, self.redis = service, redis
        self.jobs: dict[str, str] = _json("jobs")
        self.answers: dict[str, Any] = _json("answers")

    @functools.cached_property
    def undisturbed(self) -> list[dict[str, Any]]:
        """Epochs of LONG, trained by this version."""
        return figures(self, self.service.train(LONG).id)

    def get(self, path: str) -> Any:
        answer = self.service.http.get(path)
        assert answer.is_success, answer.text
        return answer.json()

    def resumed(self, name: str) -> str:
        job_id = self.jobs[name]
        post(self.service, f"/v1/jobs/{job_id}/resume")
        job = self.service.ended(job_id)
        assert (job.state, job.error) == ("succeeded", None)
        return job_id


def _json(file: str) -> Any:
    return json.loads((RECORDED / f"{file}.json").read_text())


def restore(redis: Redis, store: dict[str, Any]) -> None:
    for key, (kind, value) in store.items():
        match kind:
            case "string":
                redis.set(key, value)
            case "hash":
                redis.hset(key, mapping=value)
            case "list":
                redis.rpush(key, *value)
            case "set":
                redis.sadd(key, *value)
            case "zset":
                redis.zadd(key, dict(value))
            case "stream":
                for event, fields in value:
                    redis.xadd(key, fields, id=event)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Before]:
    folder = tmp_path_factory.mktemp("recorded")
    shutil.copytree(RECORDED / "home", folder / "home")
    with redis_process(folder / "redis") as url:
        redis = Redis.from_url(url, decode_responses=True)
        restore(redis, _json("store"))
        with running_service(folder / "home", redis_url=url, reap_seconds=0.2) as service:
            yield Before(service, redis)


def within(old: Any, new: Any, where: str = "") -> None:
    """Fail unless all that an earlier version said is said still. New fields, and new links, are no breach."""
    if isinstance(old, dict):
        for name, value in old.items():
            assert name in new, f"{where}/{name} is gone"
            within(value, new[name], f"{where}/{name}")
    elif isinstance(old, list):
        assert len(old) == len(new), where
        for i, (one, other) in enumerate(zip(old, new, strict=True)):
            within(one, other, f"{where}/{i}")
    else:
        assert old == new, where


def figures(before: Before, job_id: str) -> list[dict[str, Any]]:
    return figures_of(before.get(f"/v1/jobs/{job_id}/metrics"))


def figures_of(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in metrics["epochs"]]


def test_answers_about_what_does_not_move_are_what_they_were(before: Before) -> None:
    for name, job_id in before.jobs.items():
        for path, answer in before.answers[name].items() if name != "running" else ():
            within(answer, before.get(f"/v1/jobs/{job_id}" if path == "job" else path), f"{name}: {path}")


def test_all_jobs_are_listed_in_their_order(before: Before) -> None:
    old, new = before.answers["list"]["jobs"], before.get("/v1/jobs?limit=100")["jobs"]

    assert [job["id"] for job in new][-len(old) :] == [job["id"] for job in old]
    assert {job["id"] for job in before.get("/v1/jobs?label=team=a")["jobs"]} == {
        before.jobs["succeeded"],
        before.jobs["waiting"],
    }


@pytest.mark.slowest
def test_the_job_of_a_lost_worker_is_done_by_another(before: Before) -> None:
    job = before.service.ended(before.jobs["running"])

    assert (job.state, job.losses) == ("succeeded", 1)
    assert len(figures(before, job.id)) == LONG["epochs"]


@pytest.mark.slowest
def test_a_paused_job_goes_on_from_its_checkpoint(before: Before) -> None:
    rows = figures(before, before.jobs["paused"])
    job_id = before.resumed("paused")

    assert 0 < len(rows) < LONG["epochs"]
    assert goes_on(before, job_id)
    agree(before, figures(before, job_id), before.undisturbed)


def agree(before: Before, resumed: Any, alone: Any) -> None:
    """Fail unless two results are equal, where this processor rounds as the one of the recording; else, nearly so."""
    if rounds_alike(before):
        assert resumed == alone
    else:
        nearly(resumed, alone)


def rounds_alike(before: Before) -> bool:
    recorded = figures_of(before.answers["paused"][f"/v1/jobs/{before.jobs['paused']}/metrics"])
    return before.undisturbed[: len(recorded)] == recorded


def nearly(one: Any, other: Any, where: str = "") -> None:
    """Fail unless two results differ by no more than rounding brings about in some hundred steps."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name, value in one.items():
            nearly(value, other[name], f"{where}/{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for i, pair in enumerate(zip(one, other, strict=True)):
            nearly(*pair, f"{where}/{i}")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=0.02, abs=0.05), where
    else:
        assert one == other, where


def goes_on(before: Before, job_id: str) -> bool:
    """Whether the job's second attempt went on from a checkpoint. The line about its end may come after the end."""
    _, _, log = before.service.log.read_text().partition(f"job={job_id} attempt=2 started")
    return "goes on from epoch" in log.partition(" started")[0]


@pytest.mark.slowest
def test_a_paused_range_test_goes_on(before: Before) -> None:
    job_id = before.resumed("paused range test")
    assert goes_on(before, job_id)
    again = post(before.service, "/v1/lr-range-tests", LONG_RANGE)["id"]

    alone: Any = before.service.ended(again).result
    agree(before, before.get(f"/v1/jobs/{job_id}")["result"]["loss"], alone["loss"])


@pytest.mark.slowest
def test_a_paused_experiment_goes_on(before: Before) -> None:
    job_id = before.resumed("paused experiment")
    assert "goes on from epoch" in before.service.log.read_text().partition(f"job={job_id}/1 attempt=2")[2]
    spec = before.get(f"/v1/jobs/{job_id}")["spec"]
    again = post(before.service, "/v1/experiments", {"base": spec["base"], "grid": spec["grid"]})["id"]
    before.service.ended(again)

    boards = [before.get(f"/v1/experiments/{each}")["leaderboard"] for each in (job_id, again)]
    if rounds_alike(before):
        assert boards[0] == boards[1]
    else:  # a rounding may put another image right, and another configuration first
        ended = [{row["configuration"]: (row["settings"], row["runs"]) for row in board} for board in boards]
        assert ended[0] == ended[1]


def test_a_job_can_be_put_again(before: Before) -> None:
    body = SHORT | ELSEWHERE | {"max_seconds": 600}

    again = before.service.http.put("/v1/jobs/chosen", json=body)
    other = before.service.http.put("/v1/jobs/chosen", json=body | {"seed": 1})

    assert (again.status_code, other.status_code) == (200, 409)


def test_a_request_can_be_sent_again(before: Before) -> None:
    again = post(before.service, "/v1/jobs", SHORT | {"labels": ["team=a"]}, **{"Idempotency-Key": "once"})

    assert again["id"] == before.jobs["succeeded"]


def test_jobs_can_be_cancelled_prioritized_cloned_and_deleted(before: Before) -> None:
    waiting, failed = before.jobs["waiting"], before.jobs["failed"]
    url = f"/v1/jobs/{waiting}"

    assert before.service.http.patch(url, json={"priority": 2}).json()["priority"] == 2
    clone = post(before.service, f"{url}/clone", {"hardware": None})
    assert before.service.ended(clone["id"]).state == "succeeded"
    assert post(before.service, f"{url}/cancel")["state"] == "cancelled"
    assert before.service.http.delete(f"/v1/jobs/{failed}").status_code == 204
    assert before.service.http.get(f"/v1/jobs/{failed}").status_code == 404


def test_files_are_found(before: Before) -> None:
    url = f"/v1/jobs/{before.jobs['succeeded']}/artifacts"

    assert "metrics.json" in [file["name"] for file in before.get(url)["artifacts"]]
    assert before.get(f"{url}/metrics.json")["best"]["epoch"] >= 0


def test_another_tenant_s_job_is_its_own(before: Before) -> None:
    assert JobStore(before.redis).of("vision").get("theirs").state == "succeeded"
    assert before.service.http.get("/v1/jobs/theirs").status_code == 404
