"""OpenTelemetry traces, where they are configured; otherwise nothing is imported and nothing is done.

They are on if one of OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT and OTEL_TRACES_EXPORTER is set,
the latter not to none, and OTEL_SDK_DISABLED is not true. All else is up to the SDK's own variables.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from lrcore import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

log = logging.getLogger("lrserve.traces")

P = ParamSpec("P")
T = TypeVar("T")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER = "OTEL_TRACES_EXPORTER"
MISSING = "traces are asked for by OTEL_ variables, but cannot be made: pip install 'lrserve[otel]'"

_tracer: Tracer | None = None
_provider: Any = None
_work: Span | None = None  # what this process works on, for threads that have no context
_adopted = ""


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment asks for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get(EXPORTER) == "none":
        return False
    return any(environment.get(name) for name in (*ENDPOINTS, EXPORTER))


def installed() -> bool:
    """Whether the extra `otel` is there."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def start(service: str) -> None:
    """Begin to send spans, if that is wanted. `service` is the service's name unless OTEL_SERVICE_NAME says another."""
    global _tracer, _provider
    if not wanted():
        return
    if not installed():
        log.warning(MISSING)
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter  # noqa: PLC0415

    named = {SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME") or service, SERVICE_VERSION: __version__}
    _provider = TracerProvider(resource=Resource.create(named))
    console = os.environ.get(EXPORTER) == "console"
    _provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter() if console else OTLPSpanExporter()))
    _tracer = _provider.get_tracer("lrserve", __version__)


def stop() -> None:
    """Send what is left."""
    if _provider is not None:
        _provider.shutdown()


def on() -> bool:
    """Whether spans are made."""
    return _tracer is not None


def adopt(traceparent: str) -> None:
    """Take a span of another process for the present one, in a process that makes none itself."""
    global _adopted
    _adopted = traceparent


def current() -> str:
    """The W3C traceparent of the present span; "" if there is none."""
    if _tracer is None:
        return _adopted
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def span(name: str, **attributes: Any) -> AbstractContextManager[Any]:
    """A span around a block: of the present span, or of what the process works on. Yields it, or None."""
    return nullcontext() if _tracer is None else _spanned(_tracer, name, attributes)


def traced(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A span around every call of a function."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with span(name):
                return function(*args, **kwargs)

        return call

    return decorate


def past(name: str, begin: float, end: float, parent: str = "", **attributes: Any) -> None:
    """A span of what is over already.

    Args:
        begin, end: seconds since 1970.
        parent: a traceparent; the present span, or what the process works on, if empty.
    """
    if _tracer is not None:
        made = _tracer.start_span(name, _context(parent), start_time=int(begin * 1e9), attributes=_plain(attributes))
        made.end(int(end * 1e9))


@contextmanager
def request(name: str, traceparent: str) -> Iterator[Any]:
    """The span of a request, as a part of its sender's trace if there is one. Only while traces are on."""
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    assert _tracer is not None
    with _tracer.start_as_current_span(name, _remote(traceparent), SpanKind.SERVER) as made:
        yield made


@contextmanager
def work(name: str, traceparent: str, **attributes: Any) -> Iterator[Any]:
    """The span of what the whole process works on: all spans of any of its threads are parts of it."""
    global _work
    if _tracer is None:
        yield None
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    made = _tracer.start_as_current_span(
        name, _remote(traceparent), SpanKind.CONSUMER, attributes=_plain(attributes), record_exception=False
    )
    with made as _work:
        try:
            yield _work
        finally:
            _work = None


@contextmanager
def _spanned(tracer: Tracer, name: str, attributes: dict[str, Any]) -> Iterator[Any]:
    with tracer.start_as_current_span(name, _context(), attributes=_plain(attributes)) as made:
        yield made


def _context(parent: str = "") -> Any:
    """Where a new span belongs; None: to the present one."""
    from opentelemetry.trace import INVALID_SPAN, get_current_span, set_span_in_context  # noqa: PLC0415

    if parent:
        return _remote(parent)
    if get_current_span() is INVALID_SPAN and _work is not None:
        return set_span_in_context(_work)
    return None


def _remote(traceparent: str) -> Any:
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    return TraceContextTextMapPropagator().extract({"traceparent": traceparent}, context=Context())


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    return {f"lrserve.{name}": value for name, value in attributes.items() if value is not None}
