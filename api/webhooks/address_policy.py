"""Addresses that other people name: which of them may be connected to."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from anyio import CapacityLimiter, to_thread

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

UNICAST = IPv6Network("2000::/3")  # all that IANA gives out
NAT64 = IPv6Network("64:ff9b::/96")  # the last 32 bits are the IPv4 address that is meant, RFC 6052
# What IANA's special-purpose registries list as not globally reachable, and a few networks more without endpoints.
# The list is kept here because each Python's own differs: that of 3.11 takes 192.0.0.192 for public.
# tests/security/test_addresses.py compares it with the newest Python's
NOT_PUBLIC: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carriers' NAT, and Alibaba's metadata
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # Azure's wire server: from any of its machines, though the address looks public
            "169.254.0.0/16",  # link-local, and most clouds' metadata
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocols' own addresses, and Oracle's metadata
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4, which is no more
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
            "2001::/23",  # protocols' own addresses, Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4: a way to the IPv4 address inside it
            "3fff::/20",  # documentation
        ),
    )
)
MOST_ADDRESSES = 3  # of one name
MOST_LOOKUPS = 128  # of names, at once: twice what the deliveries of one tenant can ask for


class Refused(OSError):
    """The name leads to no address, or to none that may be reached."""


class AddressPolicy:
    """Which addresses may be reached.

    Args:
        allowed: networks that may be reached though they are not public.
    """

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = allowed
        self._lookups = CapacityLimiter(MOST_LOOKUPS)

    def permits(self, address: Address) -> bool:
        """Whether the address is public or allowed. One of IPv6 that stands for one of IPv4 is judged as that."""
        meant = _meant(address)
        return any(each in network for network in self._allowed for each in (address, meant)) or _public(meant)

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


def _meant(address: Address) -> Address:
    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address in NAT64):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in UNICAST:
        return False
    return not any(address in network for network in NOT_PUBLIC)
