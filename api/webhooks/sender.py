"""Posting to addresses that other people name: to public ones only, and to the very address that was checked."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

import httpcore

from lrcore import __version__
from lrcore.webhooks.outbox import Parcel, signature
from lrcore.webhooks.records import Attempt

from .address_policy import AddressPolicy, Refused

log = logging.getLogger("lrserve.webhooks")

CONNECT_SECONDS = 5.0  # for one address, so that there is time for a second one


class Sender:
    """Posts one delivery to its endpoint.

    Args:
        timeout_seconds: for everything from the look-up of the name to the status of the answer.
        max_connections: deliveries that may be under way at once.
        ssl_context: httpcore's default one if None.
    """

    def __init__(
        self,
        address_policy: AddressPolicy,
        timeout_seconds: float,
        max_connections: int = 1,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._timeout = timeout_seconds
        # no connection is kept: deliveries are rare, and each is to be judged by what the name means then
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context or httpcore.default_ssl_context(),  # made once: reading the authorities takes long
            max_connections=max_connections,
            max_keepalive_connections=0,
            network_backend=GuardedBackend(address_policy),
        )

    async def send(self, parcel: Parcel) -> Attempt:
        """One attempt. Redirects are not followed; of the answer no more than its beginning is read."""
        started, status, error = time.perf_counter(), None, None
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._pool.stream("POST", parcel.url, headers=_headers(parcel), content=parcel.body) as response,
            ):
                status = response.status
                # a short answer is taken in, so that its sender does not find the connection closed
                await anext(response.aiter_stream(), b"")
        except TimeoutError:
            error = f"no answer within {self._timeout:g} s"
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as fault:
            error = str(fault)[:200] or type(fault).__name__
        except Exception as fault:  # an attempt must come to an end that can be recorded, or it is made for ever
            log.exception("the attempt failed", extra={"webhook": parcel.webhook_id, "delivery": parcel.id})
            error = type(fault).__name__
        if status is not None:  # whatever came after it
            error = None if 200 <= status < 300 else _told(status)
        return Attempt(at="", status=status, error=error, milliseconds=round((time.perf_counter() - started) * 1000))

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.aclose()


def _headers(parcel: Parcel) -> dict[bytes | str, bytes | str]:
    seconds = parcel.at // 1000
    return {
        "host": urlsplit(parcel.url).netloc,  # httpcore's own leaves out the brackets of an IPv6 address
        "content-type": "application/json",
        "user-agent": f"lrserve/{__version__}",
        "webhook-id": parcel.id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signature(secret, parcel.id, seconds, parcel.body) for secret in parcel.secrets),
    }


def _told(status: int) -> str:
    redirected = "; redirects are not followed" if 300 <= status < 400 else ""
    return f"it answered {status}{redirected}"


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a host, checks what was found, and connects to that: a second look-up could find something else.

    httpcore still checks the certificate against the host's name.
    """

    def __init__(self, address_policy: AddressPolicy) -> None:
        self._address_policy = address_policy
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that answers. Raises what httpcore does."""
        fault: Exception | None = None
        try:
            addresses = await self._address_policy.resolve(host, port)
        except Refused as refusal:
            raise httpcore.ConnectError(str(refusal)) from refusal
        for address in addresses:
            try:
                return await self._backend.connect_tcp(address, port, CONNECT_SECONDS, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("not a network address")

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)
