"""Where the sender of webhooks connects to: names, proxies, addresses, sockets and certificates."""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpcore
import pytest

from lrcore.jobs.ids import NOBODY
from lrcore.webhooks.endpoints import new_secret
from lrcore.webhooks.outbox import Parcel
from lrserve.api.webhooks.address_policy import AddressPolicy
from lrserve.api.webhooks.sender import GuardedBackend, Sender
from tests.api.receiver import Receiver


def test_a_name_that_leads_to_this_machine_is_not_connected_to(receiver: Receiver) -> None:
    for host in ("localhost", "127.0.0.1", "2130706433", "[::ffff:127.0.0.1]", "0.0.0.0"):
        attempt = send(AddressPolicy(), f"http://{host}:{receiver.port}/")
        assert "has no public address" in str(attempt.error)
        assert attempt.status is None
    assert receiver.messages == []
    assert (
        send(AddressPolicy([ipaddress.IPv4Network("127.0.0.0/8")]), f"http://localhost:{receiver.port}/").status == 204
    )


def test_a_proxy_in_the_environment_is_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", receiver.url)
    monkeypatch.setenv("ALL_PROXY", receiver.url)

    assert send(AddressPolicy(), "http://10.255.255.1/").status is None
    assert receiver.messages == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:0:127.0.0.1", False),
        ("64:ff9b::10.0.0.1", False),  # NAT64
        ("64:ff9b:1::10.0.0.1", False),
        ("2002:a00:1::", False),  # 6to4
        ("2001:0:a00:1::", False),  # Teredo
        ("fc00::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fec0::1", False),
        ("ff0e::1", False),
        ("2001:db8::1", False),
    ],
)
def test_only_public_addresses_are_reached(address: str, public: bool) -> None:
    assert AddressPolicy().permits(ipaddress.ip_address(address)) is public
    assert AddressPolicy().refuses_literal(address) is not public


def test_an_allowed_network_is_reached_however_its_addresses_are_written() -> None:
    policy = AddressPolicy([ipaddress.IPv4Network("10.0.0.0/8"), ipaddress.IPv6Network("fd00::/8")])

    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "8.8.8.8"):
        assert policy.permits(ipaddress.ip_address(address))
    assert not policy.permits(ipaddress.ip_address("192.168.0.1"))


def test_a_unix_socket_is_not_connected_to() -> None:
    with pytest.raises(httpcore.ConnectError):
        asyncio.run(GuardedBackend(AddressPolicy()).connect_unix_socket("/run/redis.sock"))


def test_a_certificate_must_be_that_of_the_name_in_the_url(receiver: Receiver, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=DNS:localhost"
    command = ["openssl", *request.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate, key)
    receiver.server.socket = serving.wrap_socket(receiver.server.socket, server_side=True)
    trusting = ssl.create_default_context(cafile=str(certificate))
    policy = AddressPolicy([ipaddress.IPv4Network("127.0.0.0/8")])

    assert send(policy, f"https://localhost:{receiver.port}/", trusting).status == 204
    assert "CERTIFICATE_VERIFY_FAILED" in str(send(policy, f"https://127.0.0.1:{receiver.port}/", trusting).error)
    assert "CERTIFICATE_VERIFY_FAILED" in str(send(policy, f"https://localhost:{receiver.port}/").error)


def send(policy: AddressPolicy, url: str, ssl_context: ssl.SSLContext | None = None) -> Any:
    """One attempt to deliver something to a URL."""

    async def attempt() -> Any:
        sender = Sender(policy, 5, ssl_context=ssl_context)
        try:
            return await sender.send(
                Parcel("id", "webhook", NOBODY, url, 1, 0, 0, b'{"type": "webhook.test"}', (new_secret(),))
            )
        finally:
            await sender.close()

    return asyncio.run(attempt())
