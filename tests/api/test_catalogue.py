from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from lrcore.datasets import DATASETS
from lrcore.models import MODELS
from lrcore.optimizers import OPTIMIZERS
from lrcore.schedules import SCHEDULES

ROUTES = {
    ("get", "/v1/schedules"),
    ("get", "/v1/schedules/{type}"),
    ("post", "/v1/schedules/fit"),
    ("post", "/v1/schedules/read"),
    ("post", "/v1/schedules/translate"),
    ("post", "/v1/curves"),
    ("post", "/v1/curves/compare"),
    ("get", "/v1/curves"),
    ("get", "/v1/curves/{type}"),
    ("get", "/v1/kinds"),
    ("post", "/v1/jobs"),
    ("get", "/v1/jobs"),
    ("get", "/v1/jobs/{job_id}"),
    ("get", "/v1/jobs/{job_id}/metrics"),
    ("get", "/v1/jobs/{job_id}/events"),
    ("get", "/v1/jobs/{job_id}/plot.png"),
    ("get", "/v1/jobs/{job_id}/plot.svg"),
    ("delete", "/v1/jobs/{job_id}"),
    ("patch", "/v1/jobs/{job_id}"),
    ("post", "/v1/jobs/{job_id}/cancel"),
    ("post", "/v1/jobs/{job_id}/pause"),
    ("post", "/v1/jobs/{job_id}/resume"),
    ("post", "/v1/jobs/{job_id}/retry"),
    ("post", "/v1/jobs/{job_id}/clone"),
    ("put", "/v1/jobs/{job_id}"),
    ("get", "/v1/jobs/{job_id}/artifacts"),
    ("get", "/v1/jobs/{job_id}/artifacts/{name}"),
    ("post", "/v1/lr-range-tests"),
    ("get", "/v1/lr-range-tests/{job_id}/curve"),
    ("post", "/v1/experiments"),
    ("get", "/v1/experiments"),
    ("get", "/v1/experiments/{job_id}"),
    ("get", "/v1/experiments/{job_id}/leaderboard"),
    ("get", "/v1/experiments/{job_id}/metrics"),
    ("get", "/v1/experiments/{job_id}/curves"),
    ("get", "/v1/experiments/{job_id}/events"),
    ("get", "/v1/experiments/{job_id}/runs/{run}"),
    ("get", "/v1/experiments/{job_id}/plot.{form}"),
    ("delete", "/v1/experiments/{job_id}"),
    ("patch", "/v1/experiments/{job_id}"),
    ("post", "/v1/experiments/{job_id}/cancel"),
    ("post", "/v1/experiments/{job_id}/pause"),
    ("post", "/v1/experiments/{job_id}/resume"),
    ("post", "/v1/experiments/{job_id}/retry"),
    ("post", "/v1/experiments/{job_id}/clone"),
    ("get", "/v1/keys"),
    ("post", "/v1/keys"),
    ("delete", "/v1/keys/{key_id}"),
    ("get", "/v1/audit"),
    ("post", "/v1/webhooks"),
    ("get", "/v1/webhooks"),
    ("get", "/v1/webhooks/{webhook_id}"),
    ("patch", "/v1/webhooks/{webhook_id}"),
    ("delete", "/v1/webhooks/{webhook_id}"),
    ("post", "/v1/webhooks/{webhook_id}/rotate"),
    ("post", "/v1/webhooks/{webhook_id}/test"),
    ("get", "/v1/webhooks/{webhook_id}/deliveries"),
    ("post", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"),
    ("get", "/v1/models"),
    ("get", "/v1/models/{type}"),
    ("get", "/v1/datasets"),
    ("get", "/v1/datasets/{type}"),
    ("get", "/v1/optimizers"),
    ("get", "/v1/optimizers/{type}"),
    ("get", "/healthz"),
    ("get", "/metrics"),
    ("get", "/readyz"),
}


@pytest.fixture(scope="module")
def document(service: Any) -> dict[str, Any]:
    """The OpenAPI document."""
    answer: dict[str, Any] = service.http.get("/openapi.json").raise_for_status().json()
    return answer


def test_the_catalogue_lists_every_schedule(http: httpx.Client) -> None:
    entries = http.get("/v1/schedules").json()["schedules"]

    assert [entry["type"] for entry in entries] == list(SCHEDULES)
    for entry in entries:
        assert set(entry) == {"type", "summary", "formula", "origin", "parameters", "example"}
        assert entry == http.get(f"/v1/schedules/{entry['type']}").json()


@pytest.mark.parametrize("name", SCHEDULES)
def test_an_entry_says_what_a_schedule_takes(name: str, http: httpx.Client) -> None:
    entry = http.get(f"/v1/schedules/{name}").json()
    schema = entry["parameters"]
    schema = schema.get("$defs", {}).get(name, schema)

    assert set(schema["properties"]) == set(SCHEDULES[name].model_fields)
    assert set(entry["example"]) >= set(schema["required"])
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(("kind", "members"), [("models", MODELS), ("datasets", DATASETS), ("optimizers", OPTIMIZERS)])
def test_models_data_sets_and_optimizers_are_listed(kind: str, members: dict[str, Any], http: httpx.Client) -> None:
    entries = http.get(f"/v1/{kind}").json()[kind]

    assert [entry["type"] for entry in entries] == list(members)
    for entry in entries[:10]:
        assert members[entry["type"]].model_validate(entry["example"]).type == entry["type"]
        assert set(entry["parameters"]["properties"]) == set(members[entry["type"]].model_fields)
        assert entry == http.get(f"/v1/{kind}/{entry['type']}").json()
    assert http.get(f"/v1/{kind}/nothing").status_code == 404


@pytest.mark.parametrize("route", sorted(ROUTES), ids=" ".join)
def test_the_document_has_every_route_with_its_errors(route: tuple[str, str], document: dict[str, Any]) -> None:
    method, path = route
    operation = document["paths"][path][method]

    assert operation["summary"]
    for status, answer in operation["responses"].items():
        if int(status) >= 400:
            assert list(answer["content"]) == ["application/problem+json"]


def test_the_document_says_that_a_key_may_be_needed(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert "security" not in operation  # this service asks for none
            assert path.startswith("/v1/") is ({"401", "403", "429"} <= set(operation["responses"]))


def test_the_document_has_no_other_route(document: dict[str, Any]) -> None:
    assert {(method, path) for path, methods in document["paths"].items() for method in methods} == ROUTES


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": ?"#/([^"]+)"', httpx.Response(200, json=document).text)):
        there: Any = document
        for part in reference.split("/"):
            there = there[part]


def test_the_document_tells_schedules_apart_by_their_type(document: dict[str, Any]) -> None:
    schedule = document["components"]["schemas"]["CurveRequest"]["properties"]["schedule"]

    assert schedule["discriminator"]["propertyName"] == "type"
    assert set(schedule["discriminator"]["mapping"]) == set(SCHEDULES)


def test_the_docs_need_no_other_server(http: httpx.Client) -> None:
    page = http.get("/docs").text
    files = re.findall(r'(?:src|href)="([^"]+)"', page)

    assert len(files) >= 3
    for file in files:
        assert file.startswith("/docs/")
        assert http.get(file).raise_for_status().content
    assert "https://" not in page + http.get("/docs/start.js").text


def test_every_kind_of_job_says_what_it_takes_and_where_it_is_posted_to(http: httpx.Client) -> None:
    kinds = {kind["type"]: kind for kind in http.get("/v1/kinds").json()["kinds"]}
    assert set(kinds) == {"training", "lr_range_test", "experiment"}
    job = {"model": {"type": "lenet"}, "dataset": {"type": "digits"}}
    bodies = {
        "training": job | {"epochs": 1},
        "lr_range_test": job,
        "experiment": {"base": job | {"epochs": 1}, "grid": {}},
    }
    for name, kind in kinds.items():
        assert set(kind["parameters"]["required"]) == set(bodies[name])
        assert http.post(kind["submit"], params={"dry_run": True}, json=bodies[name]).status_code == 200
    fields = kinds["training"]["parameters"]["properties"]
    assert fields["epochs"]["maximum"] == 10_000
    for field, family in {"model": "models", "dataset": "datasets", "optimizer": "optimizers"}.items():
        assert fields[field]["catalogue"] == f"/v1/{family}"
    schedules = kinds["experiment"]["parameters"]["$defs"]["Axes"]["properties"]["schedule"]["anyOf"][0]["items"]
    assert schedules["anyOf"][0]["catalogue"] == "/v1/schedules"
