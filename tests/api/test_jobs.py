from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Service, until
from tests.factories import job_spec, long_job, submitted

Json = dict[str, Any]


@pytest.fixture(scope="module")
def done(service: Service) -> Json:
    """A job that succeeded, as the API shows it."""
    schedule = {"type": "StepLR", "step_size": 2, "gamma": 0.5}
    job_id = service.train(job_spec(epochs=4, schedule=schedule)).id
    answer: Json = service.http.get(f"/v1/jobs/{job_id}").json()
    return answer


@pytest.fixture
def busy(service: Service) -> Iterator[str]:
    """The id of a job that runs for long; it is cancelled afterwards."""
    job_id = service.client.submit(long_job(epochs=2000)).id
    until(lambda: service.client.job(job_id).state == "running")
    yield job_id
    if not service.client.job(job_id).state.ended:
        service.client.cancel(job_id)
        service.ended(job_id)


def submit(http: httpx.Client, **changes: Any) -> Json:
    return submitted(http, "jobs", job_spec(**changes))


def events(http: httpx.Client, job_id: str, after: str | None = None) -> list[tuple[str, str, Json]]:
    """Id, type and data of a job's events up to its end."""
    headers = {"Last-Event-ID": after} if after else {}
    answer = http.get(f"/v1/jobs/{job_id}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in answer.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


def test_a_submitted_job_is_accepted_and_where_it_is(http: httpx.Client, service: Service) -> None:
    answer = http.post("/v1/jobs", json=job_spec())
    job = answer.json()

    assert answer.status_code == 202
    assert answer.headers["location"] == job["links"]["self"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["state"]) == ("training", "queued")
    assert set(job) >= {
        "id", "kind", "state", "spec", "attempt", "progress", "metrics", "best", "error", "created_at", "started_at",
        "finished_at", "links",
    }  # fmt: skip
    assert service.ended(job["id"]).state == "succeeded"


def test_the_document_describes_one_event_of_a_stream(http: httpx.Client) -> None:
    paths = http.get("/openapi.json").raise_for_status().json()["paths"]

    for kind in ("jobs", "experiments"):
        (stream,) = paths[f"/v1/{kind}/{{job_id}}/events"]["get"]["responses"]["200"]["content"].values()
        assert set(stream) == {"x-itemSchema"}
        assert stream["x-itemSchema"]["required"] == ["id", "event", "data"]


def test_everything_but_model_data_and_epochs_has_a_default(http: httpx.Client, service: Service) -> None:
    body = {"model": {"type": "lenet"}, "dataset": {"type": "fake", "samples": 64}, "epochs": 1}
    spec = http.post("/v1/jobs", json=body).json()

    assert {key: spec["spec"][key] for key in ("schedule", "interval", "batch_size", "seed")} == {
        "schedule": None,
        "interval": "epoch",
        "batch_size": 256,
        "seed": 0,
    }
    assert spec["spec"]["optimizer"]["type"] == "SGD"
    assert service.ended(spec["id"]).state == "succeeded"


def test_a_finished_job_says_how_it_went(done: Json) -> None:
    assert (done["state"], done["attempt"], done["error"]) == ("succeeded", 1, None)
    assert done["progress"] | {"eta_seconds": 0} == {
        "epoch": 4, "epochs": 4, "step": 16, "steps": 16, "fraction": 1.0, "eta_seconds": 0,
    }  # fmt: skip
    assert set(done["metrics"]) == {
        "epoch", "lr", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds",
    }  # fmt: skip
    assert (done["metrics"]["epoch"], done["metrics"]["lr"]) == (3, [0.05])
    assert done["created_at"] <= done["started_at"] <= done["finished_at"]
    assert done["created_at"].endswith("Z")


def test_metrics_are_every_epoch_in_json_and_csv(done: Json, http: httpx.Client) -> None:
    epochs = http.get(done["links"]["metrics"]).json()["epochs"]
    rows = list(csv.DictReader(io.StringIO(http.get(done["links"]["metrics"], params={"format": "csv"}).text)))

    assert [epoch["lr"] for epoch in epochs] == [[0.1], [0.1], [0.05], [0.05]]
    assert epochs[-1] == done["metrics"]
    assert [{k: float(v) for k, v in row.items()} for row in rows] == [e | {"lr": e["lr"][0]} for e in epochs]


def test_the_best_epoch_is_kept(done: Json, http: httpx.Client) -> None:
    accuracies = [epoch["test_accuracy"] for epoch in http.get(done["links"]["metrics"]).json()["epochs"]]

    assert done["best"] == {"epoch": accuracies.index(max(accuracies)), "test_accuracy": max(accuracies)}


@pytest.mark.parametrize("schedule", [None, {"type": "Constant"}])
def test_no_schedule_is_the_fixed_rate(schedule: Json | None, http: httpx.Client, service: Service) -> None:
    job_id = submit(http, schedule=schedule, epochs=2)["id"]

    assert service.ended(job_id).state == "succeeded"
    assert [epoch.lr for epoch in service.client.metrics(job_id)] == [[0.1], [0.1]]


def test_a_job_s_pictures_are_pictures(done: Json, http: httpx.Client) -> None:
    png = http.get(f"/v1/jobs/{done['id']}/plot.png")
    svg = http.get(f"/v1/jobs/{done['id']}/plot.svg")

    assert png.content.startswith(b"\x89PNG")
    assert (png.headers["content-type"], svg.headers["content-type"]) == ("image/png", "image/svg+xml")
    assert ET.fromstring(svg.text).tag.endswith("svg")


def test_a_job_without_an_epoch_yet_has_a_picture_too(http: httpx.Client, busy: str) -> None:
    waiting = submit(http)

    assert http.get(f"/v1/jobs/{waiting['id']}/plot.png").content.startswith(b"\x89PNG")
    assert http.get(f"/v1/jobs/{waiting['id']}/metrics").json() == {"id": waiting["id"], "epochs": []}
    http.post(f"/v1/jobs/{waiting['id']}/cancel")


def test_a_queued_job_is_cancelled_at_once(http: httpx.Client, busy: str) -> None:
    waiting = submit(http)

    answer = http.post(f"/v1/jobs/{waiting['id']}/cancel")

    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert http.post(f"/v1/jobs/{waiting['id']}/cancel").status_code == 200


def test_a_running_job_is_cancelled_soon(http: httpx.Client, busy: str, service: Service) -> None:
    answer = http.post(f"/v1/jobs/{busy}/cancel")

    assert answer.status_code == 202
    assert service.ended(busy, 60).state == "cancelled"
    assert [event[1] for event in events(http, busy)][-2:] == ["state", "end"]


def test_an_ended_job_cannot_be_cancelled(done: Json, http: httpx.Client) -> None:
    answer = http.post(done["links"]["cancel"])

    assert answer.status_code == 409
    assert "is succeeded" in answer.json()["detail"]


def test_events_tell_the_whole_story_in_order(done: Json, http: httpx.Client) -> None:
    published = events(http, done["id"])
    kinds = [kind for _, kind, _ in published]

    assert [data["state"] for _, kind, data in published if kind == "state"] == ["queued", "running", "succeeded"]
    assert [data["epoch"] for _, kind, data in published if kind == "epoch"] == [0, 1, 2, 3]
    assert [data for _, kind, data in published if kind == "epoch"][-1] == done["metrics"]
    assert (kinds[-1], kinds.count("end")) == ("end", 1)


def test_events_go_on_where_a_client_left_off(done: Json, http: httpx.Client) -> None:
    published = events(http, done["id"])

    for seen in range(1, len(published)):
        assert events(http, done["id"], after=published[seen - 1][0]) == published[seen:]


def test_events_of_a_running_job_come_as_they_happen(http: httpx.Client, busy: str) -> None:
    with http.stream("GET", f"/v1/jobs/{busy}/events") as answer:
        epochs = 0
        for line in answer.iter_lines():
            epochs += line == "event: epoch"
            if epochs == 3:
                break

    assert http.get(f"/v1/jobs/{busy}").json()["state"] == "running"


def test_jobs_are_listed_newest_first_by_pages(done: Json, http: httpx.Client) -> None:
    first = http.get("/v1/jobs", params={"limit": 1}).json()
    everything, cursor = list(first["jobs"]), first["next_cursor"]
    while cursor:
        page = http.get("/v1/jobs", params={"limit": 3, "cursor": cursor}).json()
        everything, cursor = everything + page["jobs"], page["next_cursor"]

    ids, times = ([job[key] for job in everything] for key in ("id", "created_at"))
    assert done["id"] in ids
    assert len(ids) == len(set(ids))
    assert times == sorted(times, reverse=True)


def test_jobs_are_listed_by_state(done: Json, http: httpx.Client) -> None:
    listed = http.get("/v1/jobs", params={"state": "succeeded", "limit": 100}).json()["jobs"]

    assert done["id"] in [job["id"] for job in listed]
    assert {job["state"] for job in listed} == {"succeeded"}


@pytest.mark.parametrize("path", ["", "/metrics", "/events", "/plot.png", "/plot.svg"])
def test_an_unknown_job_is_not_found(path: str, http: httpx.Client) -> None:
    answer = http.get(f"/v1/jobs/01aaaaaaaaaaaaaaaaaaaaaaaa{path}")

    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:lrserve:problem:job-not-found"


def test_a_data_set_that_cannot_be_loaded_fails_its_job_and_no_other(
    http: httpx.Client, service: Service, request: pytest.FixtureRequest
) -> None:
    folder = service.stack.settings.data_folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where the folder should be")
    request.addfinalizer(folder.unlink)

    lost = service.ended(submit(http, dataset={"type": "fashion-mnist"})["id"])
    next_one = service.ended(submit(http)["id"])

    assert lost.state == "failed"
    assert lost.error is not None
    assert lost.error.type == "data_unavailable"
    assert "fashion-mnist" in lost.error.message
    assert "LRSERVE_DATA_ROOT" in lost.error.message
    assert next_one.state == "succeeded"


def test_a_run_that_diverges_fails_with_the_rate_that_did_it(http: httpx.Client, service: Service) -> None:
    ended = service.ended(submit(http, optimizer={"type": "SGD", "lr": 1e9})["id"])

    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error.type == "diverged"
    assert "1e+09" in ended.error.message
