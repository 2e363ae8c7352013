"""What a request may contain is bounded before it is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from lrcore.compare import CompareRequest
from lrcore.curve import CurveRequest
from lrcore.family import Family
from lrserve.api.requests import JOB_TYPES
from lrserve.api.routes.fit import FitRequest
from lrserve.api.routes.translate import TranslationRequest
from lrserve.api.routes.webhooks import WebhookChange, WebhookRequest

BODIES = (
    *(known.request for known in JOB_TYPES.values()),
    CurveRequest,
    CompareRequest,
    FitRequest,
    TranslationRequest,
    WebhookRequest,
    WebhookChange,
)


def models(body: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The model, and all those inside it."""
    waiting, seen = [body], set()
    while waiting:
        model = waiting.pop()
        if model in seen:
            continue
        seen.add(model)
        yield model
        types: list[Any] = [
            each for field in model.model_fields.values() for each in (field.annotation, *field.metadata)
        ]
        while types:
            annotation = types.pop()
            types.extend(get_args(annotation))
            if isinstance(annotation, Family):
                waiting.extend(annotation.values())
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                waiting.append(annotation)


def lists() -> Iterator[tuple[type[BaseModel], str, int]]:
    """Every field that may be a list, with the most items that its schema allows."""
    for model in {model for body in BODIES for model in models(body)}:
        whole = model.model_json_schema()
        own = whole.get("$defs", {}).get(model.__name__, whole)  # one that may hold itself is a reference
        for name, schema in own["properties"].items():
            for option in (schema, *schema.get("anyOf", ())):
                if option.get("type") == "array":
                    assert "maxItems" in option, f"{model.__name__}.{name} has no bound"
                    yield model, name, option["maxItems"]


def test_every_list_has_a_bound_that_is_checked_before_its_items() -> None:
    found = list(lists())
    assert len(found) > 20
    for model, name, most in found:
        with pytest.raises(ValidationError) as refused:
            model.model_validate({name: [object()] * (most + 1)})
        errors = [error for error in refused.value.errors(include_input=False) if error["loc"][:1] == (name,)]
        assert any(error["type"] == "too_long" for error in errors), (model, name, errors[:3])
        assert len(errors) <= 4, (model, name, len(errors))  # one, or one for each type that it may have
