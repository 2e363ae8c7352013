"""Configurations of frameworks over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

Json = dict[str, Any]
WARM_UP = {"type": "WarmupLR", "params": {"warmup_max_lr": 0.1, "warmup_num_steps": 10}}
CYCLE = {"type": "OneCycle", "params": {"cycle_min_lr": 0.01, "cycle_max_lr": 0.1}}


def post(http: httpx.Client, body: Any) -> httpx.Response:
    return http.post("/v1/schedules/read", json=body)


def test_a_configuration_as_a_schedule_that_curves_take(http: httpx.Client) -> None:
    answer = post(http, {"from": "deepspeed", "config": WARM_UP, "total_steps": 50}).raise_for_status().json()

    assert set(answer) == {"from", "schedule", "base_lr", "interval", "facts", "notes"}
    assert answer == post(http, {"config": WARM_UP, "total_steps": 50}).json()
    curve = http.post(
        "/v1/curves", json={"schedule": answer["schedule"], "base_lr": answer["base_lr"], "steps": 50}
    ).raise_for_status()
    assert curve.json()["summary"] == {name: value for name, value in answer["facts"].items() if name != "steps"}


WRONG: dict[str, tuple[Json, list[str | int]]] = {
    "an unknown framework": ({"from": "chainer", "config": WARM_UP}, ["from"]),
    "a configuration of no framework": ({"config": {"lr": 3}}, ["from"]),
    "no configuration": ({"from": "deepspeed"}, ["config"]),
    "a surplus field": ({"from": "deepspeed", "config": WARM_UP, "steps": 3}, ["steps"]),
    "no rate": ({"from": "deepspeed", "config": {"type": "WarmupLR"}}, ["base_lr"]),
    "a field inside": (
        {"from": "deepspeed", "config": {"scheduler": WARM_UP | {"params": {"warmup_max_lr": -1}}}},
        ["config", "scheduler", "params", "warmup_max_lr"],
    ),
    "a missing field": (
        {"from": "deepspeed", "config": CYCLE | {"params": {}}},
        ["config", "params", "cycle_min_lr"],
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_refused_with_its_field(http: httpx.Client, case: str) -> None:
    body, field = WRONG[case]

    answer = post(http, body)

    assert answer.status_code == 422
    assert ["body", *field] in [error["loc"] for error in answer.json()["errors"]]
