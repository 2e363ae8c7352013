"""A key that comes twice in an object of a body, whose second value would win unseen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from lrserve.api.app import application
from lrserve.api.dependencies import json_body
from lrserve.api.settings import ApiSettings
from tests.api.test_errors import assert_problem

TWICE = {
    "of the body": ('{"schedule": {"type": "Constant"}, "base_lr": 0.1, "steps": 2, "steps": 3}', ["steps"]),
    "of the schedule": ('{"schedule": {"type": "StepLR", "step_size": 5, "step_size": 6}, "base_lr": 0.1, "steps": 2}',
                        ["schedule", "step_size"]),
    "with equal values": ('{"schedule": {"type": "Constant", "type": "Constant"}, "base_lr": 0.1, "steps": 2}',
                          ["schedule", "type"]),
    "in a large body": ('{"start": 0, "metrics": [' + "0.25," * 10_000 + '1], "steps": 3, "start": 1}', ["start"]),
    "with a long name": ('{"' + "a" * 100_000 + '": 1, "' + "a" * 100_000 + '": 2}', ["a" * 200]),
}  # fmt: skip


@pytest.mark.parametrize("case", TWICE)
def test_a_key_that_comes_twice_is_refused_by_its_name(case: str, http: httpx.Client) -> None:
    text, where = TWICE[case]

    problem = assert_problem(http.post("/v1/curves", content=text, headers={"Content-Type": "application/json"}), 422)

    assert [error["loc"] for error in problem["errors"]] == [["body", *where]]
    assert "comes twice" in problem["detail"]
    assert len(problem["detail"]) < 1000


def test_every_route_with_a_body_looks_at_its_json_first() -> None:
    def dependencies(dependant: Any) -> Iterator[Any]:
        for part in dependant.dependencies:
            yield part.call
            yield from dependencies(part)

    included = [each.original_router.routes for each in application(ApiSettings()).routes]  # type: ignore[attr-defined]
    routes = [each for routes in included for each in routes if isinstance(each, APIRoute) and each.body_field]

    assert len(routes) > 10
    for route in routes:
        assert json_body in dependencies(route.dependant), route.path
