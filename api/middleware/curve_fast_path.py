"""The short way for the most frequent request: a small curve, as JSON, by POST."""

from __future__ import annotations

import time
from types import SimpleNamespace

from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lrcore import lint, unique_keys
from lrcore.curve import CurveRequest, sample
from lrcore.errors import CurveError
from lrcore.numerics.cost import AT_ONCE
from lrcore.unique_keys import DuplicateKey

from ..encoding.cache import Answers
from ..encoding.curves import answer
from ..encoding.json import dumps
from ..large_requests.offload import SMALL_BYTES
from .metrics import CURVE_SECONDS, KEPT
from .telemetry import INNER

PATH = "/v1/curves"
HEADERS = [(b"content-type", b"application/json"), (b"vary", b"Accept")]
ANY_JSON = (b"*/*", b"application/json")
SECONDS = CURVE_SECONDS.labels("json")
HERE = {"route": SimpleNamespace(path=PATH)}  # for Telemetry: the route that it would have taken


class CurveFastPath:
    """Answers plain requests for small curves before routing, which would take longer than the curve.

    Whatever is not plain - another format, a query, a body in pieces, anything wrong - goes on to the application as
    it came, so that there is one place for errors and for everything rare.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._answers = Answers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if not _plain(scope):
            return await self.app(scope, receive, send)
        first = await receive()
        body = first.get("body", b"")
        known = None
        if first["type"] == "http.request" and not first.get("more_body"):
            known = self._answers.get(body)
            if known is not None:
                KEPT.inc()
            elif (known := _computed(body)) is not None:
                self._answers.keep(body, known)
        if known is not None:
            if INNER in scope:
                scope[INNER].append(HERE)
            length = (b"content-length", str(len(known)).encode())
            await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
            return await send({"type": "http.response.body", "body": known})

        async def replayed() -> Message:
            nonlocal first
            message, first = first, {}
            return message or await receive()

        return await self.app(scope, replayed, send)


def _plain(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST" or scope["query_string"]:
        return False
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    if not (length.isdigit() and int(length) <= SMALL_BYTES):
        return False
    return headers.get(b"content-type") == b"application/json" and headers.get(b"accept", b"*/*") in ANY_JSON


def _computed(body: bytes) -> bytes | None:
    try:
        curve = CurveRequest.model_validate_json(body)
        unique_keys.check(body)
        if curve.schedule.metric_driven or curve.cost + lint.cost(curve) > AT_ONCE:
            return None
        begun = time.perf_counter()
        made = dumps(answer(curve, sample(curve)))
        SECONDS.observe(time.perf_counter() - begun)
        return made
    except (ValidationError, CurveError, DuplicateKey):
        return None
