"""Whether the service is up, and its documentation."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Literal

from fastapi import APIRouter, Header, HTTPException, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel, Field

from ..dependencies import Operator, Who
from ..documented import DocumentedRoute, documented
from ..encoding.json import dumps
from ..middleware import headers
from ..middleware.metrics import Exposed

router = APIRouter(route_class=DocumentedRoute, tags=["system"])
ANY_QUERY = True  # probes add parameters of their own

SWAGGER = files("fastapi_swagger") / "resources"
ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>lrserve</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
# validatorUrl: the badge of a validator elsewhere, which would be told where this service is
START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null});\n'


class Health(BaseModel):
    """The process is up."""

    status: Literal["ok"] = "ok"


class QueueState(BaseModel):
    """What there is to do, and who does it."""

    waiting: int
    workers: int


class Readiness(BaseModel):
    """The service can take jobs."""

    status: Literal["ready"] = "ready"
    redis: Literal["ok"] = "ok"
    workers: int | None = Field(None, description="that live; left out without a good key where keys are asked for")
    queues: dict[str, QueueState] | None = Field(
        None, description="by hardware label; default takes jobs that name none. Left out as workers are"
    )


@router.get("/healthz", summary="Is the process up?")
async def get_health() -> Health:
    """Answers whatever else is down."""
    return Health()


@router.get("/readyz", summary="Can jobs be taken?", response_model_exclude_none=True, responses=documented(503))
def get_readiness(operator: Operator, who: Who) -> Readiness:
    """Redis takes writes; with a key, how many workers live and what waits for which of them.

    503 while no job could be stored: Redis is away, full, a replica, or cannot write to its disk.
    """
    operator.check_writable()
    if not who.known:
        return Readiness()
    queues = {queue.name: QueueState(waiting=queue.waiting, workers=queue.workers) for queue in operator.queues()}
    return Readiness(workers=operator.workers(), queues=queues)


class ExpositionResponse(Response):
    """Prometheus' text format."""

    media_type = "text/plain"


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=ExpositionResponse,
    responses=documented(401, 503, _200={"content": {"application/openmetrics-text": {}}}),
)
def metrics(request: Request, accept: Annotated[str, Header(include_in_schema=False)] = "") -> Response:
    """What this process has done, and what the store says of the whole service. Answers without Redis, too.

    Where keys are asked for, it needs one, of any role, unless LRSERVE_METRICS_OPEN says otherwise.
    """
    exposed = Exposed(request.app.state.operator, request.app.state.webhooks)
    encode, content_type = choose_encoder(accept)
    return Response(encode(exposed), headers={"Content-Type": content_type, "Vary": "Accept"})


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> Response:
    """The document. A thread's work, not the event loop's as in FastAPI's own route: to make it takes half a second."""
    return Response(dumps(request.app.openapi()), media_type="application/json")


@router.get("/docs", include_in_schema=False)
def docs() -> HTMLResponse:
    """The API to read and to try, with every file from here."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": headers.PAGE})


@router.get("/docs/{name}", include_in_schema=False)
def asset(name: str) -> Response:
    """A file of the page at /docs."""
    if name == "start.js":
        return Response(START, media_type="text/javascript")
    if name not in ASSETS:
        raise HTTPException(404)
    kept = {"Cache-Control": "public, max-age=86400"}
    return Response((SWAGGER / name).read_bytes(), media_type=ASSETS[name], headers=kept)
