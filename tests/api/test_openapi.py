"""The OpenAPI document, as linters and generators of clients want it; `make openapi-lint` asks one of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from lrserve.api.openapi import EXAMPLES

JOBS = ("submit_job", "submit_range_test", "submit_experiment")
COMPUTED = ("compute_curve", "compare_curves", "translate_schedule", "fit_schedule", "read_config")


@pytest.fixture(scope="module")
def document(service: Any) -> dict[str, Any]:
    answer: dict[str, Any] = service.http.get("/openapi.json").raise_for_status().json()
    return answer


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Method, path and operation by the operation's id."""
    found = [
        (operation["operationId"], (method, path, operation))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(dict(found)) == len(found)
    return dict(found)


def test_it_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_name_is_one_that_a_generated_client_can_use(operations: dict[str, Any]) -> None:
    assert [name for name in operations if not name.isidentifier() or len(name) > 30 or name.endswith("_v1")] == []
    assert {"submit_job", "get_job", "cancel_job", "cancel_experiment", "compute_curve"} <= operations.keys()


def test_every_operation_says_what_it_does_and_how_it_may_fail(operations: dict[str, Any]) -> None:
    for name, (_, path, operation) in operations.items():
        assert operation["summary"], name
        assert operation["description"], name
        assert not operation["summary"].endswith("."), name
        errors = [status for status in operation["responses"] if status >= "4"]
        assert errors or path in ("/healthz", "/metrics"), f"{name} has no error"
        for status in errors:
            assert "application/problem+json" in operation["responses"][status]["content"], f"{name}, {status}"


def test_json_stands_first_where_an_answer_can_be_had_in_several_forms(operations: dict[str, Any]) -> None:
    contents = [
        a["content"] for _, _, each in operations.values() for a in each["responses"].values() if "content" in a
    ]

    assert all(next(iter(forms)) == "application/json" for forms in contents if "application/json" in forms)
    assert len([forms for forms in contents if len(forms) > 1 and "application/json" in forms]) >= 8


def test_every_tag_is_described_and_used(document: dict[str, Any], operations: dict[str, Any]) -> None:
    used = {tag for _, _, operation in operations.values() for tag in operation["tags"]}

    assert {tag["name"] for tag in document["tags"]} == used
    assert all(tag["description"] for tag in document["tags"])
    assert document["servers"]
    assert document["info"]["description"]
    assert document["info"]["contact"]


def test_every_body_has_an_example_that_fits(document: dict[str, Any], operations: dict[str, Any]) -> None:
    with_body = {name for name, (_, _, operation) in operations.items() if "requestBody" in operation}
    assert with_body == EXAMPLES.keys()

    for name in with_body:
        body = operations[name][2]["requestBody"]["content"]["application/json"]
        errors = list(Draft202012Validator(document | body["schema"]).iter_errors(body["example"]))
        assert errors == [], name


def test_every_example_in_a_schema_fits(document: dict[str, Any]) -> None:
    def schemas(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            if isinstance(node.get("examples"), list) and not isinstance(node.get("properties"), list):
                yield node
            node = list(node.values())
        if isinstance(node, list):
            for each in node:
                yield from schemas(each)

    for schema in schemas(document["components"]["schemas"]):
        for example in schema["examples"]:
            assert list(Draft202012Validator(document | schema).iter_errors(example)) == [], schema


@pytest.mark.parametrize("name", [*COMPUTED, *JOBS])
def test_the_service_takes_its_own_examples(name: str, operations: dict[str, Any], http: httpx.Client) -> None:
    method, path, operation = operations[name]
    example = operation["requestBody"]["content"]["application/json"]["example"]

    answer = http.request(method, path, json=example, params={"dry_run": "true"} if name in JOBS else {})

    assert answer.status_code == 200, answer.text
