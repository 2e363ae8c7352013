"""Connections to addresses that other people name: to public ones only, and to the very address that was checked."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpcore
from anyio import CapacityLimiter, to_thread

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNICAST = IPv6Network("2000::/3")  # all that IANA gives out; what only wraps an IPv4 address lies mostly outside
CONNECT_SECONDS = 5.0  # for one address, so that there is time for a second one
MOST_ADDRESSES = 3  # of one name
MOST_LOOKUPS = 64  # of names, at once


class Refused(httpcore.ConnectError):
    """The name leads to no address that may be reached."""


class Guard:
    """Which addresses may be reached.

    Args:
        allowed: networks that may be reached though they are not public.
    """

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = allowed
        self._lookups = CapacityLimiter(MOST_LOOKUPS)

    def permits(self, address: Address) -> bool:
        """Whether the address is public or allowed. An IPv4 address written as one of IPv6 is judged as itself."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._allowed) or _public(address)

    def refuses_literal(self, host: str) -> bool:
        """Whether the host of a URL is an address, not a name, and may not be reached."""
        try:
            return not self.permits(ip_address(host.strip("[]")))
        except ValueError:
            return False

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a host that may be reached, numerically. Raises Refused if there are none."""
        try:
            # not by the event loop, whose few threads look up Redis, too: a name whose servers are silent holds one
            found = await to_thread.run_sync(
                partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM),
                abandon_on_cancel=True,
                limiter=self._lookups,
            )
        except (OSError, UnicodeError) as error:  # UnicodeError: what cannot be a name
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
        literals = dict.fromkeys(str(entry[4][0]) for entry in found)
        permitted = [literal for literal in literals if self.permits(ip_address(literal))]
        if not permitted:
            raise Refused(f"{host} has no public address: it is not connected to")
        return permitted[:MOST_ADDRESSES]


def _public(address: Address) -> bool:
    if address.is_multicast or not address.is_global:
        return False
    # a 6to4 address is a way to the IPv4 address inside it
    return isinstance(address, IPv4Address) or (address in UNICAST and not address.sixtofour)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a host, checks what was found, and connects to that: a second look-up could find something else.

    httpcore still checks the certificate against the host's name.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that answers. Raises Refused, or what httpcore raises."""
        fault: Exception | None = None
        for address in await self._guard.resolve(host, port):
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
        raise Refused("not a network address")

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)
