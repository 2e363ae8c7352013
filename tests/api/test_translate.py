"""Translations over HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from lrcore.dialects import FRAMEWORKS

Json = dict[str, Any]

STEP = {"type": "StepLR", "step_size": 5, "gamma": 0.5}
PLATEAU = {"type": "ReduceLROnPlateau"}
PRODUCT = {"type": "MultiplicativeLR", "lr_lambda": "1 - 1 / (epoch + 10)"}
NESTED = {"type": "Scale", "factor": 0.5, "schedule": PRODUCT}
CALLED = {
    "torch": "torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)",
    "optax": "optax.exponential_decay(init_value=0.1, transition_steps=5, decay_rate=0.5, staircase=True)",
    "keras": "keras.optimizers.schedules.ExponentialDecay(",
    "transformers": "torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)",
    "timm": "timm.scheduler.StepLRScheduler(optimizer, decay_t=5, decay_rate=0.5)",
    "mmengine": 'dict(type="StepLR", by_epoch=False, step_size=5, gamma=0.5)',
    "composer": 'composer.optim.StepScheduler(step_size="5ba", gamma=0.5)',
    "lightning": '"lr_scheduler": {"scheduler": make_scheduler(optimizer), "interval": "step"}',
}


def post(http: httpx.Client, body: Any) -> httpx.Response:
    return http.post("/v1/schedules/translate", json=body)


@pytest.mark.parametrize("to", CALLED)
def test_a_schedule_as_code(http: httpx.Client, to: str) -> None:
    answer = post(http, {"schedule": STEP, "base_lr": 0.1, "to": to}).raise_for_status().json()

    assert set(answer) == {"code", "exact", "notes"}
    assert answer["exact"] is True
    assert CALLED[to] in answer["code"]
    compile(answer["code"], "<generated>", "exec")


def test_a_schedule_as_configuration_of_deepspeed(http: httpx.Client) -> None:
    schedule = {"type": "Shift", "by": -1, "schedule": {"type": "constant_with_warmup", "num_warmup_steps": 10}}

    answer = post(http, {"schedule": schedule, "base_lr": 0.1, "to": "deepspeed"}).raise_for_status().json()

    params = {"warmup_min_lr": 0.0, "warmup_max_lr": 0.1, "warmup_num_steps": 10, "warmup_type": "linear"}
    assert json.loads(answer["code"]) == {"scheduler": {"type": "WarmupLR", "params": params}}
    assert answer["exact"] is True


def test_a_schedule_with_its_own_rate_needs_no_other(http: httpx.Client) -> None:
    schedule = {"type": "cosine_decay_schedule", "init_value": 0.2, "decay_steps": 10}

    answer = post(http, {"schedule": schedule, "to": "optax"}).raise_for_status().json()

    assert "optax.cosine_decay_schedule(init_value=0.2, decay_steps=10)" in answer["code"]


def test_what_differs_is_said(http: httpx.Client) -> None:
    schedule = {"type": "CosineAnnealingLR", "T_max": 10}

    answer = post(http, {"schedule": schedule, "base_lr": 0.1, "to": "keras"}).raise_for_status().json()

    assert answer["exact"] is False
    assert "after 10 steps" in answer["notes"][0]


WRONG: dict[str, tuple[Json, list[str | int]]] = {
    "not in DeepSpeed": ({"schedule": STEP, "base_lr": 0.1, "to": "deepspeed"}, ["schedule", "type"]),
    "unknown framework": ({"schedule": STEP, "base_lr": 0.1, "to": "chainer"}, ["to"]),
    "no framework": ({"schedule": STEP, "base_lr": 0.1}, ["to"]),
    "no schedule": ({"base_lr": 0.1, "to": "torch"}, ["schedule"]),
    "no rate": ({"schedule": STEP, "to": "torch"}, ["base_lr"]),
    "negative rate": ({"schedule": STEP, "base_lr": -0.1, "to": "torch"}, ["base_lr"]),
    "several rates": ({"schedule": STEP, "base_lr": [0.1, 0.2], "to": "torch"}, ["base_lr"]),
    "surplus field": ({"schedule": STEP, "base_lr": 0.1, "to": "torch", "steps": 3}, ["steps"]),
    "field of the schedule": ({"schedule": STEP | {"gamma": -1}, "base_lr": 1, "to": "torch"}, ["schedule", "gamma"]),
    "unknown schedule": ({"schedule": {"type": "StpLR"}, "base_lr": 1, "to": "torch"}, ["schedule", "type"]),
    "share of a run": (
        {"schedule": STEP | {"step_size": "10%"}, "base_lr": 1, "to": "torch"},
        ["schedule", "step_size"],
    ),
    "driven by a metric": ({"schedule": PLATEAU, "base_lr": 0.1, "to": "optax"}, ["schedule", "type"]),
    "no formula": ({"schedule": PRODUCT, "base_lr": 0.1, "to": "keras"}, ["schedule", "lr_lambda"]),
    "no formula inside": ({"schedule": NESTED, "base_lr": 0.1, "to": "timm"}, ["schedule", "schedule", "lr_lambda"]),
    "a list of rates": (
        {"schedule": {"type": "SWALR", "swa_lr": [0.1, 0.2]}, "base_lr": 0.1, "to": "optax"},
        ["schedule"],
    ),
}


@pytest.mark.parametrize(("body", "field"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_translated_is_refused_by_its_field(
    http: httpx.Client, body: Json, field: list[str | int]
) -> None:
    answer = post(http, body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["loc"] == ["body", *field]


def test_the_document_lists_the_frameworks(http: httpx.Client) -> None:
    document = http.get("/openapi.json").raise_for_status().json()

    request = document["components"]["schemas"]["TranslationRequest"]["properties"]
    assert request["to"]["enum"] == list(FRAMEWORKS)
    assert document["paths"]["/v1/schedules/translate"]["post"]["responses"].keys() >= {"200", "422"}


def test_the_path_is_not_taken_for_a_schedule(http: httpx.Client) -> None:
    assert http.post("/v1/schedules/translate", content=b"", headers={"content-type": "text/plain"}).status_code == 415
