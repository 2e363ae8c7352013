"""Experiments through the API, with a real worker."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lrcore.jobs.experiment import MAX_RUNS
from tests.conftest import Service, running_service, until
from tests.factories import job_spec, long_job, submitted

SCHEDULES: list[Any] = [None, {"type": "StepLR", "step_size": 1}, {"type": "CosineAnnealingLR", "T_max": "100%"}]


def grid(**axes: Any) -> dict[str, Any]:
    return {"base": job_spec(), "grid": {"schedule": SCHEDULES, "lr": [0.05, 0.1], "seed": [0, 1, 2]} | axes}


def submit(http: httpx.Client, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    made = submitted(http, "experiments", body, **headers)
    assert made["links"]["self"] == f"/v1/experiments/{made['id']}"
    return made


def ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def over() -> bool:
        nonlocal found
        found = http.get(f"/v1/experiments/{job_id}", headers={"Prefer": "wait=10"}).raise_for_status().json()
        return found["state"] in ("succeeded", "failed", "cancelled")

    until(over, 240)
    return found


@pytest.fixture(scope="module")
def done(service: Service) -> dict[str, Any]:
    """An experiment of 6 configurations with 3 seeds each that has succeeded."""
    return ended(service.http, submit(service.http, grid() | {"name": "which one?", "labels": ["team=a"]})["id"])


def test_every_combination_is_run(done: dict[str, Any]) -> None:
    assert done["state"] == "succeeded"
    assert done["counts"] == {"succeeded": 18}
    assert done["progress"] | {"eta_seconds": 0} == {
        "epoch": 54,
        "epochs": 54,
        "step": 216,
        "steps": 216,
        "fraction": 1,
        "eta_seconds": 0,
    }
    assert all(run["training"]["together"] > 1 or run["training"]["alone"] for run in done["runs"])
    assert [(run["run"], run["configuration"], run["seed"]) for run in done["runs"]] == [
        (i, i // 3, i % 3) for i in range(18)
    ]
    settings = {json.dumps(row["settings"], sort_keys=True) for row in done["leaderboard"]}
    assert len(settings) == 6
    assert {row["settings"]["lr"] for row in done["leaderboard"]} == {0.05, 0.1}


def test_a_run_is_the_job_that_it_describes(done: dict[str, Any], service: Service) -> None:
    run = service.http.get(f"/v1/experiments/{done['id']}/runs/10").json()
    alone = service.train(run["spec"])

    assert run["settings"] == {"schedule": run["spec"]["schedule"], "lr": 0.1}
    assert run["spec"]["seed"] == 1
    assert [epoch["lr"] for epoch in run["epochs"]] == [epoch.lr for epoch in service.client.metrics(alone.id)]
    for mine, other in zip(run["epochs"], service.client.metrics(alone.id), strict=True):
        assert mine["train_loss"] == pytest.approx(other.train_loss, rel=1e-4)
        assert mine["test_loss"] == pytest.approx(other.test_loss, rel=1e-4)


def test_the_leaderboard_is_that_of_the_runs(done: dict[str, Any], http: httpx.Client) -> None:
    board = http.get(f"/v1/experiments/{done['id']}/leaderboard").json()["leaderboard"]
    finals = {run["run"]: run["final_test_accuracy"] for run in done["runs"]}

    assert board == done["leaderboard"]
    assert [row["rank"] for row in board] == [1, 2, 3, 4, 5, 6]
    means = [row["final_test_accuracy"]["mean"] for row in board]
    assert means == sorted(means, reverse=True)
    leader = board[0]["configuration"]
    for row in board:
        mine = [finals[row["configuration"] * 3 + seed] for seed in range(3)]
        theirs = [finals[leader * 3 + seed] for seed in range(3)]
        assert row["final_test_accuracy"]["mean"] == pytest.approx(sum(mine) / 3)
        assert row["runs"] == {"succeeded": 3}
        if row["configuration"] != leader:
            assert row["difference"]["to"] == leader
            assert row["difference"]["mean"] == pytest.approx((sum(mine) - sum(theirs)) / 3)
            assert row["difference"]["low"] <= row["difference"]["mean"] <= row["difference"]["high"]


def test_the_leaderboard_against_a_baseline_as_csv(done: dict[str, Any], http: httpx.Client) -> None:
    path = f"/v1/experiments/{done['id']}/leaderboard?by=best&baseline=2"
    answer = http.get(path, headers={"Accept": "text/csv"})
    rows = list(csv.DictReader(io.StringIO(answer.text)))

    assert answer.headers["content-type"].startswith("text/csv")
    assert [int(row["configuration"]) for row in rows if not row["difference"]] == [2]
    assert sorted(int(row["configuration"]) for row in rows) == list(range(6))
    board = http.get(path).json()["leaderboard"]
    assert [row["best_test_accuracy"]["mean"] for row in board] == [float(row["best_mean"]) for row in rows]


def test_every_epoch_as_csv(done: dict[str, Any], http: httpx.Client) -> None:
    rows = list(csv.DictReader(io.StringIO(http.get(f"/v1/experiments/{done['id']}/metrics").text)))

    assert [(int(row["run"]), int(row["epoch"])) for row in rows] == [(i, e) for i in range(18) for e in range(3)]
    last = {int(row["run"]): float(row["test_accuracy"]) for row in rows}
    assert last == {run["run"]: run["final_test_accuracy"] for run in done["runs"]}


def test_every_epoch_as_json(done: dict[str, Any], http: httpx.Client) -> None:
    path = f"/v1/experiments/{done['id']}/metrics"
    rows = list(csv.DictReader(io.StringIO(http.get(path).text)))
    found = http.get(path, headers={"Accept": "application/json"})

    assert found.headers["content-type"] == "application/json"
    assert found.json()["id"] == done["id"]
    for epoch, row in zip(found.json()["epochs"], rows, strict=True):
        assert [str(epoch[name]) for name in ("run", "configuration", "seed", "label", "epoch", "test_loss")] == [
            row[name] for name in ("run", "configuration", "seed", "label", "epoch", "test_loss")
        ]
        assert epoch["lr"] == [float(rate) for rate in row["lr"].split()]
    assert http.get(path, params={"format": "json"}).json() == found.json()
    assert http.get(path, headers={"Accept": "text/html"}).status_code == 406


def test_one_figure_of_every_run(done: dict[str, Any], http: httpx.Client) -> None:
    path = f"/v1/experiments/{done['id']}"
    rows = list(csv.DictReader(io.StringIO(http.get(f"{path}/metrics").text)))
    for figure in ("test_accuracy", "train_loss", "lr"):
        curves = http.get(f"{path}/curves", params={"figure": figure}).json()
        assert curves["figure"] == figure
        assert [curve["run"] for curve in curves["runs"]] == list(range(18))
        values = [value for curve in curves["runs"] for value in curve["values"]]
        assert values == [float(row[figure].split()[0]) for row in rows]
    assert http.get(f"{path}/curves", params={"figure": "none"}).status_code == 422


@pytest.mark.parametrize("prefix", ["experiments", "jobs"])
def test_the_pictures(prefix: str, done: dict[str, Any], http: httpx.Client) -> None:
    png = http.get(f"/v1/{prefix}/{done['id']}/plot.png")
    svg = http.get(f"/v1/{prefix}/{done['id']}/plot.svg")

    assert png.headers["content-type"] == "image/png"
    assert png.content.startswith(b"\x89PNG")
    assert svg.headers["content-type"] == "image/svg+xml"
    assert "which one?" in svg.text
    assert "StepLR lr=0.1" in svg.text


def test_the_events_tell_of_every_run(done: dict[str, Any], http: httpx.Client) -> None:
    text = http.get(f"/v1/experiments/{done['id']}/events").text
    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]
    data = [(event["event"], json.loads(event["data"])) for event in events]
    ends = [news for kind, news in data if kind == "run" and news["state"] == "succeeded"]
    epochs = [(news["run"], news["epoch"]) for kind, news in data if kind == "epoch"]

    assert sorted(news["run"] for news in ends) == list(range(18))
    assert sorted(epochs) == [(run, epoch) for run in range(18) for epoch in range(3)]
    assert data[-1] == ("end", {"state": "succeeded"})
    assert [news["state"] for kind, news in data if kind == "state"] == ["queued", "running", "succeeded"]


def test_an_experiment_is_a_job(done: dict[str, Any], http: httpx.Client) -> None:
    job = http.get(f"/v1/jobs/{done['id']}").json()

    assert job["kind"] == "experiment"
    assert job["state"] == "succeeded"
    assert job["links"] == done["links"]
    listed = http.get("/v1/experiments").json()["jobs"]
    assert {each["kind"] for each in listed} == {"experiment"}
    assert done["id"] in [each["id"] for each in listed]
    assert done["id"] in [each["id"] for each in http.get("/v1/jobs?label=team=a").json()["jobs"]]


def test_a_training_job_is_no_experiment(service: Service) -> None:
    job = service.train(job_spec(epochs=1))

    for path in ("", "/leaderboard", "/metrics", "/runs/0", "/plot.png", "/events"):
        assert service.http.get(f"/v1/experiments/{job.id}{path}").status_code == 404
    assert service.http.post(f"/v1/experiments/{job.id}/cancel").status_code == 404
    assert service.http.delete(f"/v1/experiments/{job.id}").status_code == 404


def test_a_run_that_is_not_there(done: dict[str, Any], http: httpx.Client) -> None:
    assert http.get(f"/v1/experiments/{done['id']}/runs/18").status_code == 404
    assert http.get(f"/v1/experiments/{done['id']}/runs/x").status_code == 422
    assert http.get(f"/v1/experiments/{done['id']}?baseline=6").json()["errors"][0]["loc"] == ["query", "baseline"]


def test_runs_that_diverge_are_told_apart(http: httpx.Client) -> None:
    body = grid(schedule=[None], lr=[0.05, 1e15])
    found = ended(http, submit(http, body)["id"])

    assert found["state"] == "succeeded"
    assert found["counts"] == {"succeeded": 3, "failed": 3}
    assert {run["error"]["type"] for run in found["runs"] if run["state"] == "failed"} == {"diverged"}
    assert [row["configuration"] for row in found["leaderboard"]] == [0, 1]
    assert found["leaderboard"][1]["final_test_accuracy"] is None


def test_an_experiment_without_a_good_run_fails(http: httpx.Client) -> None:
    found = ended(http, submit(http, grid(schedule=[None], lr=[1e15]))["id"])

    assert found["state"] == "failed"
    assert found["error"]["type"] == "diverged"
    assert "no run succeeded" in found["error"]["message"]


LONG = {"type": "LambdaLR", "lr_lambda": ["1" + " " * 5000] * 21}
SHORT = {"type": "OneCycleLR", "max_lr": 1.0, "total_steps": 2, "pct_start": 1.0}
REFUSED = [
    ({"lr": [0.1, -1.0]}, ["grid", "lr", 1], "greater than or equal to 0"),
    ({"lr": []}, ["grid", "lr"], "at least 1 item"),
    ({"lr": [0.1, 0.2, 0.1]}, ["grid", "lr", 2], "there already"),
    ({"seed": [1, -1]}, ["grid", "seed", 1], "greater than or equal to 0"),
    ({"momentum": [0.9, 1.5]}, ["grid", "momentum", 1], "less than 1"),
    ({"beta": [0.9]}, ["grid", "beta"], "SGD has no such number"),
    ({"type": ["Adam"]}, ["grid", "type"], "no such number"),
    ({"nesterov": [False, True]}, ["grid"], "nesterov=true: nesterov needs momentum"),
    ({"schedule": [None, {"type": "StepLR"}]}, ["grid", "schedule", 1, "step_size"], "required"),
    ({"schedule": [{"type": "Steplr", "step_size": 1}]}, ["grid", "schedule", 0, "type"], "did you mean 'StepLR'"),
    (
        {"schedule": [{"type": "OneCycleLR", "max_lr": 1.0, "total_steps": 2, "pct_start": 1.0}]},
        ["grid", "schedule", 0],
        "ends after",
    ),
    ({"schedule": [{"type": "LambdaLR", "lr_lambda": "1 - epoch"}]}, ["grid", "schedule", 0], "would be"),
    ({"lr": [i / 1e6 for i in range(1, MAX_RUNS)]}, ["grid"], f"more than {MAX_RUNS}"),
]


@pytest.mark.parametrize(("axes", "loc", "message"), REFUSED)
def test_a_bad_grid_is_refused_by_its_field(
    axes: dict[str, Any], loc: list[Any], message: str, http: httpx.Client
) -> None:
    answer = http.post("/v1/experiments", json=grid(**axes))

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["loc"] == ["body", *loc]
    assert message in answer.json()["errors"][0]["msg"]


@pytest.mark.parametrize(
    ("changes", "loc"),
    [
        ({"base": job_spec(epochs=0)}, ["base", "epochs"]),
        ({"base": job_spec(export=["onnx"])}, ["base", "export"]),
        ({"prune": {"type": "asha", "min_resource": 3}}, ["prune"]),
        ({"prune": {"type": "median"}}, ["prune", "type"]),
        ({"base": job_spec(early_stopping={"patience": 1}), "prune": {"type": "asha"}}, ["prune"]),
        ({"grid": {"schedule": [LONG]}}, ["grid", "schedule"]),
        ({"max_seconds": 3.0}, ["max_seconds"]),
    ],
)
def test_what_does_not_fit_is_refused_by_its_field(changes: dict[str, Any], loc: list[str], http: httpx.Client) -> None:
    answer = http.post("/v1/experiments", json=grid() | changes)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["loc"] == ["body", *loc]


def test_a_dry_run_counts(http: httpx.Client) -> None:
    plan = http.post("/v1/experiments?dry_run=true", json=grid()).json()

    assert (plan["configurations"], plan["runs"], plan["steps"], plan["steps_per_epoch"]) == (6, 18, 216, 4)
    assert plan["spec"]["grid"]["schedule"][2]["T_max"] == 3


def test_the_same_request_makes_one_experiment(http: httpx.Client) -> None:
    body = grid(schedule=[None], lr=[0.1])
    first, second = (submit(http, body, **{"Idempotency-Key": "one experiment"}) for _ in range(2))

    assert first["id"] == second["id"]
    ended(http, first["id"])


def test_retry_clone_and_delete(http: httpx.Client) -> None:
    first = ended(http, submit(http, grid(schedule=[None]))["id"])
    again = http.post(first["links"]["retry"]).json()
    clone = http.post(first["links"]["clone"], json={"grid": {"lr": [0.2]}}).json()

    assert again["spec"] == first["spec"]
    assert clone["spec"]["grid"]["lr"] == [0.2]
    assert ended(http, clone["id"])["counts"] == {"succeeded": 3}
    figures = [[run["final_test_accuracy"] for run in found["runs"]] for found in (first, ended(http, again["id"]))]
    assert figures[0] == figures[1]
    assert http.post(first["links"]["clone"], json={"grid": {"foo": [0.2]}}).status_code == 422
    assert http.delete(first["links"]["self"]).status_code == 204
    assert http.get(first["links"]["self"]).status_code == 404


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with two workers of its own, that train two runs at once."""
    with running_service(tmp_path_factory.mktemp("slow") / "home", workers=2, runs_at_once=2) as running:
        yield running


def long_grid(**axes: Any) -> dict[str, Any]:
    return {"base": long_job(epochs=200), "grid": {"seed": list(range(8))} | axes}


@pytest.mark.slowest
def test_paused_resumed_and_cancelled_as_one(slow: Service) -> None:
    http = slow.http
    made = submit(http, long_grid())

    def now() -> dict[str, Any]:
        found: dict[str, Any] = http.get(made["links"]["self"]).json()
        return found

    until(lambda: now()["counts"].get("running", 0) >= 3 and any(run["epoch"] is not None for run in now()["runs"]))
    assert http.post(made["links"]["pause"]).status_code == 202
    paused = until(lambda: now() if now()["state"] == "paused" else None)
    assert paused["counts"] == {"queued": 8}
    http.post(made["links"]["resume"]).raise_for_status()
    until(lambda: now()["counts"].get("running", 0) >= 3)
    resumed = now()
    assert all(
        (run["epoch"] or 0) >= (before["epoch"] or 0)
        for run, before in zip(resumed["runs"], paused["runs"], strict=True)
    )
    assert http.post(made["links"]["cancel"]).status_code == 202
    assert ended(http, made["id"])["counts"] == {"cancelled": 8}
    folder = slow.stack.settings.home_folder / "jobs" / made["id"]
    until(lambda: not list(folder.glob("*")))  # the last worker says the end, then it tidies up


@pytest.mark.slowest
def test_a_lost_worker_s_runs_go_on_elsewhere(tmp_path: Path) -> None:
    with running_service(
        tmp_path / "home", workers=2, runs_at_once=2, lease_seconds=2, heartbeat_seconds=0.2
    ) as service:
        body = {"base": long_job(epochs=6), "grid": {"seed": [0, 1, 2, 3]}}
        until(lambda: service.http.get("/readyz").json()["workers"] == 2)
        made = submit(service.http, body)
        undisturbed = submit(service.http, body)

        def running() -> int:
            counts: dict[str, int] = service.http.get(made["links"]["self"]).json()["counts"]
            return counts.get("running", 0)

        until(lambda: running() >= 3)  # two and one: the last two are shared
        service.kill("worker 0")
        service.revive("worker 0")
        found, other = ended(service.http, made["id"]), ended(service.http, undisturbed["id"])

        assert found["counts"] == other["counts"] == {"succeeded": 4}
        assert found["losses"] >= 1
        assert [run["final_test_accuracy"] for run in found["runs"]] == [
            run["final_test_accuracy"] for run in other["runs"]
        ]


@pytest.mark.slowest
def test_bad_configurations_are_pruned(slow: Service) -> None:
    digits = {"type": "digits"}
    body = {
        "base": long_job(dataset=digits, epochs=10, batch_size=16),
        "grid": {"lr": [0.1, 1e-5, 1e-6, 1e-7], "seed": [0, 1]},
        "prune": {"type": "asha", "min_resource": 2, "reduction_factor": 4},
        "labels": ["pruned"],
    }
    found = ended(slow.http, submit(slow.http, body)["id"])
    states = {row["settings"]["lr"]: row["runs"] for row in found["leaderboard"]}

    assert found["state"] == "succeeded"
    assert states[0.1] == {"succeeded": 2}
    assert found["counts"].get("pruned", 0) >= 2
    pruned = [run for run in found["runs"] if run["state"] == "pruned"]
    assert all(1 <= run["epoch"] < 9 for run in pruned)
    assert found["leaderboard"][0]["settings"] == {"lr": 0.1}
