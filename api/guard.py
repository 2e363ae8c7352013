"""Addresses that other people name: which of them may be connected to."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from anyio import CapacityLimiter, to_thread

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNICAST = IPv6Network("2000::/3")  # all that IANA gives out; what only wraps an IPv4 address lies mostly outside
MOST_ADDRESSES = 3  # of one name
MOST_LOOKUPS = 128  # of names, at once: twice what the deliveries of one tenant can ask for


class Refused(OSError):
    """The name leads to no address, or to none that may be reached."""


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
            raise Refused(f"{host} cannot be resolved: {error}") from error
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
