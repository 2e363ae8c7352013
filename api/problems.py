"""Every error as application/problem+json, RFC 9457. One table says which domain error is which status."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.status import HTTP_422_UNPROCESSABLE_CONTENT, HTTP_429_TOO_MANY_REQUESTS

from lrcore.access.keys import KeyNotFound, TooManyKeys
from lrcore.dialects._read import known_elsewhere
from lrcore.errors import CurveError, message
from lrcore.jobs.job_spec import MissingPlugin
from lrcore.schedules import SCHEDULES
from lrcore.service import logs
from lrcore.service.artifacts import ArtifactNotFound, ArtifactsUnavailable
from lrcore.store.connection import OutOfMemoryError, RedisError
from lrcore.store.errors import (
    IllegalMove,
    JobExists,
    JobNotFound,
    JobTooLarge,
    KeyReused,
    LimitReached,
    NotReplicated,
    StoreFull,
)
from lrcore.store.format import StoreTooNew
from lrcore.text import did_you_mean
from lrcore.webhooks.endpoints import DeliveryNotFound, TooManyWebhooks, WebhookDisabled, WebhookNotFound

from .encoding.json import dumps
from .middleware.headers import HEADERS

log = logging.getLogger("lrserve.api")

Loc = tuple[str | int, ...]

MAX_ERRORS = 20  # an answer never grows with how much is wrong
MAX_NAME = 200  # characters of a field's name that come back


class InvalidField(BaseModel):
    """One thing that is wrong with a request."""

    loc: list[str | int] = Field(description='where: "body" or "query", then the path of the field')
    msg: str


class Problem(BaseModel):
    """An error, RFC 9457."""

    type: str = Field(description="stable name of the kind of problem, a URN")
    title: str
    status: int
    detail: str
    errors: list[InvalidField] | None = Field(None, description="the fields at fault, for invalid input; the first 20")


class Invalid(Exception):
    """Input that no pydantic model could refuse by itself. `errors` as in Problem."""

    def __init__(self, *errors: tuple[Loc, str]) -> None:
        super().__init__(errors)
        self.errors = errors


class InvalidJson(Exception):
    """A body that cannot be read, from pydantic's error of type json_invalid."""

    def __init__(self, error: Any) -> None:
        super().__init__(f"not JSON: {(error.get('ctx') or {}).get('error', 'cannot be read')}")


IN_JSON = {
    "tuple_type": "Input should be a valid list",
    "dict_type": "Input should be a valid object",
    "model_type": "Input should be a valid object",
    "model_attributes_type": "Input should be a valid object",
}
COUNTED = ("too_short", "too_long")

# domain error -> status, kind, title
TABLE: dict[type[Exception], tuple[int, str, str]] = {
    InvalidJson: (400, "invalid-json", "The body is not JSON"),
    JobNotFound: (404, "job-not-found", "Job not found"),
    ArtifactNotFound: (404, "artifact-not-found", "Artifact not found"),
    JobExists: (409, "job-exists", "The id belongs to another job"),
    LimitReached: (429, "limit-reached", "A limit is reached"),
    KeyNotFound: (404, "key-not-found", "Key not found"),
    TooManyKeys: (409, "too-many-keys", "There are too many keys"),
    KeyReused: (422, "idempotency-key-reused", "The idempotency key belongs to another request"),
    MissingPlugin: (422, "missing-plugin", "The job needs a plug-in"),
    IllegalMove: (409, "illegal-move", "The job's state does not allow this"),
    NotReplicated: (503, "not-replicated", "The job is not safe from a failover yet"),
    StoreFull: (503, "store-full", "The job store has no room for more jobs"),
    StoreTooNew: (503, "store-too-new", "The job store belongs to a newer version"),
    OutOfMemoryError: (503, "store-full", "The job store has no room for more jobs"),
    WebhookNotFound: (404, "webhook-not-found", "Webhook not found"),
    DeliveryNotFound: (404, "delivery-not-found", "Delivery not found"),
    WebhookDisabled: (409, "webhook-disabled", "The webhook is disabled"),
    TooManyWebhooks: (409, "too-many-webhooks", "There are too many webhooks"),
    RedisError: (503, "store-unavailable", "The job store does not answer"),
    ArtifactsUnavailable: (503, "artifacts-unavailable", "The artifact root does not answer"),
}

AWAY = {
    "store-full": "No job was accepted; those that are in the store go on. An operator must give Redis more memory, "
    "or delete ended jobs.",
    "store-unavailable": "Nothing was changed, as far as is known. Curves go on working; jobs will, when it is back.",
    "artifacts-unavailable": "The files of jobs cannot be read now; everything else goes on working.",
}

TITLES = {
    400: "Bad request",
    401: "Not authorized",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Request timeout",
    413: "Request body too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    431: "Request headers too large",
    501: "Not implemented",
}


def problem(
    status: int,
    kind: str,
    title: str,
    detail: str,
    errors: Sequence[tuple[Loc, str]] = (),
    headers: dict[str, str] | None = None,
) -> Response:
    """The answer for one problem."""
    body: dict[str, Any] = {
        "type": f"urn:lrserve:problem:{kind}",
        "title": title,
        "status": status,
        "detail": _encodable(detail),
    }
    if errors:
        body["errors"] = [{"loc": list(map(_encodable, loc)), "msg": _encodable(msg)} for loc, msg in errors]
    return Response(dumps(body), status, headers, media_type="application/problem+json")


def titled(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The answer for a problem that its status says: by that are its kind and its title."""
    title = TITLES.get(status, "Error")
    return problem(status, title.lower().replace(" ", "-"), title, detail, headers=headers)


def _encodable(part: str | int) -> str | int:
    """Text as UTF-8 can hold it: JSON may name half of a surrogate pair, which a field's name then has."""
    return part.encode(errors="replace").decode() if isinstance(part, str) else part


def invalid(errors: Sequence[tuple[Loc, str]]) -> Response:
    """422, naming the fields."""
    first = f"{'.'.join(map(str, errors[0][0]))}: {errors[0][1]}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return problem(HTTP_422_UNPROCESSABLE_CONTENT, "invalid-input", "Invalid input", first + more, errors)


def readable(errors: Sequence[Any], data: Any, prefix: Loc = ()) -> list[tuple[Loc, str]]:
    """pydantic's errors as (path in the caller's own JSON, message).

    pydantic puts the names of union members into its paths, which are no fields: the path is walked along `data`,
    and what leads nowhere is left out. No value from the input comes back but the name of an unknown type.
    """
    found: dict[tuple[Loc, str], None] = {}
    for error in _own(errors):
        loc = _walk(error["loc"][len(prefix) :], data, error["type"])
        message = _message(error)
        context = error.get("ctx") or {}
        if isinstance(context.get("error"), CurveError):
            loc += context["error"].field
        elif error["type"] in ("union_tag_invalid", "union_tag_not_found"):
            loc += ("type",)
            message = _unknown_type(context) if "tag" in context else "Field required"
        found[prefix + loc, message] = None
    return list(found)


def _own(errors: Sequence[Any]) -> list[Any]:
    """The first errors, without what follows from others: pydantic counts the good items of a list, not those given."""
    some = errors[: 2 * MAX_ERRORS]

    def follows(error: Any) -> bool:
        where = error["loc"]
        return any(len(o["loc"]) > len(where) and o["loc"][: len(where)] == where for o in some)

    return [error for error in some if not (error["type"] == "too_short" and follows(error))][:MAX_ERRORS]


def _message(error: Any) -> str:
    """What pydantic says of Python's types, for those who send JSON."""
    text = IN_JSON.get(error["type"]) or message(error)
    return text.replace("Tuple", "List").replace(" after validation", "") if error["type"] in COUNTED else text


def _walk(loc: Loc, data: Any, kind: str) -> Loc:
    path: list[str | int] = []
    for i, part in enumerate(loc):
        if part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data)):
            data = data[part]
        elif not (kind == "missing" and i == len(loc) - 1):
            continue
        path.append(part)
    return shortened(path)


def shortened(path: Iterable[str | int]) -> Loc:
    """A path whose names are no longer than what comes back of them."""
    return tuple(part[:MAX_NAME] if isinstance(part, str) else part for part in path)


def _unknown_type(context: dict[str, Any]) -> str:
    known = [name.strip(" '") for name in str(context["expected_tags"]).split(",")]
    tag = str(context["tag"])[:80]
    elsewhere = known_elsewhere(tag) if set(known) <= set(SCHEDULES) else ""
    hint = f"{elsewhere}; known: {', '.join(known)}" if elsewhere else known_instead(tag, known)
    return f"unknown type {tag!r}; {hint}"


def known_instead(name: str, known: Sequence[str]) -> str:
    """What there is in place of a name that is not known, for the end of a message; first the nearest."""
    return f"{did_you_mean(name, known)} known: {', '.join(known) or 'none'}".lstrip()


def too_many_fields(most: int) -> Response:
    """The answer to a body whose objects have too many fields to look at each."""
    return titled(413, f"the body has more than {most} fields or colons")


def busy() -> Response:
    """The answer while there is no room for another large request."""
    detail = "Too many large requests are being answered. Small ones go on working; send this one again."
    return problem(503, "busy", "Too many large requests", detail, headers={"Retry-After": "5"})


def too_costly(cost: str) -> Response:
    """The answer to a request that was stopped while it was answered."""
    detail = f"The request took more than {cost} and was stopped. Ask for less at once."
    return problem(503, "too-costly", "The request takes too much", detail, headers={"Retry-After": "60"})


def install(app: FastAPI) -> None:
    """Make every error of the app a problem."""

    @app.exception_handler(RequestValidationError)
    def _(request: Request, error: RequestValidationError) -> Response:
        found: list[tuple[Loc, str]] = []
        for one in _own(error.errors()):
            if one["type"] == "json_invalid":
                return problem(*TABLE[InvalidJson], str(InvalidJson(one)))
            where = one["loc"][:1]
            others = {"header": request.headers, "path": request.path_params, "query": request.query_params}
            data = dict(others[where[0]]) if where[0] in others else error.body
            found += readable([one], data, where)
        return invalid(found)

    @app.exception_handler(Invalid)
    def _(request: Request, error: Invalid) -> Response:
        return invalid(error.errors)

    @app.exception_handler(JobTooLarge)
    def _(request: Request, error: JobTooLarge) -> Response:
        return invalid([(("body", error.field), str(error))])

    @app.exception_handler(CurveError)
    def _(request: Request, error: CurveError) -> Response:
        where = "query" if request.method == "GET" else "body"
        return invalid([((where, *error.field), str(error))])

    app.add_exception_handler(HTTPException, of_http)  # type: ignore[arg-type]

    for kind, (status, name, title) in TABLE.items():
        app.add_exception_handler(kind, _mapped(status, name, title))

    @app.exception_handler(Exception)
    def _(request: Request, error: Exception) -> Response:
        return problem(
            500,
            "internal-error",
            "Internal error",
            "This is a fault of the server; its log says more.",
            headers=HEADERS | {"X-Request-ID": logs.about().get("request", "")},  # no middleware comes after this
        )


def of_http(request: Request, error: HTTPException) -> Response:
    """The answer for an error that is a status already."""
    detail = error.detail
    if error.status_code in (404, 405) and detail in ("Not Found", "Method Not Allowed"):
        detail = f"{request.method} {request.url.path} is not served here; /docs lists what is"
    headers = dict(error.headers or {}) | ({"Allow": _allowed(request)} if error.status_code == 405 else {})
    return titled(error.status_code, detail, headers)


def _allowed(request: Request) -> str:
    """Every method of the path: the router itself names those of one of its routes."""

    def served(method: str) -> bool:
        scope = dict(request.scope) | {"method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)

    return ", ".join(method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE") if served(method))


def _mapped(status: int, kind: str, title: str) -> Callable[[Request, Exception], Response]:
    def handle(request: Request, error: Exception) -> Response:
        if status < 500:
            retry = {"Retry-After": "10"} if status == HTTP_429_TOO_MANY_REQUESTS else None
            return problem(status, kind, title, str(error), headers=retry)
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return problem(status, kind, title, AWAY.get(kind, str(error)), headers={"Retry-After": "5"})

    return handle
