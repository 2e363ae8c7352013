"""No value of any parameter of any schedule, and no depth of any body, is a fault of the server."""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from lrcore.dialects import FRAMEWORKS
from lrcore.dialects._read import FRAMEWORKS as READ
from lrcore.family import home_of
from lrcore.schedules import SCHEDULES
from lrcore.schedules.compose import MAX_DEPTH
from tests.conftest import Service
from tests.examples import SHARE
from tests.factories import job_spec

Json = dict[str, Any]

VALUES: tuple[Any, ...] = (
    *("", "x", "50%", "3ep", "\x00", "\ud800", "9" * 400),
    *(0, -1, -0.0, 1e308, -1e308, 5e-324, 2**63, 10**20, 10**400, -(10**400), float("nan"), float("inf")),
    *(None, True, [], {}, [10**400], ["x"], [[0.1]], {"x": 10**400}, {"\ud800": 1}, {"type": "paddle.StepDecay"}),
    {"type": "paddle.OneCycleLR", "max_learning_rate": "x", "total_steps": 20},
)
GOOD: Json = {  # of the parameters of names that are read
    "learning_rate": 0.3,
    "step_size": 4,
    "milestones": [3, 8],
    "gamma": 0.5,
    "decay_steps": 20,
    "T_max": 10,
    "T_0": 10,
    "total_steps": 40,
    "warmup_steps": 5,
    "start_lr": 0.0,
    "end_lr": 0.3,
    "lr_lambda": "0.95 ** epoch",
    "max_learning_rate": 0.3,
    "base_learning_rate": 0.1,
    "step_size_up": 5,
    "value": 0.2,
    "schedules": [{"type": "optax.constant_schedule", "value": 0.2}, {"type": "StepLR", "step_size": 5}],
    "boundaries": [5],
}


def readers() -> dict[str, inspect.Signature]:
    """The names of other frameworks that have a reader, and what it takes."""
    found = {}
    for framework in READ:
        for name, reader in importlib.import_module(f"lrcore.dialects.{framework}").READERS.items():
            found[f"{framework}.{name}"] = inspect.signature(reader)
    return found


def good() -> dict[str, tuple[Json, list[str]]]:
    """A schedule of each name, and the names of its parameters."""
    found: dict[str, tuple[Json, list[str]]] = {}
    for name, cls in SCHEDULES.items():
        found[name] = (dict(cls.example) | {"type": name}, [*cls.model_fields])
        home = home_of(cls)
        if home in READ:
            found[f"{home}.{name}"] = (found[name][0] | {"type": f"{home}.{name}"}, found[name][1])
    for name, signature in readers().items():
        needed = [key for key, each in signature.parameters.items() if each.default is each.empty]
        found[name] = ({"type": name} | {key: GOOD[key] for key in needed}, ["type", *signature.parameters])
    return found


def hostile() -> Iterator[Json]:
    """Schedules of each name with one of its parameters wrong."""
    for schedule, parameters in good().values():
        for parameter in parameters:
            for value in VALUES:
                yield schedule | {parameter: value}


def sent(http: httpx.Client, path: str, body: Any, method: str = "POST") -> httpx.Request:
    content = body if isinstance(body, str) else json.dumps(body)
    return http.build_request(method, path, content=content, headers={"Content-Type": "application/json"})


def in_a_query(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode(errors="replace").decode()


def requests(http: httpx.Client, schedule: Json, to: str = "torch") -> dict[str, httpx.Request]:
    """A request of each route that reads a schedule."""
    more: Json = {"metrics": [1.0] * 20} if re.search("plateau|greedy", str(schedule["type"]), re.IGNORECASE) else {}
    where = {"steps": 20, "base_lr": 0.1}
    curve = {"base_lr": 0.1, "schedule": schedule} | more
    own = {in_a_query(name): in_a_query(value) for name, value in schedule.items()}
    return {
        "curves": sent(http, "/v1/curves", curve | {"steps": 20}),
        "compare": sent(http, "/v1/curves/compare", {"steps": 20, "curves": [curve | {"name": "a"}]}),
        "translate": sent(http, "/v1/schedules/translate", {"schedule": schedule, "base_lr": 0.1, "to": to}),
        "jobs": sent(http, "/v1/jobs?dry_run=true", job_spec(schedule=schedule)),
        "experiments": sent(
            http, "/v1/experiments?dry_run=true", {"base": job_spec(), "grid": {"schedule": [schedule]}}
        ),
        "spec": http.build_request("GET", "/v1/curves", params=where | {"spec": json.dumps(schedule)}),
        "query": http.build_request("GET", f"/v1/curves/{quote(own.pop('type'), safe='')}", params=where | own),
    }


@pytest.mark.parametrize("name", good())
def test_what_is_made_hostile_is_good_before(name: str, http: httpx.Client) -> None:
    schedule = good()[name][0]
    answer = http.send(requests(http, schedule)["curves"])

    assert answer.status_code == 200, answer.text


def fault_of(http: httpx.Client, requests: list[httpx.Request]) -> list[str]:
    """Which of the requests are answered as a fault of the server, or not at all."""
    found = []
    for request in requests:
        answer = http.send(request)
        if answer.status_code >= 500 or (answer.status_code >= 400 and not answer.json()["detail"]):
            found.append(f"{answer.status_code} {request.method} {str(request.url)[:200]} {request.content[:200]!r}")
    return found


def every(http: httpx.Client, stride: int) -> list[str]:
    """Send one in `stride` of the hostile schedules, each by another route than the one before."""
    faults = []
    for i, schedule in enumerate(islice(hostile(), 0, None, stride)):
        to = FRAMEWORKS[i % len(FRAMEWORKS)]
        routes = list(requests(http, schedule, to).values())
        faults += fault_of(http, [routes[i % len(routes)]])
    return faults


@pytest.mark.slowest
@pytest.mark.drawn
def test_no_value_of_a_parameter_is_a_fault(http: httpx.Client) -> None:
    assert every(http, 11 * SHARE) == []


@pytest.mark.security
@pytest.mark.timeout(1800)
def test_none_of_all_values_of_all_parameters_is_a_fault(http: httpx.Client) -> None:
    assert every(http, 1) == []


ODD_KEYS = ("\ud800", "\x00", "", "a" * 5000, "10%", "type.type", "__class__", "self", "args", "loc\n")


@pytest.mark.sampled(4)
@pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key[:20]))
def test_no_name_of_a_field_is_a_fault(key: str, http: httpx.Client, routes: list[tuple[str, str]]) -> None:
    read = [good()[name][0] for name in ("StepLR", "Scale", "paddle.StepDecay", "paddle.LinearWarmup")]
    values = (1, "5ep", {"type": "paddle.Nothing"})
    wrong = [schedule | {key: value} for schedule in read for value in values]
    asked = [each for schedule in wrong for each in requests(http, schedule).values()]
    for method, path in routes:
        for body in ({key: 1}, {"grid": {key: [1]}, "optimizer": {key: 1}}):
            asked.append(sent(http, path, body, method))

    assert fault_of(http, asked) == []


@pytest.fixture(scope="module")
def routes(service: Service) -> list[tuple[str, str]]:
    """Method and path of every route that takes a body; paths that name a job or the like name an existing one."""
    http = service.http
    job = http.post("/v1/jobs", json=job_spec(epochs=1)).json()["id"]
    experiment = http.post("/v1/experiments", json={"base": job_spec(epochs=1), "grid": {"seed": [0]}}).json()["id"]
    hook = http.post("/v1/webhooks", json={"url": "https://example.org"}).json()["id"]
    found = []
    for path, methods in http.get("/openapi.json").json()["paths"].items():
        there = path.replace("{job_id}", experiment if "/experiments/" in path else job).replace("{webhook_id}", hook)
        dry = "?dry_run=true" if any("dry_run" in str(each.get("parameters")) for each in methods.values()) else ""
        if path != "/v1/keys":  # refused unread where no keys are asked for
            found += [(method, there + dry) for method, each in methods.items() if "requestBody" in each]
    assert {method for method, _ in found} == {"post", "put", "patch"}
    assert len(found) >= 14
    return found


def deep(depth: int) -> dict[str, str]:
    """Texts of JSON that deep, by what they are made of."""
    scale = '{"type": "Scale", "factor": 0.5, "schedule": '
    warm = '{"type": "paddle.LinearWarmup", "warmup_steps": "10%", "start_lr": 0, "end_lr": 1, "learning_rate": '
    constant = '{"type": "Constant"}'
    return {
        "lists": "[" * depth + "]" * depth,
        "objects": '{"a":' * depth + "1" + "}" * depth,
        "types": '{"type":' * depth + '"x"' + "}" * depth,
        "schedules": scale * depth + constant + "}" * depth,
        "shares": scale * depth + '{"type": "StepLR", "step_size": "50%"}' + "}" * depth,
        "names": warm * depth + constant + "}" * depth,
    }


DEPTHS = [(depth, kind) for depth in (30, 900) for kind in deep(1)] + [(100_000, "lists"), (10_000, "objects")]


@pytest.mark.sampled(16)
@pytest.mark.parametrize(("depth", "kind"), [each for each in DEPTHS if len(deep(each[0])[each[1]]) < 2**20])
def test_no_depth_of_a_body_is_a_fault(
    depth: int, kind: str, http: httpx.Client, routes: list[tuple[str, str]]
) -> None:
    inside, job = deep(depth)[kind], json.dumps(job_spec())[:-1]
    bodies = (
        inside,
        f'{{"a": {inside}}}',
        f'{{"schedule": {inside}, "base_lr": 0.1, "steps": 20}}',
        f'{{"steps": 20, "curves": [{{"name": "a", "base_lr": 0.1, "schedule": {inside}}}]}}',
        f'{job}, "schedule": {inside}}}',
        f'{job}, "optimizer": {inside}}}',
        f'{job}, "labels": {inside}}}',
        f'{{"base": {job}}}, "grid": {{"schedule": [{inside}], "betas": [{inside}]}}}}',
        f'{{"base": {job}}}, "grid": {inside}}}',
    )
    for method, path in routes:
        for body in bodies:
            answer = http.send(sent(http, path, body, method))
            assert answer.status_code in (400, 422), (method, path, answer.status_code, body[:100])


@pytest.mark.parametrize("kind", ["schedules", "shares", "names"])
@pytest.mark.parametrize("depth", [MAX_DEPTH, 20, 60, 900])
def test_the_bound_on_nested_schedules_is_named(depth: int, kind: str, http: httpx.Client) -> None:
    inside = deep(depth)[kind]
    where = {"steps": 20, "base_lr": 0.1}
    asked = [sent(http, "/v1/curves", f'{{"steps": 20, "base_lr": 0.1, "schedule": {inside}}}')]
    if len(inside) < 2**14:  # of a URL
        asked.append(http.build_request("GET", "/v1/curves", params=where | {"spec": inside}))
    for request in asked:
        answer = http.send(request)

        assert answer.status_code == 422, answer.text
        assert f"{MAX_DEPTH} deep" in answer.json()["detail"]


@pytest.mark.parametrize("kind", ["schedules", "shares", "names"])
def test_schedules_nest_as_deep_as_they_may(kind: str, http: httpx.Client) -> None:
    inside = deep(MAX_DEPTH - 1)[kind]
    body = f'{{"steps": 20, "base_lr": 0.1, "schedule": {inside}}}'

    assert http.send(sent(http, "/v1/curves", body)).status_code == 200


def test_a_wrong_argument_of_a_name_that_is_read_is_named(http: httpx.Client) -> None:
    for name, signature in readers().items():
        for parameter in signature.parameters:
            schedule = good()[name][0] | {parameter: {"x": 10**400}}
            answer = http.send(requests(http, schedule)["curves"])

            assert answer.status_code == 422
            where = answer.json()["errors"][0]["loc"]
            assert where[:3] == ["body", "schedule", parameter] or parameter == "learning_rate", (name, where)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"divide_factor": 0}, "divide_factor"),
        ({"divide_factor": "25"}, "divide_factor"),
        ({"max_learning_rate": 10**400}, "max_learning_rate"),
        ({"end_learning_rate": 5e-324}, "end_learning_rate"),
        ({"end_learning_rate": 0}, "end_learning_rate"),
        ({"phase_pct": 2}, "phase_pct"),
        ({"surplus": 1}, "surplus"),
    ],
)
def test_what_paddle_s_one_cycle_cannot_compute_is_refused(arguments: Json, field: str, http: httpx.Client) -> None:
    schedule = good()["paddle.OneCycleLR"][0] | arguments
    for route, request in requests(http, schedule).items():
        if route == "query" or (route == "spec" and field == "max_learning_rate"):
            continue  # a query serves lrserve's own names alone, and has no JSON with numbers beyond a float64
        answer = http.send(request)

        assert answer.status_code == 422, (route, answer.text)
        assert answer.json()["errors"][0]["loc"][-1] == field, (route, answer.text)
