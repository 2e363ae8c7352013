"""Range tests over HTTP, on real processes."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from typing import Any

import httpx
import pytest

from tests.api.test_jobs import Json, busy, events
from tests.conftest import Service, until
from tests.factories import job_spec, long_job, range_test_job, range_test_of, submitted

__all__ = ["busy"]  # a fixture

PATH = "/v1/lr-range-tests"


def body(**changes: Any) -> Json:
    """A range test of well under a second, with suggestions."""
    given = {"model": {"type": "mlp"}, "start_lr": 1e-3, "end_lr": 1e3, "num_iter": 60, "smoothing": 0.3}
    return range_test_job(**given | changes)


def submit(http: httpx.Client, **changes: Any) -> Json:
    return submitted(http, "lr-range-tests", body(**changes))


@pytest.fixture(scope="module")
def done(service: Service) -> Json:
    """A range test that succeeded and asked for a training."""
    job = submit(service.http, use_for="valley", epochs=2, labels=["range"], priority=2)
    service.ended(job["id"])
    found: Json = service.http.get(job["links"]["self"]).json()
    return found


def test_a_range_test_is_a_job(http: httpx.Client, service: Service) -> None:
    answer = http.post(PATH, json=body(labels=["first"]))
    job = answer.json()

    assert answer.status_code == 202
    assert answer.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["state"], job["result"]) == ("lr_range_test", "queued", None)
    assert job["spec"]["mode"] == "exp"
    assert (job["progress"]["steps"], job["progress"]["epochs"]) == (60, 15)
    assert [found["id"] for found in http.get("/v1/jobs?label=first").json()["jobs"]] == [job["id"]]
    assert service.ended(job["id"]).state == "succeeded"


def test_its_result_has_the_curve_and_the_suggestions(done: Json) -> None:
    result = done["result"]
    suggestion = result["suggestion"]

    assert (done["state"], done["error"]) == ("succeeded", None)
    assert result["ended"] == "diverged"
    assert result["lr"][0] == 1e-3
    assert (result["seeds"], result["losses"], result["together"]) == ([0], None, 1)
    assert len(result["lr"]) == len(result["loss"]) == len(result["smoothed_loss"]) == done["progress"]["step"] < 60
    assert set(suggestion) == {"steepest", "valley", "max_lr", "reasons"}
    for name in ("steepest", "valley", "max_lr"):
        assert 1e-3 <= suggestion[name] <= result["lr"][-1]


def test_several_seeds_have_a_result_and_a_curve_each(http: httpx.Client, service: Service) -> None:
    job = submit(http, seeds=[3, 8], seed=1)
    service.ended(job["id"])
    done = http.get(job["links"]["self"]).json()
    result = done["result"]
    rows = list(csv.DictReader(io.StringIO(http.get(f"{PATH}/{job['id']}/curve?format=csv").text)))

    assert (done["state"], done["spec"]["seeds"], done["spec"]["seed"]) == ("succeeded", [3, 8], 1)
    assert done["progress"]["steps"] == 120
    assert result["seeds"] == [3, 8]
    means = [sum(losses) / 2 for losses in zip(*result["losses"], strict=True)]
    assert result["loss"] == pytest.approx(means, rel=1e-12)
    assert [float(row["loss_seed_8"]) for row in rows] == result["losses"][1]
    assert http.get(f"/v1/jobs/{job['id']}/plot.svg").status_code == 200


def test_use_for_makes_one_training_at_the_suggested_rate(done: Json, http: httpx.Client, service: Service) -> None:
    job_id = done["result"]["job_id"]
    assert service.ended(job_id).state == "succeeded"
    job = http.get(f"/v1/jobs/{job_id}").json()

    assert (job["kind"], job["result"]) == ("training", None)
    assert job["spec"]["optimizer"]["lr"] == done["result"]["suggestion"]["valley"]
    assert (job["spec"]["epochs"], job["spec"]["model"]["type"], job["priority"]) == (2, "mlp", 2)
    assert [found["id"] for found in http.get("/v1/jobs?label=range").json()["jobs"]] == [job_id, done["id"]]


def test_its_events_go_from_queued_to_the_end(done: Json, http: httpx.Client) -> None:
    published = events(http, done["id"])

    assert [data["state"] for _, kind, data in published if kind == "state"] == ["queued", "running", "succeeded"]
    assert [kind for _, kind, _ in published][-1] == "end"
    assert {kind for _, kind, _ in published} == {"state", "progress", "end"}


def test_its_curve_is_there_as_json_and_csv(done: Json, http: httpx.Client) -> None:
    path = f"{PATH}/{done['id']}/curve"
    answer = http.get(path, headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))

    assert http.get(path).json() == {"id": done["id"], "result": done["result"]}
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    for name in ("lr", "loss", "smoothed_loss"):
        assert [float(row[name]) for row in rows] == done["result"][name]
    assert answer.text == http.get(f"/v1/jobs/{done['id']}/artifacts/curve.csv").text


def test_its_pictures_are_pictures(done: Json, http: httpx.Client) -> None:
    assert http.get(done["links"]["plot"]).content.startswith(b"\x89PNG")
    svg = http.get(f"/v1/jobs/{done['id']}/plot.svg").text
    assert ET.fromstring(svg).tag.endswith("svg")
    assert svg == http.get(f"/v1/jobs/{done['id']}/artifacts/plot.svg").text


def test_before_its_end_it_has_neither_curve_nor_training(http: httpx.Client, busy: str) -> None:
    waiting = submit(http, use_for="valley", epochs=1)
    path = f"{PATH}/{waiting['id']}/curve"

    assert http.get(path).json() == {"id": waiting["id"], "result": None}
    assert http.get(path, params={"format": "csv"}).text == "step,lr,loss,smoothed_loss\n"
    assert http.get(waiting["links"]["plot"]).content.startswith(b"\x89PNG")
    assert http.patch(waiting["links"]["self"], json={"priority": 3}).json()["priority"] == 3
    assert http.post(waiting["links"]["cancel"]).json()["state"] == "cancelled"
    assert http.get(f"/v1/jobs/{waiting['id']}-valley").status_code == 404


def test_a_running_test_is_cancelled(http: httpx.Client, service: Service) -> None:
    spec = range_test_of(long_job())
    job = http.post(PATH, json=spec | {"num_iter": 10_000, "end_lr": 1e-3}).json()
    until(lambda: service.client.job(job["id"]).progress.step > 0)
    http.post(job["links"]["cancel"]).raise_for_status()
    ended = service.ended(job["id"])

    assert (ended.state, ended.result) == ("cancelled", None)
    assert ended.progress.step < 10_000


@pytest.mark.slowest
def test_a_test_goes_on_after_its_worker_was_killed(http: httpx.Client, service: Service) -> None:
    spec = range_test_of(long_job())
    spec |= {"num_iter": 800, "start_lr": 1e-4, "end_lr": 0.1}
    undisturbed = http.post(PATH, json=spec).json()
    service.ended(undisturbed["id"])
    job = http.post(PATH, json=spec).json()
    until(lambda: service.client.job(job["id"]).progress.step > 50)
    service.kill("worker 0")
    service.revive("worker 0")
    ended = service.ended(job["id"])

    assert (ended.state, ended.attempt, ended.losses) == ("succeeded", 2, 1)
    assert ended.result == service.client.job(undisturbed["id"]).result


def test_a_dry_run_shows_the_rates_and_makes_no_job(http: httpx.Client) -> None:
    before = http.get("/v1/jobs?limit=1").json()["jobs"]
    groups = [{"params": "*.bias", "lr": 0.05}]
    optimizer = {"type": "SGD", "lr": 0.1, "param_groups": groups}
    answer = http.post(
        f"{PATH}?dry_run=true",
        json=body(mode="linear", num_iter=3, end_lr=1.0, optimizer=optimizer, seeds=[0, 1]),
    )
    found = answer.json()

    assert answer.status_code == 200
    assert (found["steps"], found["steps_per_epoch"], found["warnings"]) == (6, 4, [])
    assert found["lr"] == [pytest.approx([1e-3, 0.5005, 1.0]), pytest.approx([5e-4, 0.25025, 0.5])]
    assert http.get("/v1/jobs?limit=1").json()["jobs"] == before


def test_a_request_that_is_sent_again_makes_no_second_test(http: httpx.Client, service: Service) -> None:
    headers = {"Idempotency-Key": "range"}
    ids = {http.post(PATH, json=body(seed=5), headers=headers).json()["id"] for _ in range(3)}

    assert len(ids) == 1
    assert http.post(PATH, json=body(seed=6), headers=headers).status_code == 422
    service.ended(ids.pop())


def test_it_is_retried_and_cloned_as_what_it_is(done: Json, http: httpx.Client, service: Service) -> None:
    again = http.post(done["links"]["retry"]).json()
    other = http.post(done["links"]["clone"], json={"use_for": None, "mode": "linear", "num_iter": 20}).json()

    assert [service.ended(job["id"]).kind for job in (again, other)] == ["lr_range_test"] * 2
    first, second = (http.get(job["links"]["self"]).json() for job in (again, other))
    assert first["result"] | {"job_id": None} == done["result"] | {"job_id": None}
    assert first["result"]["job_id"] == f"{again['id']}-valley"
    assert (second["spec"]["mode"], second["spec"]["num_iter"], second["result"]["job_id"]) == ("linear", 20, None)
    refused = http.post(done["links"]["clone"], json={"mode": "log"})
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["body", "mode"])
    service.ended(first["result"]["job_id"])


def test_a_training_has_no_such_curve(http: httpx.Client, service: Service) -> None:
    job_id = service.train(job_spec(epochs=1)).id

    for path in (f"{PATH}/{job_id}/curve", f"{PATH}/nobody/curve"):
        answer = http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"end_lr": 1e-4}, ["end_lr"]),
        ({"start_lr": -1}, ["start_lr"]),
        ({"num_iter": 10**9}, ["num_iter"]),
        ({"mode": "log"}, ["mode"]),
        ({"smoothing": 2}, ["smoothing"]),
        ({"use_for": "best"}, ["use_for"]),
        ({"use_for": "valley"}, ["epochs"]),
        ({"seeds": [2, 0, 2]}, ["seeds"]),
        ({"seeds": ["one"]}, ["seeds", 0]),
        ({"schedule": {"type": "StepLR", "step_size": 5}}, ["schedule"]),
        ({"interval": "step"}, ["interval"]),
        ({"model": {"type": "lenett"}}, ["model", "type"]),
        ({"dataset": {"type": "fake", "image_size": 8}, "model": {"type": "lenet"}}, ["model"]),
        ({"priority": 10}, ["priority"]),
    ],
)
def test_what_is_wrong_is_named(changes: Json, loc: list[str], http: httpx.Client) -> None:
    for query in ("", "?dry_run=true"):
        answer = http.post(PATH + query, json=body(**changes))
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["loc"] == ["body", *loc]
