"""What the curve service says beyond the rates: comparisons, facts, warnings, caching, Arrow, lengths, fits."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import numpy as np
import pyarrow.ipc
import pytest

from lrcore.curve import CurveRequest, sample

Json = dict[str, Any]

STEP = {"type": "StepLR", "step_size": 5, "gamma": 0.5}
COSINE = {"type": "CosineAnnealingLR", "T_max": 20}
ONE = {"schedule": STEP, "base_lr": 0.1, "steps": 20}
TWO = {
    "curves": [
        {"name": "stairs", "schedule": STEP, "base_lr": 0.1},
        {"name": "co,sine", "schedule": COSINE, "base_lr": 0.3},
    ],
    "steps": 20,
}


def post(http: httpx.Client, path: str, body: Json, **more: Any) -> httpx.Response:
    return http.post(path, json=body, **more)


def lr(schedule: Json, base_lr: float = 0.1, **rest: Any) -> list[float]:
    request = CurveRequest.model_validate({"schedule": schedule, "base_lr": base_lr, "steps": 20} | rest)
    return sample(request).lr[0].tolist()


def test_compared_curves_are_the_curves(http: httpx.Client) -> None:
    answer = post(http, "/v1/curves/compare", TWO).raise_for_status().json()

    assert (answer["start"], answer["stride"], answer["steps"]) == (0, 1, 20)
    assert [curve["name"] for curve in answer["curves"]] == ["stairs", "co,sine"]
    for curve, asked in zip(answer["curves"], TWO["curves"], strict=True):
        alone = post(
            http, "/v1/curves", {"schedule": asked["schedule"], "base_lr": asked["base_lr"], "steps": 20}
        ).json()
        assert {key: alone[key] for key in curve if key != "name"} == {k: v for k, v in curve.items() if k != "name"}


def test_compared_curves_have_the_fields_that_the_document_names(http: httpx.Client) -> None:
    answer = post(http, "/v1/curves/compare", TWO).raise_for_status().json()
    schemas = http.get("/openapi.json").raise_for_status().json()["components"]["schemas"]

    assert set(schemas["CompareResponse"]["required"]) == set(answer)
    assert all(set(schemas["NamedCurveResponse"]["required"]) <= set(curve) for curve in answer["curves"])
    assert {"start", "stride", "steps"} <= set(schemas["CurveResponse"]["required"])


def test_an_integral_that_is_no_float64_is_null_as_the_document_says(http: httpx.Client) -> None:
    asked = {"schedule": {"type": "Constant"}, "base_lr": 1e308, "steps": 3}
    answer = post(http, "/v1/curves", asked).raise_for_status().json()
    schemas = http.get("/openapi.json").raise_for_status().json()["components"]["schemas"]

    assert answer["summary"]["integral"] is None
    assert answer["summary"]["mean"] == 1e308
    assert {"type": "null"} in schemas["Summary"]["properties"]["integral"]["anyOf"]


def test_compared_curves_as_columns(http: httpx.Client) -> None:
    text = post(http, "/v1/curves/compare", TWO, params={"format": "csv"}).text.splitlines()
    array = np.load(io.BytesIO(post(http, "/v1/curves/compare", TWO, params={"format": "npy"}).content))
    table = pyarrow.ipc.open_stream(
        post(http, "/v1/curves/compare", TWO, params={"format": "arrow"}).content
    ).read_all()

    assert text[0] == 'step,stairs,"co,sine"'
    assert text[6] == f"5,0.05,{lr(COSINE, 0.3)[5]!r}"
    assert array.tolist() == [lr(STEP), lr(COSINE, 0.3)]
    assert table.column_names == ["step", "stairs", "co,sine"]
    assert table["co,sine"].to_pylist() == lr(COSINE, 0.3)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_compared_curves_as_one_picture(scale: str, http: httpx.Client) -> None:
    answer = post(http, "/v1/curves/compare", TWO, params={"format": "svg", "scale": scale})

    assert answer.headers["content-type"] == "image/svg+xml"
    for name in ("stairs", "co,sine"):
        assert f"<!-- {name} -->" in answer.text


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"curves": []}, ["body", "curves"]),
        ({"curves": [TWO["curves"][0]] * 2}, ["body", "curves", 1, "name"]),
        ({"curves": [{"name": "a", "schedule": COSINE}]}, ["body", "curves", 0, "base_lr"]),
        ({"curves": [{"name": "a", "schedule": {"type": "StepLR"}}]}, ["body", "curves", 0, "schedule", "step_size"]),
        ({"steps": 6_000_000}, ["body", "steps"]),
    ],
)
def test_a_comparison_that_cannot_be_names_the_field(change: Json, loc: list[str | int], http: httpx.Client) -> None:
    answer = post(http, "/v1/curves/compare", TWO | change)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == loc


def test_arrow_holds_the_same_numbers(http: httpx.Client) -> None:
    body = {"schedule": {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 20}, "steps": 20, "base_lr": [0.1, 0.2]}

    answer = post(http, "/v1/curves", body, headers={"Accept": "application/vnd.apache.arrow.stream"})
    table = pyarrow.ipc.open_stream(answer.content).read_all()

    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert table.column_names == ["step", "lr_0", "lr_1", "momentum_0", "momentum_1"]
    assert table["lr_1"].to_pylist() == post(http, "/v1/curves", body).json()["lr"][1]


@pytest.mark.parametrize(
    ("schedule", "run", "code", "step"),
    [
        ({"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 33}, {"steps": 33}, "peak-never-reached", 9),
        (COSINE, {"steps": 30}, "rises-after-end", 20),
        (COSINE, {"steps": 10}, "schedule-longer-than-run", 9),
        ({"type": "PolynomialLR", "total_iters": 5}, {"steps": 10}, "schedule-shorter-than-run", 5),
        (COSINE, {"steps": 5, "total_steps": 30}, "rises-after-end", 20),
        ({"type": "constant_with_warmup", "num_warmup_steps": 3}, {"steps": 10}, "starts-at-zero", 0),
        (
            {"type": "SequentialLR", "schedulers": [{"type": "LinearLR", "total_iters": 5}, STEP], "milestones": [3]},
            {"steps": 10},
            "jump-at-join",
            3,
        ),
    ],
)
def test_a_doubtful_curve_has_a_warning(schedule: Json, run: Json, code: str, step: int, http: httpx.Client) -> None:
    answer = post(http, "/v1/curves", {"schedule": schedule, "base_lr": 0.1} | run).json()

    assert [(warning["code"], warning["step"]) for warning in answer["warnings"]] == [(code, step)]
    assert answer["lr"] == lr(schedule, **run)


@pytest.mark.parametrize(
    ("schedule", "run"),
    [
        (COSINE, {"steps": 21}),
        (STEP, {"steps": 100}),
        ({"type": "WarmUp", "warmup_steps": 5, "start": 0.1, "schedule": COSINE}, {"steps": 25}),
        ({"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 20, "pct_start": 0.25}, {"steps": 20}),
    ],
)
def test_a_sound_curve_has_none(schedule: Json, run: Json, http: httpx.Client) -> None:
    assert post(http, "/v1/curves", {"schedule": schedule, "base_lr": 0.1} | run).json()["warnings"] == []


def test_where_a_rate_is_first_reached(http: httpx.Client) -> None:
    asked = http.get("/v1/curves/StepLR?step_size=5&gamma=0.5&base_lr=0.1&steps=20&where=0.03").json()["where"]
    posted = post(http, "/v1/curves", ONE | {"where": 0.03}).json()["where"]
    added = post(http, "/v1/curves", ONE, params={"where": 0.03}).json()["where"]

    assert asked == posted == added == {"lr_at_most": 0.03, "step": 10, "after_peak": 10}
    assert post(http, "/v1/curves", ONE | {"where": 0.001}).json()["where"]["step"] is None
    groups = post(http, "/v1/curves", ONE | {"where": 0.03, "base_lr": [0.1, 0.02]}).json()["where"]
    assert groups["step"] == [10, 0]
    assert groups["after_peak"] == [10, 1]


def test_where_a_rate_is_reached_after_the_peak(http: httpx.Client) -> None:
    warm = {"type": "WarmUp", "warmup_steps": 5, "schedule": STEP}
    body = {"schedule": warm, "base_lr": [0.1, 0.02], "start": 1, "stride": 2, "steps": 10}

    def where(rate: float) -> Any:
        return post(http, "/v1/curves", body | {"where": rate}).raise_for_status().json()["where"]

    assert where(0.05) == {"lr_at_most": 0.05, "step": [1, 1], "after_peak": [11, 7]}
    assert where(0.001) == {"lr_at_most": 0.001, "step": [None, None], "after_peak": [None, None]}
    rising = {"schedule": warm, "base_lr": 0.1, "steps": 6, "where": 0.05}
    assert post(http, "/v1/curves", rising).json()["where"] == {"lr_at_most": 0.05, "step": 0, "after_peak": None}


def test_the_integral_counts_every_step(http: httpx.Client) -> None:
    every = post(http, "/v1/curves", ONE).json()["summary"]["integral"]
    fifth = post(http, "/v1/curves", ONE | {"stride": 5, "steps": 4}).json()["summary"]["integral"]

    assert every == fifth == pytest.approx(5 * (0.1 + 0.05 + 0.025 + 0.0125), rel=1e-15)


LENGTHS: list[tuple[Json, Json, Json]] = [
    ({"type": "CosineAnnealingLR", "T_max": "100%"}, {}, {"type": "CosineAnnealingLR", "T_max": 20}),
    ({"type": "StepLR", "step_size": "2ep"}, {"steps_per_epoch": 4}, {"type": "StepLR", "step_size": 8}),
    ({"type": "MultiStepLR", "milestones": ["50%", "75%"]}, {}, {"type": "MultiStepLR", "milestones": [10, 15]}),
    ({"type": "StepLR", "step_size": "10%"}, {"total_steps": 1000}, {"type": "StepLR", "step_size": 100}),
    (
        {"type": "WarmUp", "warmup_steps": "10%", "schedule": {"type": "CosineAnnealingLR", "T_max": "90%"}},
        {},
        {"type": "WarmUp", "warmup_steps": 2, "schedule": {"type": "CosineAnnealingLR", "T_max": 18}},
    ),
]


@pytest.mark.parametrize(("schedule", "run", "steps"), LENGTHS)
def test_a_length_may_be_a_share_of_the_run(schedule: Json, run: Json, steps: Json, http: httpx.Client) -> None:
    answer = post(http, "/v1/curves", {"schedule": schedule, "base_lr": 0.1, "steps": 20} | run).raise_for_status()
    compared = post(
        http, "/v1/curves/compare", {"curves": [{"name": "a", "schedule": schedule, "base_lr": 0.1}], "steps": 20} | run
    )

    assert {key: answer.json()["schedule"][key] for key in steps if key != "schedule"} == {
        key: value for key, value in steps.items() if key != "schedule"
    }
    assert answer.json()["lr"] == compared.json()["curves"][0]["lr"] == lr(steps)


def test_a_length_may_be_a_share_in_a_query(http: httpx.Client) -> None:
    answer = http.get("/v1/curves/CosineAnnealingLR", params={"T_max": "50%", "base_lr": 0.1, "steps": 20})

    assert answer.json()["schedule"]["T_max"] == 10


def test_a_job_knows_its_run(http: httpx.Client) -> None:
    spec = {
        "model": {"type": "lenet"},
        "dataset": {"type": "fake", "samples": 64},
        "epochs": 10,
        "batch_size": 16,
        "interval": "step",
        "schedule": {"type": "SequentialLR", "milestones": ["2ep"], "schedulers": [STEP, COSINE | {"T_max": "80%"}]},
    }

    job = post(http, "/v1/jobs", spec).raise_for_status().json()
    http.post(job["links"]["cancel"])

    assert job["spec"]["schedule"]["milestones"] == [8]
    assert job["spec"]["schedule"]["schedulers"][1]["T_max"] == 32


@pytest.mark.parametrize(
    ("schedule", "loc"),
    [
        ({"type": "StepLR", "step_size": "2ep"}, ["body", "schedule", "step_size"]),
        ({"type": "StepLR", "step_size": "0%"}, ["body", "schedule", "step_size"]),
        ({"type": "StepLR", "step_size": "10 %"}, ["body", "schedule", "step_size"]),
        ({"type": "StepLR", "step_size": "-10%"}, ["body", "schedule", "step_size"]),
    ],
)
def test_a_length_that_says_nothing_is_refused(schedule: Json, loc: list[str], http: httpx.Client) -> None:
    answer = post(http, "/v1/curves", {"schedule": schedule, "base_lr": 0.1, "steps": 20})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == loc


@pytest.mark.parametrize(
    "path",
    [
        "/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=20",
        '/v1/curves?spec={"type":"StepLR","step_size":5}&base_lr=0.1&steps=20',
    ],
)
def test_an_answer_that_the_client_has_is_not_sent_again(path: str, http: httpx.Client) -> None:
    first = http.get(path)
    tag = first.headers["etag"]

    again = http.get(path, headers={"If-None-Match": f'"other", {tag}'})
    other = http.get(path + "&stride=2", headers={"If-None-Match": tag})
    csv = http.get(path, headers={"If-None-Match": tag, "Accept": "text/csv"})

    assert first.headers["cache-control"].startswith("public, max-age=")
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (other.status_code, csv.status_code) == (200, 200)
    assert len({tag, other.headers["etag"], csv.headers["etag"]}) == 3


def test_the_order_of_the_parameters_does_not_change_the_tag(http: httpx.Client) -> None:
    one = http.get("/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=20")
    other = http.get("/v1/curves/StepLR?steps=20&base_lr=0.1&step_size=5&start=0")

    assert one.headers["etag"] == other.headers["etag"]


def test_a_request_that_comes_again_has_the_same_answer_in_its_own_format(http: httpx.Client) -> None:
    first = [post(http, "/v1/curves", ONE, params={"format": form}).content for form in ("json", "csv", "npy")]
    again = [post(http, "/v1/curves", ONE, params={"format": form}).content for form in ("json", "csv", "npy")]

    assert first == again
    assert len(set(first)) == 3
    assert post(http, "/v1/curves", ONE, headers={"Content-Type": "text/plain"}).status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        ONE,
        ONE | {"where": 0.03, "start": 3, "stride": 2},
        ONE | {"base_lr": [0.1, 0.2]},
        {"schedule": COSINE | {"T_max": "50%"}, "base_lr": 0.1, "steps": 20, "total_steps": 40},
        {"schedule": {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 20}, "steps": 20},
        {"schedule": {"type": "ReduceLROnPlateau"}, "base_lr": 0.1, "steps": 2, "metrics": [1.0]},
    ],
)
def test_the_short_way_and_the_long_way_lead_to_the_same_answer(body: Json, http: httpx.Client) -> None:
    short, long = post(http, "/v1/curves", body), post(http, "/v1/curves", body, params={"format": "json"})

    assert short.content == long.content
    assert short.headers["content-type"] == long.headers["content-type"] == "application/json"
    assert short.headers["vary"] == long.headers["vary"]


def test_a_body_in_pieces_is_one_body(http: httpx.Client) -> None:
    text = json.dumps(ONE).encode()

    answer = http.post("/v1/curves", content=iter([text[:10], text[10:]]), headers={"Content-Type": "application/json"})

    assert answer.json() == post(http, "/v1/curves", ONE).json()


@pytest.mark.parametrize("start", [0, 10**15 - 4 * 10**6])
@pytest.mark.parametrize("stride", [1, 2, 999_983])
def test_any_step_is_as_near_as_the_first(start: int, stride: int, http: httpx.Client) -> None:
    schedule = {"type": "CosineAnnealingWarmRestarts", "T_0": 10, "T_mult": 2}
    body = {"schedule": schedule, "base_lr": 0.1, "start": start, "stride": stride, "steps": 5}

    rates = post(http, "/v1/curves", body).raise_for_status().json()["lr"]

    singles = [
        post(http, "/v1/curves", body | {"start": start + i * stride, "steps": 1}).json()["lr"] for i in range(5)
    ]
    assert rates == [rate for single in singles for rate in single]


def test_a_logged_curve_leads_back_to_its_schedule(http: httpx.Client) -> None:
    logged = lr({"type": "CosineAnnealingLR", "T_max": 15, "eta_min": 0.001})

    fits = post(http, "/v1/schedules/fit", {"lr": logged, "limit": 2}).raise_for_status().json()["fits"]

    assert 1 <= len(fits) <= 2
    assert fits[0]["exact"]
    assert fits[0]["schedule"]["type"] == "CosineAnnealingLR"
    assert lr(fits[0]["schedule"], fits[0]["base_lr"]) == pytest.approx(logged, abs=1e-10)


@pytest.mark.parametrize("steps", [{"step": list(range(10, 1000, 10))}, {"start": 10, "stride": 10}])
def test_a_log_of_every_tenth_step_leads_to_lengths_in_steps(steps: dict[str, Any], http: httpx.Client) -> None:
    cosine = {"type": "cosine", "num_warmup_steps": 50, "num_training_steps": 1000}
    body = {"schedule": cosine, "base_lr": 3e-4, "start": 10, "stride": 10, "steps": 99}
    logged = post(http, "/v1/curves", body).raise_for_status().json()["lr"]

    fits = post(http, "/v1/schedules/fit", {"lr": logged, **steps}).raise_for_status().json()["fits"]

    found = {each["schedule"]["type"]: each for each in fits if each["exact"]}
    assert found["cosine"]["schedule"] == cosine
    assert fits[0]["diverges_at"] is None
    assert found["cosine"]["diverges_at"] == 1001  # it rises again, which the first one does not


@pytest.mark.parametrize(
    ("steps", "location", "words"),
    [
        ({"step": [0, 1]}, ["body", "step"], "one step for each rate"),
        ({"step": [0, 2, 1]}, ["body", "step"], "2 is followed by 1"),
        ({"step": [0, 1, -2]}, ["body", "step", 2], "greater than or equal to 0"),
        ({"step": [0, 1, 2], "stride": 2}, ["body"], "either step, or start and stride"),
        ({"stride": 0}, ["body", "stride"], "greater than or equal to 1"),
        ({"start": 10**15, "stride": 10}, ["body"], "give a smaller start or stride"),
    ],
)
def test_steps_that_are_none_are_refused(
    steps: dict[str, Any], location: list[Any], words: str, http: httpx.Client
) -> None:
    answer = post(http, "/v1/schedules/fit", {"lr": [0.3, 0.2, 0.1], **steps})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == location
    assert words in answer.json()["errors"][0]["msg"]


@pytest.mark.parametrize("series", [[], [0.1], [0.1, -0.1], "0.1"])
def test_a_log_that_is_none_is_refused(series: Any, http: httpx.Client) -> None:
    answer = post(http, "/v1/schedules/fit", {"lr": series})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][:2] == ["body", "lr"]
