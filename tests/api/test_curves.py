from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from typing import Any

import httpx
import numpy as np
import pytest
from matplotlib.image import imread

from lrcore.curve import CurveRequest, sample
from lrcore.schedules import SCHEDULES

Json = dict[str, Any]

STEP = {"type": "StepLR", "step_size": 5, "gamma": 0.5}
CYCLE = {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4}
SEQUENCE = SCHEDULES["SequentialLR"].example
ONE = {"schedule": STEP, "base_lr": 0.1, "steps": 20}
MANY = {"schedule": CYCLE, "base_lr": [0.1, 0.2], "start": 3, "stride": 2, "steps": 9}
TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "npy": "application/x-npy",
    "png": "image/png",
    "svg": "image/svg+xml",
}


def post(http: httpx.Client, body: Json, **options: Any) -> httpx.Response:
    return http.post("/v1/curves", json=body, **options).raise_for_status()


def test_the_contract_s_own_example(http: httpx.Client) -> None:
    answer = post(http, ONE).json()

    assert answer == {
        "schedule": {"type": "StepLR", "step_size": 5, "gamma": 0.5},
        "base_lr": 0.1,
        "start": 0,
        "stride": 1,
        "steps": 20,
        "lr": [0.1] * 5 + [0.05] * 5 + [0.025] * 5 + [0.0125] * 5,
        "summary": {"initial": 0.1, "final": 0.0125, "min": 0.0125, "max": 0.1, "mean": 0.046875, "integral": 0.9375},
        "warnings": [],
    }


def test_the_same_by_get(http: httpx.Client) -> None:
    answer = http.get("/v1/curves/StepLR?step_size=5&gamma=0.5&base_lr=0.1&steps=20")

    assert answer.json() == post(http, ONE).json()


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_has_its_curve_by_post_by_get_and_by_spec(name: str, http: httpx.Client) -> None:
    schedule = SCHEDULES[name].example
    rest: Json = {"base_lr": 0.1, "steps": 20}
    if SCHEDULES[name].metric_driven:
        rest["metrics"] = [1.0] * 19
    if isinstance(SCHEDULES[name].model_validate(schedule).own_base_lr, float):
        del rest["base_lr"]

    posted = post(http, {"schedule": schedule} | rest).json()
    query = {k: v if isinstance(v, str) else json.dumps(v) for k, v in (schedule | rest).items() if k != "type"}
    spec = {"spec": json.dumps(schedule)} | {k: json.dumps(v) for k, v in rest.items()}

    assert http.get(f"/v1/curves/{name}", params=query).json() == posted
    assert http.get("/v1/curves", params=spec).json() == posted
    assert posted["lr"] == sample(CurveRequest.model_validate({"schedule": schedule} | rest)).lr[0].tolist()


@pytest.mark.parametrize("body", [ONE, MANY], ids=["one group", "two groups"])
def test_json_csv_and_npy_hold_the_same_numbers_to_the_last_bit(body: Json, http: httpx.Client) -> None:
    expected = sample(CurveRequest.model_validate(body))
    grouped = isinstance(body["base_lr"], list)
    lr = expected.lr if grouped else expected.lr[0]

    as_json = post(http, body, params={"format": "json"}).json()["lr"]
    as_npy = np.load(io.BytesIO(post(http, body, params={"format": "npy"}).content), allow_pickle=False)
    rows = list(csv.DictReader(io.StringIO(post(http, body, params={"format": "csv"}).text)))

    assert as_json == lr.tolist()
    assert (as_npy.dtype, as_npy.tolist()) == (np.float64, lr.tolist())
    assert [int(row["step"]) for row in rows] == expected.steps.tolist()
    columns = ["lr_0", "lr_1"] if grouped else ["lr"]
    assert [[float(row[column]) for row in rows] for column in columns] == expected.lr.tolist()


def test_momentum_comes_along_in_json_and_csv(http: httpx.Client) -> None:
    body = {"schedule": CYCLE, "steps": 5}

    as_json = post(http, body).json()["momentum"]
    rows = list(csv.DictReader(io.StringIO(post(http, body, params={"format": "csv"}).text)))

    assert as_json == pytest.approx([0.9, 0.875, 0.85, 0.825, 0.8])
    assert [float(row["momentum"]) for row in rows] == as_json


def test_momentum_left_to_the_optimizer_is_null(http: httpx.Client) -> None:
    parts = {"type": "SequentialLR", "schedulers": [STEP, CYCLE], "milestones": [2]}
    body = {"schedule": parts, "base_lr": 0.1, "steps": 3}

    assert post(http, body).json()["momentum"] == [None, None, 0.9]
    assert post(http, body, params={"format": "csv"}).text.splitlines()[1] == "0,0.1,"


def test_groups_have_columns_of_their_own_in_csv(http: httpx.Client) -> None:
    lines = post(http, MANY, params={"format": "csv"}).text.splitlines()

    assert lines[0] == "step,lr_0,lr_1,momentum_0,momentum_1"


def test_groups_have_a_summary_each(http: httpx.Client) -> None:
    answer = post(http, {"schedule": STEP, "base_lr": [0.1, 0.4], "steps": 6}).json()

    assert [facts["final"] for facts in answer["summary"]] == [0.05, 0.2]


@pytest.mark.parametrize("form", TYPES)
def test_a_format_may_be_asked_for_by_name_or_by_accept(form: str, http: httpx.Client) -> None:
    by_name = post(http, ONE, params={"format": form}, headers={"Accept": "application/json"})
    by_accept = post(http, ONE, headers={"Accept": f"application/xml, {TYPES[form]};q=0.9"})

    assert by_name.headers["content-type"] == by_accept.headers["content-type"] == TYPES[form]
    assert by_name.headers["vary"] == "Accept"


@pytest.mark.parametrize("accept", ["*/*", "text/html, */*;q=0.1", "application/*", ""])
def test_json_is_what_comes_if_nothing_else_is_wanted(accept: str, http: httpx.Client) -> None:
    assert post(http, ONE, headers={"Accept": accept}).headers["content-type"] == "application/json"


def test_the_better_of_two_accepted_formats_comes(http: httpx.Client) -> None:
    accepted = "application/json;q=0.2, text/csv;q=0.8, image/png;q=0"

    assert post(http, ONE, headers={"Accept": accepted}).headers["content-type"].startswith("text/csv")


@pytest.mark.parametrize("body", [ONE, MANY], ids=["one group", "two groups"])
def test_a_picture_is_one(body: Json, http: httpx.Client) -> None:
    png = imread(io.BytesIO(post(http, body, params={"format": "png"}).content))
    svg = ET.fromstring(post(http, body, params={"format": "svg"}).text)

    assert min(png.shape[:2]) > 200
    assert png[..., :3].std() > 0.01  # something is drawn
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parametrize("form", ["png", "svg"])
def test_a_picture_of_the_same_curve_has_the_same_bytes(form: str, http: httpx.Client) -> None:
    first, second = (post(http, MANY, params={"format": form}).content for _ in range(2))

    assert first == second


def test_a_curve_may_be_long(http: httpx.Client) -> None:
    body = {"schedule": {"type": "ExponentialLR", "gamma": 0.999999}, "base_lr": 0.1, "steps": 10**6}

    lr = np.load(io.BytesIO(post(http, body, params={"format": "npy"}).content), allow_pickle=False)

    assert lr.shape == (10**6,)
    assert lr[-1] == pytest.approx(0.1 * 0.999999**999_999, rel=1e-9)


def test_a_long_curve_in_csv_has_every_row(http: httpx.Client) -> None:
    lines = post(http, ONE | {"steps": 50_001}, params={"format": "csv"}).text.splitlines()

    assert len(lines) == 50_002
    assert lines[0] == "step,lr"
    assert lines[-1].startswith("50000,")


@pytest.mark.parametrize(
    "schedule", ["StepLR?step_size=5", "MultiStepLR?milestones=3&milestones=8", "MultiStepLR?milestones=[3,8]"]
)
def test_a_list_in_a_query_is_json_or_repeated(schedule: str, http: httpx.Client) -> None:
    answer = http.get(f"/v1/curves/{schedule}&base_lr=0.1&steps=10").raise_for_status().json()

    assert answer["lr"][4] != answer["lr"][9]


@pytest.mark.parametrize(
    ("query", "lr"),
    [("MultiStepLR?milestones=1&gamma=0.5", [0.1, 0.05]), ("ReduceLROnPlateau?metrics=1", [0.1, 0.1])],
)
def test_a_list_of_one_in_a_query_needs_no_brackets(query: str, lr: list[float], http: httpx.Client) -> None:
    assert http.get(f"/v1/curves/{query}&base_lr=0.1&steps=2").raise_for_status().json()["lr"] == lr


def test_an_expression_in_a_query_is_text_even_if_it_is_a_number(http: httpx.Client) -> None:
    answer = http.get("/v1/curves/LambdaLR", params={"lr_lambda": "1", "base_lr": "0.1", "steps": "2"})

    assert answer.json()["lr"] == [0.1, 0.1]


def test_the_type_may_be_in_the_path_and_in_the_query(http: httpx.Client) -> None:
    answer = http.get("/v1/curves/StepLR?type=StepLR&step_size=5&gamma=0.5&base_lr=0.1&steps=20")

    assert answer.json() == post(http, ONE).json()


def test_a_schedule_s_own_base_lr_in_a_query_is_the_schedule_s(http: httpx.Client) -> None:
    answer = http.get("/v1/curves/CyclicLR?base_lr=0.01&max_lr=0.1&step_size_up=4&steps=2").json()

    assert answer["schedule"]["base_lr"] == answer["lr"][0] == 0.01


def test_no_momentum_is_in_the_answer_where_none_is_cycled(http: httpx.Client) -> None:
    assert "momentum" not in post(http, ONE).json()
