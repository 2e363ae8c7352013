"""No webhook reaches an address that is not public, whichever Python the service runs on."""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from lrserve.api.webhooks.address_policy import AddressPolicy, Network

# prints [address, whether it is global] of the edges of each network that this Python knows as special, of addresses
# in them, and of addresses anywhere
JUDGE = """
import ipaddress, json, random
chance, found = random.Random(1), set()
for cls, constants in (
    (ipaddress.IPv4Address, ipaddress._IPv4Constants), (ipaddress.IPv6Address, ipaddress._IPv6Constants)
):
    most = 2 ** cls(0).max_prefixlen - 1
    networks = []
    for value in vars(constants).values():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if hasattr(each, "network_address"):
                networks.append(each)
    for network in networks:
        first, last = int(network.network_address), int(network.broadcast_address)
        inside = [chance.randint(first, last) for _ in range(50)]
        for number in (first - 1, first, first + 1, last - 1, last, last + 1, *inside):
            if 0 <= number <= most:
                found.add(cls(number))
    for _ in range(3000):
        found.add(cls(chance.getrandbits(cls(0).max_prefixlen)))
for _ in range(3000):
    inner = chance.getrandbits(32)
    found.add(ipaddress.IPv4Address(inner))
    found.add(ipaddress.IPv6Address((0xFFFF << 32) + inner))
    found.add(ipaddress.IPv6Address((1 << 125) + chance.getrandbits(125)))  # 2000::/3
def public(each):
    each = getattr(each, "ipv4_mapped", None) or each
    return each.is_global and not each.is_multicast
print(json.dumps([[str(each), public(each)] for each in sorted(found, key=str)]))
"""

# what is refused here though it counts as global: no endpoint lives there, or only one that must not be reached
STRICTER: tuple[Network, ...] = tuple(
    map(ipaddress.ip_network, ("168.63.129.16/32", "192.88.99.0/24", "192.0.0.0/24", "2001::/23"))
)
UNICAST = ipaddress.IPv6Network("2000::/3")


def version(python: str) -> tuple[int, ...] | None:
    """Of an interpreter; None if it does not run, as the shim of one that is not chosen."""
    try:
        done = subprocess.run(
            [python, "-c", "import sys; print(*sys.version_info[:3])"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(map(int, done.stdout.split()))


@cache
def newest() -> str | None:
    """The newest interpreter of the machine, if it is newer than this one."""
    names = [f"python3.{minor}" for minor in range(sys.version_info.minor, sys.version_info.minor + 10)]
    there = [found for name in names if (found := shutil.which(name))]
    beside = Path(sys.base_prefix).parent  # where pyenv and uv have one folder for each version
    there += map(str, beside.glob("*/bin/python3"))
    versions = {python: number for python in there if (number := version(python))}
    best = max(versions, key=lambda python: versions[python], default=None)
    return best if best and versions[best] > sys.version_info[:3] else None


def judged(python: str) -> dict[str, bool]:
    """Addresses, and whether an interpreter says that they are global."""
    done = subprocess.run([python, "-c", JUDGE], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("which", ["this", "newest"])
def test_what_python_does_not_call_global_is_not_reached(which: str) -> None:
    python = sys.executable if which == "this" else newest()
    if python is None:
        pytest.skip(f"no Python newer than {sys.version.split()[0]} on this machine")
    policy, found = AddressPolicy(), judged(python)

    reached = [address for address, public in found.items() if policy.permits(ipaddress.ip_address(address))]
    assert [address for address in reached if not found[address]] == []

    def stricter(address: str) -> bool:
        given = ipaddress.ip_address(address)
        mapped = getattr(given, "ipv4_mapped", None)
        judged = mapped or given
        return any(judged in network for network in STRICTER) or (judged.version == 6 and judged not in UNICAST)

    public = {address for address in found if found[address] and not stricter(address)}
    assert public <= set(reached)
    assert len(public) > 3000


@pytest.mark.parametrize(
    "address",
    [
        "192.0.0.192",  # Oracle's metadata
        "168.63.129.16",  # Azure's wire server
        "169.254.169.254",
        "100.100.100.200",  # Alibaba's metadata
        "fd00:ec2::254",  # Amazon's
        "fd20:ce::254",  # Google's
        "192.0.0.9",
        "192.88.99.1",
        "3fff::1",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        "5f00::1",
        "64:ff9b:1::808:808",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:2::1",
        "2001:1ff:ffff::1",
        "2002:808:808::1",
    ],
)
def test_neither_a_cloud_s_own_address_nor_a_special_one_is_reached(address: str) -> None:
    policy = AddressPolicy()
    given = ipaddress.ip_address(address)

    assert not policy.permits(given)
    assert policy.refuses_literal(address)
    if given.version == 4:
        for wrapped in (f"::ffff:{address}", f"64:ff9b::{address}"):
            assert policy.refuses_literal(wrapped)


def test_an_address_behind_nat64_is_judged_as_the_one_inside() -> None:
    policy = AddressPolicy([ipaddress.IPv4Network("10.0.0.0/8"), ipaddress.IPv6Network("64:ff9b::172.16.0.0/108")])

    for address in ("64:ff9b::8.8.8.8", "64:ff9b::10.1.2.3", "64:ff9b::172.16.0.1"):
        assert policy.permits(ipaddress.ip_address(address))
    for address in ("64:ff9b::127.0.0.1", "64:ff9b::192.168.0.1", "64:ff9b::168.63.129.16", "172.16.0.1"):
        assert not policy.permits(ipaddress.ip_address(address))
