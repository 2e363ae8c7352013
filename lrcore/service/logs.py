"""Logs of API and worker: one line a record, as text or as JSON, with the request and the job that it belongs to.

What a record is about comes from `bound` around the code, or from `extra={"job": ...}` at the call. Passwords in URLs,
keys and secrets of webhooks are masked in whatever is logged, other people's exceptions included.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from lrcore.text import visible

MARGIN = "  "  # no record begins with it
FIELDS = ("request", "job", "attempt", "webhook", "delivery", "worker")  # in this order before the message

Format = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]

_bound: ContextVar[Mapping[str, Any]] = ContextVar("lrserve.log", default={})  # noqa: B039  # never changed in place

SECRETS = (
    (re.compile(r"(://[^:/@\s]*:)[^@\s]+@"), r"\1***@"),
    (re.compile(r"(?i)([?&][a-z_]*password=)[^&\s]+"), r"\1***"),
    (re.compile(r"\b(lrs_)[A-Za-z0-9_-]+"), r"\1***"),
    (re.compile(r"\b(whsec_)[A-Za-z0-9+/=_-]+"), r"\1***"),
    (re.compile(r"(?i)\b(bearer\s+)[^\s'\",]+"), r"\1***"),
)


def bind(**fields: object) -> None:
    """Put fields on all further records of this task or thread."""
    _bound.set({**_bound.get(), **fields})


def about() -> Mapping[str, Any]:
    """The fields that records of this task or thread have."""
    return _bound.get()


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Put fields on the records of a block, in its task or thread."""
    before = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(before)


def masked(text: str) -> str:
    """The text without passwords of URLs, keys and secrets of webhooks."""
    for pattern, instead in SECRETS:
        text = pattern.sub(instead, text)
    return text


class _Formatter(logging.Formatter):
    def about(self, record: logging.LogRecord) -> dict[str, Any]:
        own = vars(record)
        context = _bound.get()
        found = {name: own.get(name, context.get(name)) for name in FIELDS}
        return {name: value for name, value in found.items() if value is not None}

    def trouble(self, record: logging.LogRecord) -> str:
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        return masked("\n".join(parts + ([self.formatStack(record.stack_info)] if record.stack_info else [])))


class Text(_Formatter):
    """For people: time, level, logger, what it is about, message; a traceback on lines of its own, indented."""

    def format(self, record: logging.LogRecord) -> str:
        about = "".join(f"{name}={value} " for name, value in self.about(record).items())
        # whatever a client could put into a message stays within its line, and into an error behind the margin
        message = visible(f"{about}{masked(record.getMessage())}")
        line = f"{self.formatTime(record)} {record.levelname} {record.name} {message}"
        trouble = self.trouble(record)
        return "\n".join([line, *(MARGIN + visible(each) for each in trouble.split("\n") if trouble)])


class Json(_Formatter):
    """For machines: one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        found = {"time": at, "level": record.levelname, "logger": record.name, **self.about(record)}
        found["message"] = masked(record.getMessage())
        if trouble := self.trouble(record):
            found["exception"] = trouble
        return visible(json.dumps(found, ensure_ascii=False, default=str))  # its escapes are JSON's


def configure(form: Format, level: Level) -> None:
    """Have everything logged to standard error in one form, other packages' records and warnings included."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if form == "json" else Text())
    root, wanted = logging.getLogger(), logging.getLevelName(level.upper())
    root.handlers[:] = [handler]
    root.setLevel(max(wanted, logging.INFO))  # the inner life of other packages helps nobody
    for name in ("lrserve", "uvicorn", "kombu"):
        logging.getLogger(name).setLevel(wanted)
    logging.getLogger("celery").setLevel(max(wanted, logging.WARNING) if wanted > logging.DEBUG else wanted)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        logging.getLogger("lrserve").critical("the process ends: %s", error, exc_info=(kind, error, trace))
