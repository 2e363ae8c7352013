"""What can be done with a job between its beginning and its end."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from lrcore.curve import CurveRequest, sample
from tests.api.test_jobs import Json, busy, events, submit
from tests.conftest import Service, until
from tests.factories import job_spec, long_job

__all__ = ["busy"]  # a fixture


def cancelled(http: httpx.Client, *ids: str) -> None:
    for job_id in ids:
        http.post(f"/v1/jobs/{job_id}/cancel")


def test_a_dry_run_shows_the_whole_curve_and_makes_no_job(http: httpx.Client) -> None:
    before = http.get("/v1/jobs?limit=1").json()["jobs"]
    schedule = {"type": "StepLR", "step_size": 5, "gamma": 0.5}
    answer = http.post("/v1/jobs?dry_run=true", json=job_spec(schedule=schedule, interval="step"))
    found = answer.json()

    assert answer.status_code == 200
    assert (found["steps"], found["steps_per_epoch"]) == (12, 4)
    curve = sample(CurveRequest.model_validate({"schedule": schedule, "base_lr": 0.1, "steps": 12}))
    assert found["lr"] == curve.lr.tolist()
    assert found["warnings"] == []
    assert found["spec"]["seed"] == 0
    assert http.get("/v1/jobs?limit=1").json()["jobs"] == before


def test_a_dry_run_says_what_may_not_be_meant(http: httpx.Client) -> None:
    schedule = {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 100}
    found = http.post("/v1/jobs?dry_run=true", json=job_spec(schedule=schedule, interval="step")).json()

    assert [warning["code"] for warning in found["warnings"]] == ["schedule-longer-than-run"]


def test_a_dry_run_refuses_what_a_job_would_be_refused_for(http: httpx.Client) -> None:
    answer = http.post("/v1/jobs?dry_run=true", json=job_spec(epochs=0))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "epochs"]


def test_a_higher_priority_goes_first(http: httpx.Client, busy: str, service: Service) -> None:
    low, high = submit(http), submit(http, priority=9)
    assert (low["priority"], high["priority"]) == (0, 9)
    assert (high["position"], http.get(f"/v1/jobs/{low['id']}").json()["position"]) == (0, 1)

    changed = http.patch(f"/v1/jobs/{low['id']}", json={"priority": 9}).json()
    assert (changed["priority"], changed["position"]) == (9, 0)  # it came first

    cancelled(http, busy)
    first, second = service.ended(low["id"]), service.ended(high["id"])
    assert first.started_at is not None
    assert second.started_at is not None
    assert first.started_at < second.started_at
    assert first.position is None


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"priority": 10}, ["body", "priority"]),
        ({"priority": "5"}, ["body", "priority"]),
        ({"labels": ["a b"]}, ["body", "labels", 0]),
        ({"labels": "team"}, ["body", "labels"]),
    ],
)
def test_wrong_labels_and_priorities_are_named(changes: Json, loc: list[Any], http: httpx.Client) -> None:
    answer = http.post("/v1/jobs", json=job_spec(**changes))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == loc


def test_jobs_are_found_by_label(http: httpx.Client, busy: str) -> None:
    mine = [submit(http, labels=["team=vision", "sweep.7"])["id"] for _ in range(3)]
    other = submit(http, labels=["team=text"])["id"]
    cancelled(http, mine[0])

    def found(query: str) -> list[str]:
        return [job["id"] for job in http.get(f"/v1/jobs?{query}").json()["jobs"]]

    assert found("label=team=vision") == mine[::-1]
    assert found("label=team=vision&state=queued") == mine[:0:-1]
    assert found("label=sweep.7&state=cancelled") == [mine[0]]
    assert found("label=team=text") == [other]
    page = http.get("/v1/jobs?label=sweep.7&limit=2").json()
    assert [job["id"] for job in page["jobs"]] == mine[:0:-1]
    assert found(f"label=sweep.7&cursor={page['next_cursor']}") == [mine[0]]
    cancelled(http, *mine, other)


def test_a_queued_job_is_paused_and_resumed_at_once(http: httpx.Client, busy: str, service: Service) -> None:
    waiting = submit(http)
    paused = http.post(waiting["links"]["pause"])
    assert (paused.status_code, paused.json()["state"], paused.json()["position"]) == (200, "paused", None)
    assert http.post(waiting["links"]["pause"]).status_code == 200

    resumed = http.post(waiting["links"]["resume"])
    assert (resumed.status_code, resumed.json()["state"], resumed.json()["position"]) == (200, "queued", 0)
    cancelled(http, busy)
    assert service.ended(waiting["id"]).state == "succeeded"


@pytest.mark.slow
def test_a_paused_run_goes_on_where_it_stopped(http: httpx.Client, service: Service) -> None:
    spec = long_job()
    undisturbed = service.train(spec)
    job_id = submit(http, **spec)["id"]
    until(lambda: service.client.job(job_id).progress.step > 20)
    assert http.post(f"/v1/jobs/{job_id}/pause").status_code in (200, 202)
    until(lambda: service.client.job(job_id).state == "paused")
    progress = service.client.job(job_id).progress
    assert 0 < progress.step < progress.steps

    http.post(f"/v1/jobs/{job_id}/resume").raise_for_status()
    job = service.ended(job_id)

    def figures(of: str) -> list[Json]:
        return [row.model_dump(exclude={"seconds"}) for row in service.client.metrics(of)]

    assert (job.state, job.attempt) == ("succeeded", 2)
    assert figures(job_id) == figures(undisturbed.id)
    steps = [data["step"] for _, kind, data in events(http, job_id) if kind == "progress"]
    assert steps == sorted(steps)  # nothing was trained again


def test_a_paused_job_can_be_cancelled(http: httpx.Client, busy: str) -> None:
    waiting = submit(http)
    http.post(waiting["links"]["pause"])

    assert http.post(waiting["links"]["cancel"]).json()["state"] == "cancelled"
    for action in ("pause", "resume"):
        refused = http.post(waiting["links"][action])
        assert refused.status_code == 409
        assert refused.headers["content-type"] == "application/problem+json"
    assert http.patch(f"/v1/jobs/{waiting['id']}", json={"priority": 1}).status_code == 409


def test_an_ended_job_is_run_again_as_a_new_one(http: httpx.Client, busy: str) -> None:
    old = submit(http, labels=["again"], priority=3, seed=7)
    assert http.post(old["links"]["retry"]).status_code == 409
    cancelled(http, old["id"])
    answer = http.post(old["links"]["retry"])
    new = answer.json()

    assert answer.status_code == 202
    assert answer.headers["location"] == new["links"]["self"]
    assert new["id"] != old["id"]
    assert [new[key] for key in ("spec", "labels", "priority")] == [old[key] for key in ("spec", "labels", "priority")]
    assert http.get(old["links"]["self"]).json()["state"] == "cancelled"
    cancelled(http, new["id"])


def test_a_request_that_is_sent_again_makes_no_second_job(http: httpx.Client, busy: str) -> None:
    def post(key: str, **changes: Any) -> httpx.Response:
        return http.post("/v1/jobs", json=job_spec(**changes), headers={"Idempotency-Key": key})

    with ThreadPoolExecutor(8) as pool:
        ids = {answer.json()["id"] for answer in pool.map(lambda _: post("one", seed=1), range(20))}
    assert len(ids) == 1
    other = post("two", seed=1).json()["id"]
    assert other not in ids
    refused = post("one", seed=2)
    assert refused.status_code == 422
    assert refused.json()["type"] == "urn:lrserve:problem:idempotency-key-reused"
    cancelled(http, other, *ids)
    assert post("one", seed=1).json()["state"] == "cancelled"  # the job as it is by now


@pytest.mark.parametrize(("action", "change"), [("retry", None), ("clone", {"seed": 3})])
def test_a_job_is_made_of_another_one_once(
    http: httpx.Client, busy: str, action: str, change: dict[str, Any] | None
) -> None:
    headers = {"Idempotency-Key": f"again by {action}"}
    old = http.post("/v1/jobs", json=job_spec(), headers=headers).json()
    cancelled(http, old["id"])

    made = [http.post(old["links"][action], json=change, headers=headers) for _ in range(2)]
    other = http.post(old["links"][action], json=change).json()

    assert [answer.status_code for answer in made] == [202, 202]
    assert made[0].json()["id"] == made[1].json()["id"]
    assert len({old["id"], made[0].json()["id"], other["id"]}) == 3  # the key is of these alone
    refused = http.post(old["links"]["clone"], json={"seed": 4}, headers=headers)
    assert refused.status_code == (422 if action == "clone" else 202)
    cancelled(http, made[0].json()["id"], other["id"], *([refused.json()["id"]] if refused.is_success else []))


def test_a_deleted_job_leaves_nothing(http: httpx.Client, service: Service) -> None:
    headers = {"Idempotency-Key": "deleted"}
    body = job_spec(labels=["deleted"])
    job = http.post("/v1/jobs", json=body, headers=headers).json()
    path = job["links"]["self"]
    folder = service.stack.settings.home_folder / "artifacts" / job["id"]
    assert service.ended(job["id"]).state == "succeeded"
    assert folder.is_dir()

    assert http.delete(path).status_code == 204
    assert not folder.exists()
    assert http.get("/v1/jobs?label=deleted").json()["jobs"] == []
    for answer in (http.get(path), http.delete(path), http.get(f"{path}/metrics"), http.get(f"{path}/artifacts")):
        assert answer.status_code == 404
    again = http.post("/v1/jobs", json=body, headers=headers).json()
    assert again["id"] != job["id"]
    assert service.ended(again["id"]).state == "succeeded"


def test_a_job_that_has_not_ended_is_not_deleted(http: httpx.Client, busy: str) -> None:
    assert http.delete(f"/v1/jobs/{busy}").status_code == 409
    assert http.get(f"/v1/jobs/{busy}").status_code == 200


def test_a_change_of_anything_else_is_refused(http: httpx.Client, busy: str) -> None:
    answer = http.patch(f"/v1/jobs/{busy}", json={"priority": 1, "epochs": 3})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", "epochs"]
    assert http.patch("/v1/jobs/nothing", json={"priority": 1}).status_code == 404


def test_an_id_of_one_s_own(http: httpx.Client, busy: str, service: Service) -> None:
    spec = job_spec(labels=["mine"])
    first = http.put("/v1/jobs/sweep-7.lr-0.1", json=spec)
    again = http.put("/v1/jobs/sweep-7.lr-0.1", json=spec)
    other = http.put("/v1/jobs/sweep-7.lr-0.1", json=job_spec(seed=1))

    assert (first.status_code, first.headers["location"]) == (202, "/v1/jobs/sweep-7.lr-0.1")
    assert (again.status_code, again.json()["id"]) == (200, "sweep-7.lr-0.1")
    assert (other.status_code, other.json()["type"]) == (409, "urn:lrserve:problem:job-exists")
    assert http.get("/v1/jobs?limit=1").json()["jobs"][0]["id"] == "sweep-7.lr-0.1"
    cancelled(http, busy)
    assert service.ended("sweep-7.lr-0.1").state == "succeeded"
    assert http.delete("/v1/jobs/sweep-7.lr-0.1").status_code == 204


@pytest.mark.parametrize("name", ["Capital", ".hidden", "a" * 65, "a b", "a:b"])
def test_ids_that_are_no_good_are_refused(name: str, http: httpx.Client) -> None:
    answer = http.put(f"/v1/jobs/{name}", json=job_spec())

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["path", "job_id"]


def test_a_quoted_key_is_the_same_key(http: httpx.Client, busy: str) -> None:
    ids = {
        http.post("/v1/jobs", json=job_spec(), headers={"Idempotency-Key": key}).json()["id"]
        for key in ("a-key-of-mine", '"a-key-of-mine"')
    }

    assert len(ids) == 1
    cancelled(http, *ids)


def test_a_clone_is_the_job_with_changes(http: httpx.Client, busy: str) -> None:
    schedule = {"type": "StepLR", "step_size": 5, "gamma": 0.5}
    old = submit(http, schedule=schedule, labels=["old"], priority=3, seed=7, max_grad_norm=1.0)
    changes: Json = {
        "optimizer": {"lr": 0.5},
        "schedule": {"type": "CosineAnnealingLR", "T_max": 3},
        "max_grad_norm": None,
        "labels": ["new"],
    }

    answer = http.post(f"/v1/jobs/{old['id']}/clone", json=changes)
    new = answer.json()

    assert answer.status_code == 202
    assert new["id"] != old["id"]
    assert new["spec"]["optimizer"] == old["spec"]["optimizer"] | {"lr": 0.5}
    assert new["spec"]["schedule"] == {"type": "CosineAnnealingLR", "T_max": 3, "eta_min": 0.0}
    assert new["spec"]["max_grad_norm"] is None
    assert (new["spec"]["seed"], new["labels"], new["priority"]) == (7, ["new"], 3)
    cancelled(http, old["id"], new["id"])


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"epochs": 0}, ["body", "epochs"]),
        ({"optimizer": {"rate": 1}}, ["body", "optimizer", "rate"]),
        ({"model": None}, ["body", "model"]),
        ([], ["body"]),
    ],
)
def test_a_clone_that_would_be_no_job_is_refused(changes: Any, loc: list[Any], http: httpx.Client, busy: str) -> None:
    answer = http.post(f"/v1/jobs/{busy}/clone", json=changes)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == loc


def test_one_can_wait_for_the_end(http: httpx.Client, service: Service) -> None:
    job = submit(http)

    answer = http.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "respond-async, wait=30"})

    assert answer.json()["state"] == "succeeded"
    assert answer.headers["preference-applied"] == "wait=30"
    again = http.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=600"})
    assert again.headers["preference-applied"] == "wait=60"


def test_waiting_has_an_end(http: httpx.Client, busy: str) -> None:
    answer = http.get(f"/v1/jobs/{busy}", headers={"Prefer": "wait=1"})

    assert answer.json()["state"] in ("queued", "running")


def test_a_job_has_its_time(http: httpx.Client, service: Service) -> None:
    job = service.ended(submit(http, **long_job(epochs=1000, max_seconds=1))["id"])

    assert job.state == "failed"
    assert job.error is not None
    assert job.error.type == "timeout"


def test_a_job_that_fails_is_tried_again_if_asked_for(http: httpx.Client, service: Service) -> None:
    nowhere = {"type": "image-folder", "folder": "nowhere", "image_size": 12, "channels": 1, "classes": 2, "samples": 8}
    spec = job_spec(dataset=nowhere, max_attempts=2)
    job = service.ended(submit(http, **spec)["id"])

    assert (job.state, job.attempt, job.losses) == ("failed", 2, 0)


def test_a_dry_run_says_that_nobody_would_take_the_job(http: httpx.Client) -> None:
    warnings = http.post("/v1/jobs?dry_run=true", json=job_spec(hardware="gpu.h200")).json()["warnings"]

    assert [warning["code"] for warning in warnings] == ["no_worker"]
    assert "'gpu.h200'" in warnings[0]["message"]


def part_of_events(http: httpx.Client, job_id: str, after: str | None) -> list[tuple[str, str, Json]]:
    """A job's events from the next one on, until the connection breaks: after an epoch, or the end."""
    found, fields = [], {}
    with http.stream("GET", f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": after} if after else {}) as stream:
        for line in stream.iter_lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                if found[-1][1] in ("epoch", "end"):
                    return found
                fields = {}
    return found


@pytest.mark.slowest
def test_what_is_missed_is_told_after_coming_back_and_nothing_twice(http: httpx.Client) -> None:
    job_id = submit(http, **long_job(epochs=12))["id"]
    seen: list[tuple[str, str, Json]] = []
    while not seen or seen[-1][1] != "end":
        seen += part_of_events(http, job_id, seen[-1][0] if seen else None)

    assert [data["epoch"] for _, kind, data in seen if kind == "epoch"] == list(range(12))
    assert [data["state"] for _, kind, data in seen if kind == "state"] == ["queued", "running", "succeeded"]
    ids = [tuple(map(int, event_id.split("-"))) for event_id, _, _ in seen]
    assert ids == sorted(set(ids))


@pytest.mark.slowest
def test_many_clients_follow_one_job(http: httpx.Client, service: Service) -> None:
    job_id = submit(http, **long_job(epochs=5))["id"]

    def follow(_: int) -> list[tuple[str, str]]:
        with httpx.Client(base_url=service.url, timeout=60) as client:
            return [(event_id, kind) for event_id, kind, _ in events(client, job_id) if kind != "progress"]

    with ThreadPoolExecutor(30) as pool:
        stories = list(pool.map(follow, range(30)))

    assert all(story == stories[0] for story in stories)
    assert [kind for _, kind in stories[0]] == ["state", "state", *["epoch"] * 5, "state", "end"]


def test_an_event_that_never_was_is_followed_by_nothing(http: httpx.Client, busy: str, service: Service) -> None:
    """As after a Redis that lost its last second."""
    job_id = submit(http)["id"]
    cancelled(http, busy)

    assert events(http, job_id, "9999999999999999-0") == []
    assert service.client.job(job_id).state == "succeeded"
    assert events(http, job_id, "9999999999999999-0") == []


def test_a_page_has_a_number_of_plain_digits(http: httpx.Client) -> None:
    assert http.get("/v1/jobs?cursor=\N{ARABIC-INDIC DIGIT THREE}").status_code == 422


def test_a_job_with_the_shortest_time_can_be_run_again(http: httpx.Client, service: Service) -> None:
    shorter = http.post("/v1/jobs", json=job_spec(max_seconds=1e-9))
    job = service.ended(submit(http, max_seconds=0.001)["id"])
    again = http.post(f"/v1/jobs/{job.id}/retry")

    assert shorter.status_code == 422
    assert shorter.json()["errors"][0]["loc"] == ["body", "max_seconds"]
    assert (again.status_code, again.json()["max_seconds"]) == (202, 0.001)
    service.ended(again.json()["id"])
