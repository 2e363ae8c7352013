"""The API's settings, from environment variables with the prefix LRSERVE_."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import Field, IPvAnyNetwork

from lrcore.service.settings import Settings


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an address. A name other than localhost may mean any."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# as browsers send it: without a path, and without a slash at its end; or any
Origin = Annotated[str, Field(pattern=r"^(\*|https?://[a-z0-9.\[\]:-]+)$")]

# as in a URL, without a port; a leading *. for all names below one
HostName = Annotated[str, Field(pattern=r"^(\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])$", max_length=255)]


class ApiSettings(Settings):
    """What only the API reads."""

    auth: bool = Field(
        True, description="whether callers need a key; `lrserve` sets it to false while it listens on loopback alone"
    )
    max_body_bytes: int = Field(4 * 2**20, ge=1024, description="largest request body; larger ones get 413")
    body_seconds: float = Field(
        30.0, gt=0, le=3600, description="seconds that a request body may take; slower ones get 408"
    )
    head_seconds: float = Field(10.0, gt=0, le=3600, description="seconds that the headers of a request may take")
    write_seconds: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="seconds that a client may leave a response unread before it is cut off",
    )
    max_connections: int = Field(
        10_000,
        ge=1,
        description="open connections to an API process; further ones get 503. It raises its limit on open files to "
        "match; where the hard limit is too low, it serves fewer and logs how many",
    )
    large_requests: int | None = Field(
        None,
        ge=1,
        le=64,
        description="large requests that are answered at once, each by a process of its own; the number of processors, "
        "but 2 to 4, if not set",
    )
    metrics_open: bool = Field(False, description="whether /metrics is served without a key where keys are asked for")
    cors_origins: tuple[Origin, ...] = Field(
        (),
        description='origins whose pages may send requests: ["https://a.example"]; ["*"]: any; never with cookies',
    )
    allowed_hosts: tuple[HostName, ...] = Field(
        (),
        description='names and addresses that a request\'s Host may have, such as ["lab.example", "*.lab.example"], '
        'beside those of this machine; ["*"]: any. If not set: any where keys are asked for, else no others. '
        "Others get 421",
    )
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        (), description='proxies whose X-Forwarded-For and -Proto are believed, such as ["10.0.0.7", "10.1.0.0/16"]'
    )
    shutdown_seconds: int = Field(3, ge=0, description="seconds that open streams may go on after SIGTERM")
    webhook_allow: tuple[IPvAnyNetwork, ...] = Field(
        (), description='networks that webhooks may reach though they are not public, such as ["10.0.0.0/8"]'
    )
    webhook_retry_seconds: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400),
        max_length=30,
        description="seconds from each failed attempt of a delivery to the next",
    )
    webhook_timeout_seconds: float = Field(15.0, gt=0, le=60, description="seconds that an endpoint may take to answer")
