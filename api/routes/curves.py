"""Curves: what a schedule does, at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError

from lrcore import unique_keys
from lrcore.compare import CompareRequest
from lrcore.curve import Curve, CurveRequest, sample
from lrcore.errors import CurveError
from lrcore.schedules import SCHEDULES
from lrcore.text import did_you_mean

from ..dependencies import json_body
from ..documented import DocumentedRoute, documented
from ..encoding.cache import MAX_AGE, etag, matches
from ..encoding.curves import MEDIA_TYPES, Axis, encode, encode_several
from ..encoding.negotiate import choose
from ..encoding.pictures import check_lines
from ..large_requests.offload import leave_loop, own_process
from ..middleware.metrics import CURVE_SECONDS
from ..problems import Invalid, readable, shortened
from ..query import only_known

router = APIRouter(route_class=DocumentedRoute, prefix="/v1/curves", tags=["curves"])
ANY_QUERY = True  # a schedule's own parameters


class Summary(BaseModel):
    """Facts of one curve."""

    initial: float
    final: float
    min: float
    max: float
    mean: float
    integral: float | None = Field(
        description="sum of the rates over all steps, each value standing for `stride` of them; null beyond 1.8e308"
    )


class Where(BaseModel):
    """The first step with at most a given rate, in the whole curve and after its peak."""

    lr_at_most: float
    step: int | list[int | None] | None = Field(
        description="the first step with a rate at most that, which a warm-up may begin with; null if there is none; "
        "a list for parameter groups"
    )
    after_peak: int | list[int | None] | None = Field(
        description="the first such step after the highest rate; null if there is none"
    )


class CurveWarning(BaseModel):
    """What the schedule's author may not have meant. The curve is as it was asked for."""

    code: str = Field(
        description="jump-at-join, peak-never-reached, starts-at-zero, rises-after-end, schedule-longer-than-run, "
        "schedule-shorter-than-run"
    )
    message: str
    step: int


class SampledCurve(BaseModel):
    """A curve without its steps."""

    schedule: dict[str, Any]
    base_lr: float | list[float]
    lr: list[float] | list[list[float]] = Field(
        description="lr[i] is the rate in force during interval start + i * stride; with a list of base rates, "
        "one such list a parameter group"
    )
    momentum: list[float | None] | list[list[float | None]] | None = Field(
        None, description="if the schedule cycles momentum; null where it is left to the optimizer"
    )
    summary: Summary | list[Summary]
    where: Where | None = Field(None, description="if the request has `where`")
    warnings: list[CurveWarning]


class CurveResponse(SampledCurve):
    """The request with its defaults, and the curve."""

    start: int
    stride: int
    steps: int


class NamedCurveResponse(SampledCurve):
    """One of the curves, without what they have in common."""

    name: str


class CompareResponse(BaseModel):
    """The steps, and every curve over them."""

    start: int
    stride: int
    steps: int
    curves: list[NamedCurveResponse]


CURVE: dict[str, Any] = {
    "description": "The curve",
    "model": CurveResponse,
    "content": {media_type.partition(";")[0]: {} for name, media_type in MEDIA_TYPES.items() if name != "json"},
}
CURVES = CURVE | {"description": "The curves", "model": CompareResponse}
NOT_MODIFIED = {"description": "The client has this answer already, says its If-None-Match"}
Format = Annotated[str | None, Query(alias="format", description=f"{', '.join(MEDIA_TYPES)}; goes before Accept")]
Scale = Annotated[Axis, Query(alias="scale", description="of the rates in a picture")]
FirstAtMost = Annotated[
    float | None,
    Query(
        ge=0,
        allow_inf_nan=False,
        description="a rate: adds `where`, the first step with at most this rate, and the first one after the peak",
    ),
]
NOT_OF_THE_CURVE = {"spec", "format", "scale"}


@router.post(
    "",
    summary="Compute a curve",
    dependencies=[Depends(json_body), Depends(only_known)],
    response_class=Response,
    responses=documented(406, 503, _200=CURVE),
)
def compute_curve(
    curve: CurveRequest, request: Request, form: Format = None, scale: Scale = "linear", where: FirstAtMost = None
) -> Response:
    """The rates that the schedule has in force at each step asked for."""
    chosen = _format(request)
    if where is not None:
        curve = curve.model_copy(update={"where": where})
    with CURVE_SECONDS.labels(chosen).time():
        return encode(curve, chosen, scale)


@router.post(
    "/compare",
    summary="Compute several curves over the same steps",
    dependencies=[Depends(own_process), Depends(json_body), Depends(only_known)],
    response_class=Response,
    responses=documented(406, 503, _200=CURVES),
)
def compare_curves(curves: CompareRequest, request: Request, form: Format = None, scale: Scale = "linear") -> Response:
    """Several schedules at once, as data or as one picture; names tell them apart."""
    chosen = choose(request, MEDIA_TYPES)
    requests = curves.requests()
    if chosen in ("png", "svg"):
        check_lines(sum(len(each.base_lrs) for each in requests))
    with CURVE_SECONDS.labels(chosen).time():
        return encode_several(curves, requests, [_sampled(i, one) for i, one in enumerate(requests)], chosen, scale)


def _sampled(i: int, request: CurveRequest) -> Curve:
    try:
        return sample(request)
    except CurveError as error:
        raise CurveError(("curves", i, *error.field), str(error)) from None


@router.get(
    "",
    summary="Compute a curve from a JSON spec",
    response_class=Response,
    responses=documented(406, 503, _200=CURVE, _304=NOT_MODIFIED),
)
def get_curve(
    request: Request,
    spec: Annotated[str, Query(description="the schedule as JSON, for schedules made of others")],
    form: Format = None,
    scale: Scale = "linear",
) -> Response:
    """The same by GET, for links and <img>: base_lr, start, stride, steps and metrics are query parameters."""
    try:
        schedule = _json(spec, "spec")
    except orjson.JSONDecodeError as error:
        raise Invalid((("query", "spec"), f"not JSON: {error}")) from None
    query = _query(request)
    if "schedule" in query:
        raise Invalid((("query", "schedule"), "the schedule is in spec"))
    known, own = _of_the_request(), query.keys() - NOT_OF_THE_CURVE
    given = {key: _value(key, values, known.get(key, {})) for key, values in query.items() if key in own}
    return _answer(request, {"schedule": schedule} | given, "spec", scale)


@router.get(
    "/{type}",
    summary="Compute a curve from query parameters",
    response_class=Response,
    responses=documented(404, 406, 503, _200=CURVE, _304=NOT_MODIFIED),
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
def get_curve_of_type(type: str, request: Request, form: Format = None, scale: Scale = "linear") -> Response:
    """Everything as query parameters, the schedule's own among them: lists as JSON, or repeated."""
    if type not in SCHEDULES:
        hint = did_you_mean(type, SCHEDULES) or "/v1/schedules lists them"
        raise HTTPException(404, f"there is no schedule {type[:80]!r}; {hint}")
    properties = _properties(type)
    schedule: dict[str, Any] = {"type": type}
    data: dict[str, Any] = {"schedule": schedule}
    for key, values in _query(request).items():
        if key == "type" and values != [type]:
            raise Invalid((("query", "type"), f"the path says {type}"))
        if key in _of_the_request() and key not in properties:
            data[key] = _value(key, values, _of_the_request()[key])
        elif key not in NOT_OF_THE_CURVE:
            schedule[key] = _value(key, values, properties.get(key, {}))
    return _answer(request, data, None, scale)


def _answer(request: Request, data: dict[str, Any], spec: str | None, scale: Axis) -> Response:
    form = _format(request)
    try:
        curve = CurveRequest.model_validate(data)
    except ValidationError as error:
        errors = readable(error.errors(include_input=False, include_url=False), data)
        raise Invalid(*[(("query", *_own(loc, spec)), message) for loc, message in errors]) from None
    tag = etag(form.encode(), scale.encode(), curve.model_dump_json().encode())
    headers = {"ETag": tag, "Cache-Control": f"public, max-age={MAX_AGE}", "Vary": "Accept"}
    if matches(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    with CURVE_SECONDS.labels(form).time():
        response = encode(curve, form, scale)
    response.headers.update(headers)
    return response


def _format(request: Request) -> str:
    """The format of the answer. Pictures and tables are made by a process of their own."""
    chosen = choose(request, MEDIA_TYPES)
    if chosen not in ("json", "npy"):
        leave_loop(request)
    return chosen


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


def _value(name: str, values: list[str], schema: dict[str, Any]) -> Any:
    """What a query parameter says: JSON where it is JSON, else the text; a list if repeated, or if a list is needed."""
    types = {option.get("type") for option in _options(schema) if "pattern" not in option}  # lengths are no text
    found = [_one(name, value, text="string" in types) for value in values]
    only_a_list = types - {"null"} == {"array"} and not isinstance(found[0], list)
    return found if len(found) > 1 or only_a_list else found[0]


def _options(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for option in schema.get("anyOf", []):
        yield from _options(option)
    if "anyOf" not in schema:
        yield schema


def _one(name: str, value: str, *, text: bool) -> Any:
    if text and not value.startswith(("[", "{")):
        return value
    try:
        return _json(value, name)
    except orjson.JSONDecodeError:
        return value


def _json(text: str, name: str) -> Any:
    """JSON of a query parameter. Raises JSONDecodeError, and Invalid if an object in it has a key twice."""
    found = orjson.loads(text)
    try:
        if isinstance(found, dict | list):
            unique_keys.check(text)
    except unique_keys.DuplicateKey as error:
        raise Invalid((("query", name, *shortened(error.path)), str(error))) from None
    return found


@cache
def _of_the_request() -> dict[str, Any]:
    """JSON Schemas of the request's own parameters."""
    return {k: v for k, v in CurveRequest.model_json_schema()["properties"].items() if k != "schedule"}


@cache
def _properties(type: str) -> dict[str, Any]:
    """JSON Schemas of a schedule's parameters. A schedule that may hold itself is a reference into its own $defs."""
    cls = SCHEDULES[type]
    schema = cls.model_json_schema()
    properties: dict[str, Any] = schema.get("$defs", {}).get(cls.__name__, schema)["properties"]
    return properties
