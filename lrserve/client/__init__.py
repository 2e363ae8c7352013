"""A typed client of the HTTP API, for programs that wait and for those with an event loop.

    from lrserve import Client

    with Client("http://127.0.0.1:8000") as client:
        rates = client.curve({"type": "StepLR", "step_size": 5, "gamma": 0.5}, steps=20, base_lr=0.1)
        job = client.submit(spec)
        job.watch()

AsyncClient has the same methods, to be awaited. docs/client.md shows more.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Self

import httpx

from lrcore import __version__
from lrserve.client import jobs as work
from lrserve.client.curves import CurveMethods
from lrserve.client.errors import ApiError, JobNotSucceeded, NoAnswer
from lrserve.client.events import Event, follow, follow_async
from lrserve.client.handles import (
    AsyncExperimentHandle,
    AsyncJobHandle,
    AsyncRangeTestHandle,
    ExperimentHandle,
    JobHandle,
    RangeTestHandle,
    async_handle_of,
    handle_of,
)
from lrserve.client.jobs import JobMethods
from lrserve.client.methods import Awaiting, Blocking, Maker
from lrserve.client.responses import (
    ApiKey,
    CurveDetails,
    Entry,
    Fit,
    Health,
    Plan,
    QueueState,
    Readiness,
    Reading,
    Records,
    Translation,
)
from lrserve.client.system import SystemMethods
from lrserve.client.transport import AsyncTransport, Patience, SyncTransport

__all__ = [
    "ApiError",
    "ApiKey",
    "AsyncClient",
    "AsyncExperimentHandle",
    "AsyncJobHandle",
    "AsyncRangeTestHandle",
    "Client",
    "CurveDetails",
    "Entry",
    "Event",
    "ExperimentHandle",
    "Fit",
    "Health",
    "JobHandle",
    "JobNotSucceeded",
    "NoAnswer",
    "Plan",
    "QueueState",
    "RangeTestHandle",
    "Readiness",
    "Reading",
    "Records",
    "Translation",
]

DEFAULT_URL = "http://127.0.0.1:8000"


class _Methods(CurveMethods, JobMethods, SystemMethods):
    """What both clients can ask."""

    submit = Maker(work.submit, handle_of, async_handle_of)
    submit_experiment = Maker(work.submit_experiment, ExperimentHandle, AsyncExperimentHandle)
    lr_range_test = Maker(work.lr_range_test, RangeTestHandle, AsyncRangeTestHandle)
    handle = Maker(work.job, handle_of, async_handle_of)
    experiment = Maker(work.job, ExperimentHandle, AsyncExperimentHandle)
    retry = Maker(work.retry, handle_of, async_handle_of)
    clone = Maker(work.clone, handle_of, async_handle_of)


class Client(_Methods, Blocking):
    """One lrserve server. Every method raises ApiError, and so does a URL that is none.

    Args:
        url: LRSERVE_URL, or that of `lrserve up` on this machine, if None.
        timeout: seconds to connect, and between two pieces of an answer.
        key: token of a key; that in LRSERVE_KEY, if any, if None.
        retries: how often a request is sent again at most: after a broken connection, if it makes nothing twice, and
            when the server says 429 or 503, after as long as it asks for.
        patience: seconds that such pauses may take in all.
    """

    def __init__(
        self,
        url: str | None = None,
        timeout: float = 30.0,
        key: str | None = None,
        *,
        retries: int = 4,
        patience: float = 60.0,
    ) -> None:
        options = _options(url, timeout, key)
        self.url = options["base_url"]
        self._transport = SyncTransport(httpx.Client(**options), Patience(retries, patience))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.http.close()

    def follow(self, job_id: str, after: str = "0") -> Iterator[Event]:
        """The job's events from its beginning to its `end`, over broken connections too."""
        return follow(self._transport, job_id, after)


class AsyncClient(_Methods, Awaiting):
    """The same for an event loop: methods are awaited, lists and events are for `async for`."""

    def __init__(
        self,
        url: str | None = None,
        timeout: float = 30.0,
        key: str | None = None,
        *,
        retries: int = 4,
        patience: float = 60.0,
    ) -> None:
        options = _options(url, timeout, key)
        self.url = options["base_url"]
        self._transport = AsyncTransport(httpx.AsyncClient(**options), Patience(retries, patience))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.http.aclose()

    def follow(self, job_id: str, after: str = "0") -> AsyncIterator[Event]:
        """The job's events from its beginning to its `end`, over broken connections too."""
        return follow_async(self._transport, job_id, after)


def _options(url: str | None, timeout: float, key: str | None) -> dict[str, Any]:
    """For httpx. Raises ApiError."""
    url = (url or os.environ.get("LRSERVE_URL") or DEFAULT_URL).rstrip("/")
    key = os.environ.get("LRSERVE_KEY") if key is None else key
    headers = {"User-Agent": f"lrserve/{__version__}"} | ({"Authorization": f"Bearer {key}"} if key else {})
    try:
        scheme = httpx.URL(url).scheme
        httpx.Headers(headers)
    except httpx.InvalidURL as error:
        raise ApiError(f"{url} is no URL: {error}") from error
    except UnicodeError as error:
        raise ApiError("the key is none: it has letters that no header can have") from error
    if scheme not in ("http", "https"):
        raise ApiError(f"{url} is no URL of a server: it must begin with http:// or https://")
    return {"base_url": url, "timeout": timeout, "headers": headers}
