"""Curves: what a schedule does, at once."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError

from api.deps import json_body
from api.encoding import MEDIA_TYPES, encode
from api.negotiate import choose
from api.problems import Invalid, documented, readable
from lrcore.curve import CurveRequest, sample
from lrcore.schedules import SCHEDULES

router = APIRouter(prefix="/v1/curves", tags=["curves"])


class Summary(BaseModel):
    """Facts of one curve."""

    initial: float
    final: float
    min: float
    max: float
    mean: float


class CurveAnswer(BaseModel):
    """The request with its defaults, and the curve."""

    schedule: dict[str, Any]
    base_lr: float | list[float]
    start: int
    stride: int
    steps: int
    lr: list[float] | list[list[float]] = Field(
        description="lr[i] is the rate in force during interval start + i * stride; with a list of base rates, "
        "one such list a parameter group"
    )
    momentum: list[float | None] | list[list[float | None]] | None = Field(
        None, description="if the schedule cycles momentum; null where it is left to the optimizer"
    )
    summary: Summary | list[Summary]


CURVE: dict[str, Any] = {
    "description": "The curve",
    "model": CurveAnswer,
    "content": {media_type.partition(";")[0]: {} for name, media_type in MEDIA_TYPES.items() if name != "json"},
}
Format = Annotated[str | None, Query(alias="format", description=f"{', '.join(MEDIA_TYPES)}; goes before Accept")]
OF_THE_REQUEST = {k: v for k, v in CurveRequest.model_json_schema()["properties"].items() if k != "schedule"}


@router.post(
    "",
    summary="Compute a curve",
    dependencies=[Depends(json_body)],
    response_class=Response,
    responses=documented(400, 406, 413, 415, 422, _200=CURVE),
)
def post_curve(curve: CurveRequest, request: Request, form: Format = None) -> Response:
    """The rates that the schedule has in force at each step asked for."""
    chosen = choose(request, MEDIA_TYPES)
    return encode(curve, sample(curve), chosen)


@router.get(
    "",
    summary="Compute a curve from a JSON spec",
    response_class=Response,
    responses=documented(406, 422, _200=CURVE),
)
def get_curve(
    request: Request,
    spec: Annotated[str, Query(description="the schedule as JSON, for schedules made of others")],
    form: Format = None,
) -> Response:
    """The same by GET, for links and <img>: base_lr, start, stride, steps and metrics are query parameters."""
    try:
        schedule = orjson.loads(spec)
    except orjson.JSONDecodeError as error:
        raise Invalid((("query", "spec"), f"not JSON: {error}")) from None
    query = _query(request)
    if "schedule" in query:
        raise Invalid((("query", "schedule"), "the schedule is in spec"))
    given = {key: _value(v, OF_THE_REQUEST.get(key, {})) for key, v in query.items() if key not in ("spec", "format")}
    return _answer(request, {"schedule": schedule} | given, "spec")


@router.get(
    "/{type}",
    summary="Compute a curve from query parameters",
    response_class=Response,
    responses=documented(404, 406, 422, _200=CURVE),
    openapi_extra={
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": kind}, "description": text, "example": example}
            for name, kind, text, example in (
                ("steps", "integer", "how many values come back", 20),
                ("base_lr", "number", "the initial rate, or the schedule's own base_lr if it has one", 0.1),
                ("start", "integer", "first step", 0),
                ("stride", "integer", "distance of the steps", 1),
                ("parameters", "object", "every parameter of the schedule by its name", {"step_size": 5, "gamma": 0.5}),
            )
        ]
    },
)
def get_curve_of_type(type: str, request: Request, form: Format = None) -> Response:
    """Everything as query parameters, the schedule's own among them: lists as JSON, or repeated."""
    if type not in SCHEDULES:
        raise HTTPException(404, f"there is no schedule {type[:80]!r}; /v1/schedules lists them")
    properties = _properties(type)
    schedule: dict[str, Any] = {"type": type}
    data: dict[str, Any] = {"schedule": schedule}
    for key, values in _query(request).items():
        if key == "type" and values != [type]:
            raise Invalid((("query", "type"), f"the path says {type}"))
        if key in OF_THE_REQUEST and key not in properties:
            data[key] = _value(values, OF_THE_REQUEST[key])
        elif key != "format":
            schedule[key] = _value(values, properties.get(key, {}))
    return _answer(request, data, None)


def _answer(request: Request, data: dict[str, Any], spec: str | None) -> Response:
    chosen = choose(request, MEDIA_TYPES)
    try:
        curve = CurveRequest.model_validate(data)
    except ValidationError as error:
        errors = readable(error.errors(include_input=False, include_url=False), data)
        raise Invalid(*[(("query", *_own(loc, spec)), message) for loc, message in errors]) from None
    return encode(curve, sample(curve), chosen)


def _own(loc: tuple[str | int, ...], spec: str | None) -> tuple[str | int, ...]:
    """A path in the query: the schedule's fields are parameters themselves, or lie in `spec`."""
    if loc[:1] != ("schedule",):
        return loc
    return (spec, *loc[1:]) if spec else loc[1:] or ("type",)


def _query(request: Request) -> dict[str, list[str]]:
    query: dict[str, list[str]] = {}
    for key, value in request.query_params.multi_items():
        query.setdefault(key, []).append(value)
    return query


def _value(values: list[str], schema: dict[str, Any]) -> Any:
    """What a query parameter says: JSON where it is JSON, else the text; a list if repeated, or if a list is needed."""
    types = {option.get("type") for option in schema.get("anyOf", [schema])}
    found = [_one(value, text="string" in types) for value in values]
    only_a_list = types - {"null"} == {"array"} and not isinstance(found[0], list)
    return found if len(found) > 1 or only_a_list else found[0]


def _one(value: str, *, text: bool) -> Any:
    if text and not value.startswith(("[", "{")):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


@cache
def _properties(type: str) -> dict[str, Any]:
    """JSON Schemas of a schedule's parameters. A schedule that may hold itself is a reference into its own $defs."""
    cls = SCHEDULES[type]
    schema = cls.model_json_schema()
    properties: dict[str, Any] = schema.get("$defs", {}).get(cls.__name__, schema)["properties"]
    return properties
