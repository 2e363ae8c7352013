"""The HTTP application."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from pydantic.warnings import UnsupportedFieldAttributeWarning

from lrcore import __version__
from lrcore.access.audit import AuditLog
from lrcore.access.keys import KeyStore
from lrcore.access.limits import LimitStore
from lrcore.service import traces
from lrcore.service.artifacts import Artifacts
from lrcore.service.reaper import Reaper
from lrcore.service.retention import Retention
from lrcore.store.client import ClientStore
from lrcore.store.connection import connect
from lrcore.store.operator import OperatorStore
from lrcore.webhooks.endpoints import WebhookStore

from . import openapi, problems
from .events.event_broadcaster import EventBroadcaster
from .large_requests.offload import Offload
from .large_requests.processes import Processes
from .middleware import headers, origins
from .middleware.auth import Authentication
from .middleware.curve_fast_path import CurveFastPath
from .middleware.first_key import FirstKey
from .middleware.limits import BodyLimit
from .middleware.rates import Rates
from .middleware.telemetry import RouteProbe, Telemetry
from .notifier import Notifier
from .query import only_known
from .routes import catalogue, discovered, web
from .settings import ApiSettings
from .submit_batcher import SubmitBatcher
from .webhooks.address_policy import AddressPolicy
from .webhooks.dispatcher import Dispatcher

# FastAPI says it of every body whose model is built when it is first needed
warnings.filterwarnings("ignore", message="The 'alias' attribute", category=UnsupportedFieldAttributeWarning)

# after the start: whoever waited for the service comes first
PREPARE_SECONDS = 1.0
FORK_SECONDS = 3.0


def application(settings: ApiSettings) -> FastAPI:
    """The routes and what they stand on, without the middleware and without anything that runs beside them."""
    app = FastAPI(
        title="lrserve",
        version=__version__,
        summary="Learning-rate schedules: exact curves at once, and training jobs that use them.",
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        contact={"name": "The operators of this service"},
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/", "description": "where this document is from"}],
        generate_unique_id_function=openapi.operation_id,
        openapi_url=None,  # a route of system's
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
        },  # traces and metrics are ours
        docs_url=None,
        redoc_url=None,
        lifespan=_running,
    )
    redis = connect(settings.redis_url)
    store = ClientStore(redis, settings.redis_wait_replicas)
    operator, notifier = OperatorStore(redis), Notifier(settings)
    state = app.state
    state.settings, state.redis, state.notifier = settings, redis, notifier
    state.store, state.operator = store, operator
    state.reaper, state.submit_batcher = Reaper(operator, settings, notifier.notify), SubmitBatcher(store)
    state.artifacts = Artifacts(settings.artifact_url)
    state.webhooks, state.address_policy = WebhookStore(redis), AddressPolicy(settings.webhook_allow)
    state.auth, state.keys, state.audit = settings.auth, KeyStore(redis), AuditLog(redis)
    problems.install(app)
    for router, lenient in discovered():
        app.include_router(router, dependencies=[] if lenient else [Depends(only_known)])
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def create_app(settings: ApiSettings | None = None, host: str = "127.0.0.1") -> FastAPI:
    """The application. It starts without Redis: curves need none, and jobs answer 503 until it is there.

    Args:
        host: address or name that it listens on: where no keys are asked for, it answers to few others.
    """
    settings = settings or ApiSettings()
    app = application(settings)
    state = app.state
    state.processes = Processes(settings)
    app.add_middleware(RouteProbe)
    app.add_middleware(Offload, processes=state.processes, settings=settings, changed=state.reaper.wake)
    app.add_middleware(CurveFastPath)
    app.add_middleware(BodyLimit, limit=settings.max_body_bytes, seconds=settings.body_seconds)
    # the last one added is the first to be asked
    app.add_middleware(
        Authentication,
        keys=state.keys if settings.auth else None,
        limits=LimitStore(state.redis),
        rates=Rates(settings.redis_url),
        audit=state.audit,
        open_paths=("/metrics",) if settings.metrics_open else (),
    )
    origins.install(app, settings, host)
    headers.install(app, settings)
    app.add_middleware(Telemetry)
    return app


def __getattr__(name: str) -> FastAPI:
    if name == "app":  # for `uvicorn api.app:app`, made when it is asked for: importing this module starts nothing
        return create_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """Run what the routes of a serving process need beside them."""
    state = app.state
    state.event_broadcaster = EventBroadcaster(state.settings.redis_url)
    retention, dispatcher = Retention(state.operator, state.settings), Dispatcher(state.settings)
    state.reaper.start()
    retention.start()
    dispatcher.start()
    first_key = FirstKey(state.keys, state.audit, state.settings.log_format)
    if state.settings.auth:
        first_key.start()

    def prepare() -> None:
        """Make what the first to ask for would have to wait for, and what the first curve need not."""
        state.notifier.prepare()
        web.prepare()
        catalogue.prepare()

    preparing = [threading.Timer(PREPARE_SECONDS, prepare), threading.Timer(FORK_SECONDS, state.processes.start)]
    for each in preparing:
        each.daemon = True
        each.start()
    yield
    for each in preparing:
        each.cancel()
    first_key.stop()
    await dispatcher.stop()
    retention.stop()
    state.reaper.stop()
    await state.event_broadcaster.close()
    await asyncio.to_thread(state.processes.stop)
    state.redis.close()
    traces.stop()
