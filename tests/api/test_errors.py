"""Bad input: refused at once, with the field's name, and as one kind of document."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

Json = dict[str, Any]

STEP = {"type": "StepLR", "step_size": 5}
COSINE = {"type": "CosineAnnealingLR", "T_max": 10}
WORDY = {"type": "LambdaLR", "lr_lambda": "1" + " " * 900}
TEXT = {"type": "ChainedScheduler", "schedulers": [{"type": "ChainedScheduler", "schedulers": [WORDY] * 30}] * 4}
JOB = {"model": {"type": "lenet"}, "dataset": {"type": "fake"}, "epochs": 2}
SECONDS = 20.0  # for any refusal, on a busy machine: half a second, and for ever if it grew with what is wrong


def nested(depth: int) -> Json:
    return STEP if depth == 0 else {"type": "ChainedScheduler", "schedulers": [nested(depth - 1)]}


def curve(schedule: Json = STEP, **fields: Any) -> Json:
    return {"schedule": schedule, "base_lr": 0.1, "steps": 20} | fields


def expression(source: str) -> Json:
    return curve({"type": "LambdaLR", "lr_lambda": source})


CURVES: dict[str, tuple[Json, list[str | int]]] = {
    "unknown type": (curve({"type": "StpLR"}), ["schedule", "type"]),
    "type of another kind": (curve({"type": 5}), ["schedule", "type"]),
    "no type": (curve({"step_size": 5}), ["schedule", "type"]),
    "missing field": (curve({"type": "StepLR"}), ["schedule", "step_size"]),
    "surplus field": (curve(STEP | {"gama": 0.5}), ["schedule", "gama"]),
    "surplus field of the request": (curve(step=3), ["step"]),
    "wrong sign": (curve(STEP | {"gamma": -0.5}), ["schedule", "gamma"]),
    "steps over the limit": (curve(steps=10**7 + 1), ["steps"]),
    "steps of twenty digits": (curve(steps=10**20), ["steps"]),
    "no steps": (curve(steps=0), ["steps"]),
    "negative start": (curve(start=-1), ["start"]),
    "negative rate": (curve(base_lr=-0.1), ["base_lr"]),
    "a list without rates": (curve(base_lr=[]), ["base_lr"]),
    "a bad rate in a list": (curve(base_lr=[0.1, -1]), ["base_lr", 1]),
    "a list of too many rates": (curve(base_lr=[0.1] * 65), ["base_lr"]),
    "a bad expression in a list": (
        curve({"type": "LambdaLR", "lr_lambda": ["1", "lambda x: y"]}, base_lr=[1, 2]),
        ["schedule", "lr_lambda", 1],
    ),
    "text for a number": (curve(base_lr="0.1"), ["base_lr"]),
    "text for an integer": (curve(STEP | {"step_size": "5"}), ["schedule", "step_size"]),
    "true for a number": (curve(STEP | {"gamma": True}), ["schedule", "gamma"]),
    "half a step": (curve(STEP | {"step_size": 2.5}), ["schedule", "step_size"]),
    "unsorted milestones": (curve({"type": "MultiStepLR", "milestones": [8, 3]}), ["schedule", "milestones"]),
    "a milestone twice": (curve({"type": "MultiStepLR", "milestones": [3, 3]}), ["schedule", "milestones"]),
    "a negative milestone": (curve({"type": "MultiStepLR", "milestones": [-1, 3]}), ["schedule", "milestones", 0]),
    "T_max 0": (curve(COSINE | {"T_max": 0}), ["schedule", "T_max"]),
    "a part's field": (
        curve({"type": "ChainedScheduler", "schedulers": [STEP, COSINE | {"T_max": 0}]}),
        ["schedule", "schedulers", 1, "T_max"],
    ),
    "a plateau as a part": (
        curve({"type": "ChainedScheduler", "schedulers": [{"type": "ReduceLROnPlateau"}]}),
        ["schedule", "schedulers"],
    ),
    "too many parts": (curve({"type": "ChainedScheduler", "schedulers": [STEP] * 33}), ["schedule", "schedulers"]),
    "nothing to chain": (curve({"type": "ChainedScheduler", "schedulers": []}), ["schedule", "schedulers"]),
    "an expression that calls something": (expression("__import__('os').system('true')"), ["schedule", "lr_lambda"]),
    "an expression with an attribute": (expression("epoch.real"), ["schedule", "lr_lambda"]),
    "a tower of powers": (expression("9**9**9**9"), ["schedule", "lr_lambda"]),
    "a large power": (expression("epoch ** 10000000"), ["schedule", "lr_lambda"]),
    "a long expression": (expression("1+" * 100_000 + "1"), ["schedule", "lr_lambda"]),
    "a deep expression": (expression("(" * 900 + "1" + ")" * 90), ["schedule", "lr_lambda"]),
    "long expressions together": (curve(TEXT), ["schedule"]),
    "a rate that turns negative": (expression("1 - epoch"), ["schedule"]),
    "a million milestones": (
        curve({"type": "MultiStepLR", "milestones": list(range(300_000))}),
        ["schedule", "milestones"],
    ),
    "OneCycleLR past its end": (curve({"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 10}), ["steps"]),
    "a plateau without metrics": (curve({"type": "ReduceLROnPlateau"}), ["metrics"]),
    "a schedule that is a list": (curve([STEP]), ["schedule"]),  # type: ignore[arg-type]
    "no schedule": ({"base_lr": 0.1, "steps": 20}, ["schedule"]),
    "an empty body": ({}, ["schedule"]),
}
JOBS: dict[str, tuple[Json, list[str | int]]] = {
    "no epochs": (JOB | {"epochs": 0}, ["epochs"]),
    "too many epochs": (JOB | {"epochs": 10**9}, ["epochs"]),
    "no batch": (JOB | {"batch_size": 0}, ["batch_size"]),
    "unknown model": (JOB | {"model": {"type": "lenett"}}, ["model", "type"]),
    "unknown data set": (JOB | {"dataset": {"type": "../etc"}}, ["dataset", "type"]),
    "unknown optimizer": (JOB | {"optimizer": {"type": "sgd"}}, ["optimizer", "type"]),
    "negative rate": (JOB | {"optimizer": {"type": "SGD", "lr": -1}}, ["optimizer", "lr"]),
    "surplus field": (JOB | {"schedule": None, "epoch": 3}, ["epoch"]),
    "interval": (JOB | {"interval": "batch"}, ["interval"]),
    "negative seed": (JOB | {"seed": -1}, ["seed"]),
    "images too small": (JOB | {"dataset": {"type": "fake", "image_size": 8}}, ["model"]),
    "schedule shorter than the run": (
        JOB | {"schedule": {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 4}, "epochs": 5},
        ["schedule"],
    ),
    "long expressions together": (JOB | {"schedule": TEXT}, ["schedule"]),
    "schedule for two groups": (JOB | {"schedule": {"type": "LambdaLR", "lr_lambda": ["1", "1"]}}, ["schedule"]),
    "a plateau by steps": (JOB | {"schedule": {"type": "ReduceLROnPlateau"}, "interval": "step"}, ["interval"]),
    "a rate that turns negative": (
        JOB | {"schedule": {"type": "LambdaLR", "lr_lambda": "0.5 - epoch"}},
        ["schedule"],
    ),
}
CASES = [("/v1/curves", name) for name in CURVES] + [("/v1/jobs", name) for name in JOBS]


def assert_problem(answer: httpx.Response, status: int) -> Json:
    """The answer as a problem of RFC 9457."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem: Json = answer.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:lrserve:problem:")
    assert problem["title"]
    assert problem["detail"]
    return problem


@pytest.mark.parametrize(("path", "case"), CASES)
def test_bad_input_is_a_422_that_names_the_field(path: str, case: str, http: httpx.Client) -> None:
    body, field = (CURVES if path == "/v1/curves" else JOBS)[case]
    started = time.monotonic()

    problem = assert_problem(http.post(path, json=body), 422)

    assert time.monotonic() - started < SECONDS
    assert ["body", *field] in [error["loc"] for error in problem["errors"]]
    assert all(error["msg"] for error in problem["errors"])
    assert len(json.dumps(problem)) < 20_000


@pytest.mark.parametrize("depth", [8, 40, 150])
def test_deep_nesting_is_refused(depth: int, http: httpx.Client) -> None:
    problem = assert_problem(http.post("/v1/curves", json=curve(nested(depth))), 422)

    beyond_json = [["body"]]  # deeper than any JSON may nest here
    locs = [error["loc"] for error in problem["errors"]]
    assert locs == beyond_json or all(loc[:2] == ["body", "schedule"] for loc in locs)


LONG = {
    "100,000 surplus fields": json.dumps(curve() | {f"field{i}": 1 for i in range(100_000)}),
    "500,000 metrics that are no numbers": json.dumps(curve(metrics=["1"] * 500_000)),
    "10,000 milestones that are no numbers": json.dumps(curve({"type": "MultiStepLR", "milestones": ["1"] * 10_000})),
    "a name of 3,000,000 letters": json.dumps(curve() | {"a" * 3_000_000: 1}),
    "a type of 3,000,000 letters": json.dumps(curve({"type": "a" * 3_000_000})),
    "450 levels": '{"schedule": ' + '{"type": "ChainedScheduler", "schedulers": [' * 450 + "]}" * 450 + "}",
}


@pytest.mark.parametrize("case", LONG)
def test_an_answer_does_not_grow_with_what_is_wrong(case: str, http: httpx.Client) -> None:
    started = time.monotonic()

    answer = http.post("/v1/curves", content=LONG[case], headers={"Content-Type": "application/json"})

    assert time.monotonic() - started < SECONDS
    assert 1 <= len(assert_problem(answer, 422)["errors"]) <= 20
    assert len(answer.content) < 200_000


def test_nesting_up_to_the_bound_is_not(http: httpx.Client) -> None:
    assert http.post("/v1/curves", json=curve(nested(7))).status_code == 200


RAW: dict[str, tuple[str | bytes, int]] = {
    "NaN": ('{"schedule": {"type": "StepLR", "step_size": 5}, "base_lr": NaN, "steps": 2}', 422),
    "Infinity": ('{"schedule": {"type": "StepLR", "step_size": 5}, "base_lr": -Infinity, "steps": 2}', 422),
    "a number beyond float64": ('{"schedule": {"type": "StepLR", "step_size": 5}, "base_lr": 1e999, "steps": 2}', 422),
    "ten thousand digits": (f'{{"schedule": {{"type": "StepLR", "step_size": {"9" * 10_000}}}, "steps": 2}}', 400),
    "a hundred thousand brackets": ("[" * 100_000, 400),
    "closed brackets": ("[" * 50_000 + "]" * 50_000, 400),
    "half a document": ('{"schedule": ', 400),
    "nothing": ("", 422),
    "no object": ('"StepLR"', 422),
    "bytes that are no UTF-8": (b'{"schedule": "\xff\xfe"}', 400),
}


@pytest.mark.parametrize("path", ["/v1/curves", "/v1/jobs"])
@pytest.mark.parametrize("case", RAW)
def test_a_body_that_is_no_good_json_is_a_problem(case: str, path: str, http: httpx.Client) -> None:
    text, status = RAW[case]
    started = time.monotonic()

    answer = http.post(path, content=text, headers={"Content-Type": "application/json"})

    assert time.monotonic() - started < SECONDS
    assert_problem(answer, status)


@pytest.mark.parametrize("token", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_refused_by_its_name(token: str, http: httpx.Client) -> None:
    text = f'{{"schedule": {{"type": "StepLR", "step_size": 5}}, "base_lr": {token}, "steps": 2}}'

    problem = assert_problem(http.post("/v1/curves", content=text, headers={"Content-Type": "application/json"}), 422)

    assert ["body", "base_lr"] in [error["loc"] for error in problem["errors"]]


QUERIES = {
    '/v1/curves?spec={"type":"StepLR","step_size":5,"step_size":6}&base_lr=0.1&steps=5': ["query", "spec", "step_size"],
    '/v1/curves/ChainedScheduler?schedulers=[{"type":"Constant","type":"StepLR"}]&base_lr=0.1&steps=5': [
        "query",
        "schedulers",
        0,
        "type",
    ],
    "/v1/curves/StepLR?step_size=0&base_lr=0.1&steps=5": ["query", "step_size"],
    "/v1/curves/StepLR?base_lr=0.1&steps=5": ["query", "step_size"],
    "/v1/curves/StepLR?step_size=5&base_lr=0.1": ["query", "steps"],
    "/v1/curves/StepLR?step_size=5&base_lr=NaN&steps=5": ["query", "base_lr"],
    "/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=5&surplus=1": ["query", "surplus"],
    "/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=5&format=pdf": ["query", "format"],
    "/v1/curves/LambdaLR?lr_lambda=open(1)&base_lr=0.1&steps=5": ["query", "lr_lambda"],
    "/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=5&type=Constant": ["query", "type"],
    "/v1/curves?steps=5": ["query", "spec"],
    '/v1/curves?spec={"type":"Constant"}&schedule={}&base_lr=0.1&steps=5': ["query", "schedule"],
    "/v1/curves?spec={&steps=5": ["query", "spec"],
    '/v1/curves?spec={"type":"StepLR"}&base_lr=0.1&steps=5': ["query", "spec", "step_size"],
    "/v1/jobs?limit=0": ["query", "limit"],
    "/v1/jobs?state=lost": ["query", "state"],
}


@pytest.mark.parametrize("url", QUERIES)
def test_a_bad_query_is_a_422_that_names_the_parameter(url: str, http: httpx.Client) -> None:
    problem = assert_problem(http.get(url), 422)

    assert QUERIES[url] in [error["loc"] for error in problem["errors"]]


FITTING = {
    "must be filled in": (curve({"type": "LambdaLR", "lr_lambda": ["epoch // 30", "lambda epoch: n ** epoch"]}),
                          "body.schedule.lr_lambda.1: unknown name 'n': write its number in its place"),
    "no expression": (curve({"type": "LambdaLR", "lr_lambda": [1]}),
                      "body.schedule.lr_lambda.0: an expression must be a string"),
    "too many": (curve(base_lr=[0.1] * 65), "body.base_lr: List should have at most 64 items"),
    "a rate in a list": (curve({"type": "CyclicLR", "base_lr": [0.1, "x"], "max_lr": 1.0}),
                         "body.schedule.base_lr.1: Input should be a valid number"),
    "a number in an object": (JOB | {"dataset": {"type": "fake", "normalize": {"mean": [0.1, "x"], "std": 1.0}}},
                              "body.dataset.normalize.mean.1: Input should be a valid number"),
}  # fmt: skip


@pytest.mark.parametrize("case", FITTING)
def test_a_wrong_list_or_object_is_refused_for_what_is_wrong_inside(case: str, http: httpx.Client) -> None:
    body, detail = FITTING[case]

    problem = assert_problem(http.post("/v1/curves" if "steps" in body else "/v1/jobs?dry_run=true", json=body), 422)

    assert problem["detail"].startswith(detail)
    assert len(problem["errors"]) == 1


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [("optimizer", "adamw", "AdamW"), ("optimizer", "sgd", "SGD"), ("schedule", "steplr", "StepLR"),
     ("dataset", "cifar-10", "cifar10"), ("model", "ResNet18", "resnet18")],
)  # fmt: skip
def test_a_name_in_another_case_comes_with_the_one_that_was_meant(
    kind: str, name: str, meant: str, http: httpx.Client
) -> None:
    problem = assert_problem(http.post("/v1/jobs?dry_run=true", json=JOB | {kind: {"type": name}}), 422)

    assert f"did you mean {meant!r}?" in problem["detail"]


def test_an_unknown_type_comes_with_the_one_that_was_meant(http: httpx.Client) -> None:
    problem = assert_problem(http.post("/v1/curves", json=curve({"type": "CosineAnealingLR"})), 422)

    assert "did you mean 'CosineAnnealingLR'?" in problem["detail"]


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/schedules/StpLR", "/v1/curves/StpLR?steps=3", "/docs/nothing.js", "/%00"]
)
def test_what_is_not_there_is_a_404(path: str, http: httpx.Client) -> None:
    assert_problem(http.get(path), 404)


ALLOWED = {"/v1/schedules": "GET", "/v1/curves": "GET, POST", "/v1/jobs": "GET, POST", "/v1/jobs/1/cancel": "POST"}


@pytest.mark.parametrize("path", ALLOWED)
def test_another_method_is_a_405_that_says_which(path: str, http: httpx.Client) -> None:
    answer = http.delete(path)

    assert_problem(answer, 405)
    assert answer.headers["allow"] == ALLOWED[path]


def test_a_format_that_nobody_has_is_a_406(http: httpx.Client) -> None:
    problem = assert_problem(http.post("/v1/curves", json=curve(), headers={"Accept": "application/pdf"}), 406)

    assert "text/csv" in problem["detail"]


@pytest.mark.parametrize("path", ["/v1/curves", "/v1/jobs"])
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_body_that_is_not_said_to_be_json_is_a_415(content_type: str | None, path: str, http: httpx.Client) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    problem = assert_problem(http.post(path, content=json.dumps(curve()), headers=headers), 415)

    assert "application/json" in problem["detail"]


def test_a_body_beyond_the_limit_is_a_413(http: httpx.Client) -> None:
    body = b'{"schedule": "' + b"a" * (5 * 2**20) + b'"}'

    assert_problem(http.post("/v1/curves", content=body, headers={"Content-Type": "application/json"}), 413)


def test_a_body_without_a_length_has_the_same_limit(http: httpx.Client) -> None:
    chunks = (b"a" * 2**16 for _ in range(80))

    assert_problem(http.post("/v1/curves", content=chunks, headers={"Content-Type": "application/json"}), 413)


def test_the_value_that_was_wrong_is_not_in_the_answer(http: httpx.Client) -> None:
    assert "hunter2" not in http.post("/v1/curves", json=curve(base_lr="hunter2")).text


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/v1/jobs", "labl"),
        ("GET", "/v1/experiments", "labels"),
        ("GET", "/v1/jobs/nope", "baseline"),
        ("GET", "/v1/schedules", "type"),
        ("POST", "/v1/jobs", "dryrun"),
        ("POST", "/v1/experiments", "dry-run"),
        ("POST", "/v1/curves", "formt"),
        ("POST", "/v1/jobs/nope/cancel", "force"),
    ],
)
def test_a_query_parameter_that_there_is_not_is_refused_by_name(
    method: str, path: str, query: str, http: httpx.Client
) -> None:
    body = JOB if path == "/v1/jobs" else curve() if path == "/v1/curves" else {"base": JOB, "grid": {}}
    problem = assert_problem(http.request(method, path, params={query: "true"}, json=body), 422)

    assert [error["loc"] for error in problem["errors"]] == [["query", query]]
    assert (
        "422"
        in http.get("/openapi.json").json()["paths"][path.replace("nope", "{job_id}")][method.lower()]["responses"]
    )


@pytest.mark.parametrize(
    ("grid", "loc", "message"),
    [
        ({"seed": [-1]}, ["seed", 0], "Input should be greater than or equal to 0"),
        ({"seed": []}, ["seed"], "List should have at least 1 item, not 0"),
        ({"lr": 0.1}, ["lr"], "Input should be a valid list"),
        ({"schedule": ["StepLR"]}, ["schedule", 0], "Input should be a valid object"),
    ],
)
def test_an_axis_s_error_is_told_once_and_in_the_words_of_json(
    grid: Json, loc: list[str | int], message: str, http: httpx.Client
) -> None:
    problem = assert_problem(http.post("/v1/experiments?dry_run=true", json={"base": JOB, "grid": grid}), 422)

    assert problem["errors"] == [{"loc": ["body", "grid", *loc], "msg": message}]
