"""Shares of a run over HTTP: refused at the field wherever the field is no length, the same on every route."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.factories import job_spec

Json = dict[str, Any]

COSINE = {"type": "CosineAnnealingLR", "T_max": 100}
INNER = {"type": "StepLR", "step_size": 5}
NO_LENGTHS: list[tuple[Json, tuple[str | int, ...]]] = [
    (COSINE | {"eta_min": "10%"}, ("eta_min",)),
    (COSINE | {"eta_min": "5ep"}, ("eta_min",)),
    ({"type": "ExponentialLR", "gamma": "50%"}, ("gamma",)),
    ({"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 100, "pct_start": "1%"}, ("pct_start",)),
    ({"type": "OneCycleLR", "max_lr": 0.1, "epochs": "10%", "steps_per_epoch": 10}, ("epochs",)),
    ({"type": "Clamp", "min": "1%", "schedule": INNER}, ("min",)),
    ({"type": "Scale", "factor": "10%", "schedule": INNER}, ("factor",)),
    (
        {"type": "cosine_with_min_lr", "num_warmup_steps": 5, "num_training_steps": 100, "min_lr_rate": "1%"},
        ("min_lr_rate",),
    ),
    ({"type": "NoamDecay", "d_model": "50%", "warmup_steps": 10}, ("d_model",)),
    ({"type": "CosineAnnealingWarmRestarts", "T_0": 10, "T_mult": "2%"}, ("T_mult",)),
    ({"type": "manual", "values": {"0": "10%"}}, ("values", "0")),
    (
        {"type": "SequentialLR", "milestones": ["50%"], "schedulers": [INNER, INNER | {"gamma": "10%"}]},
        ("schedulers", 1, "gamma"),
    ),
    ({"type": "paddle.StepDecay", "learning_rate": "10%", "step_size": "5%"}, ("learning_rate",)),
    ({"type": "paddle.CosineAnnealingWarmRestarts", "learning_rate": 0.1, "T_0": 5, "T_mult": "5%"}, ("T_mult",)),
]


def refused(answer: httpx.Response) -> list[tuple[str | int, ...]]:
    assert answer.status_code == 422, answer.text
    return [tuple(error["loc"]) for error in answer.json()["errors"]]


@pytest.mark.parametrize(("schedule", "field"), NO_LENGTHS, ids=json.dumps)
def test_a_share_is_refused_where_the_field_is_no_length(
    schedule: Json, field: tuple[str | int, ...], http: httpx.Client
) -> None:
    run: Json = {"base_lr": 0.1, "steps": 100, "steps_per_epoch": 10}
    named = {"name": "a", "schedule": schedule, "base_lr": 0.1}
    job = job_spec(interval="step", schedule=schedule)
    grid = {"base": job_spec(), "grid": {"schedule": [None, schedule]}}

    assert refused(http.post("/v1/curves", json={"schedule": schedule} | run)) == [("body", "schedule", *field)]
    asked = http.get("/v1/curves", params={"spec": json.dumps(schedule)} | run)
    assert refused(asked) == [("query", "spec", *field)]
    compared = http.post("/v1/curves/compare", json={"curves": [named], "steps": 100, "steps_per_epoch": 10})
    assert refused(compared) == [("body", "curves", 0, "schedule", *field)]
    translated = http.post("/v1/schedules/translate", json={"schedule": schedule, "to": "torch", "total_steps": 100})
    assert refused(translated) == [("body", "schedule", *field)]
    assert refused(http.post("/v1/jobs", json=job)) == [("body", "schedule", *field)]
    assert refused(http.post("/v1/experiments", json=grid)) == [("body", "grid", "schedule", 1, *field)]


def test_a_share_is_refused_in_a_query_where_the_parameter_is_no_length(http: httpx.Client) -> None:
    run: Json = {"base_lr": 0.1, "steps": 100}

    assert refused(http.get("/v1/curves/CosineAnnealingLR", params={"T_max": "50%", "eta_min": "10%"} | run)) == [
        ("query", "eta_min")
    ]


SHARES: list[tuple[Json, int, Json]] = [
    ({"type": "StepLR", "step_size": "5%"}, 50, {"step_size": 3}),
    ({"type": "StepLR", "step_size": "3%"}, 1111, {"step_size": 34}),
    ({"type": "StepLR", "step_size": "5%"}, 10, {"step_size": 1}),
    ({"type": "StepLR", "step_size": "7%"}, 100, {"step_size": 7}),
    ({"type": "StepLR", "step_size": "0.25ep"}, 100, {"step_size": 3}),
    ({"type": "manual", "values": {"0": 0.1, "5%": 0.2}}, 50, {"values": {"0": 0.1, "3": 0.2}}),
    (
        {"type": "CosineScheduler", "max_update": "100%", "warmup_steps": "5%"},
        50,
        {"max_update": 50, "warmup_steps": 3},
    ),
]


@pytest.mark.parametrize(("schedule", "steps", "expected"), SHARES, ids=json.dumps)
def test_a_share_is_rounded_up(schedule: Json, steps: int, expected: Json, http: httpx.Client) -> None:
    answer = http.post(
        "/v1/curves", json={"schedule": schedule, "base_lr": 0.1, "steps": steps, "steps_per_epoch": 10}
    ).raise_for_status()

    assert {name: answer.json()["schedule"][name] for name in expected} == expected


def test_whole_numbers_may_have_a_point(http: httpx.Client) -> None:
    curve = {"schedule": {"type": "CosineAnnealingLR", "T_max": 10.0}, "base_lr": 0.1, "steps": 20.0}
    job = job_spec(epochs=2.0, batch_size=16.0, seed=1.0)

    assert http.post("/v1/curves", json=curve).raise_for_status().json()["schedule"]["T_max"] == 10
    made = http.post("/v1/jobs", json=job, params={"dry_run": True}).raise_for_status().json()
    experiment = http.post(
        "/v1/experiments", json={"base": job, "grid": {"seed": [0.0, 1.0]}}, params={"dry_run": True}
    ).raise_for_status()

    assert made["steps"] == 2 * made["steps_per_epoch"]
    assert experiment.json()["runs"] == 2
    assert refused(http.post("/v1/jobs", json=job | {"epochs": 2.5})) == [("body", "epochs")]
    assert refused(http.post("/v1/jobs", json=job | {"epochs": True})) == [("body", "epochs")]
    large = http.post("/v1/jobs", json=job | {"epochs": 1e300})
    assert refused(large) == [("body", "epochs")]
    assert "less than or equal to 10000" in large.json()["errors"][0]["msg"]
