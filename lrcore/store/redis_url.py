"""The URL of Redis: that of one server, or of the Sentinels that know which server is the primary.

    redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?OPTION=VALUE&…]
    unix://[[USER]:PASSWORD@]/PATH[?db=DATABASE]
    redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/SERVICE[/DATABASE][?OPTION=VALUE&…]

`rediss` and `rediss+sentinel` are the same with TLS. User and password are the server's; those of the Sentinels are the
options `sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from lrcore.text import did_you_mean

SERVER = ("redis", "rediss", "unix")
SENTINEL = ("redis+sentinel", "rediss+sentinel")
SENTINEL_PORT = 26379
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
TLS_OPTIONS = (*TLS_FILES, "ssl_cert_reqs", "ssl_check_hostname")
CERT_REQS = ("required", "optional", "none")
CREDENTIALS = ("sentinel_username", "sentinel_password")
YES_OR_NO = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
QUOTING = "in a user or password write / as %2F, ? as %3F, # as %23, @ as %40 and % as %25"


@dataclass(frozen=True)
class SentinelUrl:
    """What a URL of Sentinels says.

    Attributes:
        sentinels: host and port of each.
        service: the name of the primary in the Sentinels' configuration.
        credentials: `username` and `password` of the server, where they are given.
        sentinel_credentials: the same of the Sentinels.
        tls: options of TLS, for Sentinels and servers alike; None without TLS.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int
    credentials: dict[str, str] = field(repr=False)
    sentinel_credentials: dict[str, str] = field(repr=False)
    tls: dict[str, Any] | None


def is_sentinel(url: str) -> bool:
    """Whether the URL names Sentinels and not a server."""
    return url.partition("://")[0] in SENTINEL


def parse_sentinel(url: str) -> SentinelUrl:
    """Read a URL of Sentinels. Raises ValueError, as `check` does."""
    parts = _split(url)
    options = _options(parts, (*TLS_OPTIONS, *CREDENTIALS))
    service, database = _service(parts)
    return SentinelUrl(
        sentinels=tuple(_host(each, SENTINEL_PORT) for each in _hosts(parts)),
        service=service,
        database=database,
        credentials=_credentials(unquote(parts.username or ""), unquote(parts.password or "")),
        sentinel_credentials=_credentials(*(options.pop(name, "") for name in CREDENTIALS)),
        tls=_tls(parts.scheme, options),
    )


def check(url: str) -> None:
    """Raise ValueError if the URL is wrong, with the part that is, and how to write it. Shows no password."""
    if is_sentinel(url):
        parse_sentinel(url)
        return
    parts = _split(url)
    _check_tls(parts.scheme, _options(parts))
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise ValueError("path: missing; write unix:///PATH/OF/redis.sock?db=0")
        return
    hosts = _hosts(parts)
    if len(hosts) > 1:
        raise ValueError(f"host: there are {len(hosts)}; for Sentinels write redis+sentinel://HOST,HOST/SERVICE")
    _host(hosts[0], 6379)
    _database(parts.path.strip("/"), "redis://HOST:6379/0")


def _split(url: str) -> SplitResult:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in SERVER + SENTINEL:
        known = ", ".join(f"{each}://" for each in SERVER + SENTINEL)
        hint = did_you_mean(scheme, SERVER + SENTINEL) if separator else ""
        raise ValueError(f"scheme: a URL of Redis begins with one of {known}; {hint}".rstrip("; "))
    if "#" in rest:
        raise ValueError(f"a URL of Redis has no part after #; {QUOTING}")
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError(f"host: a [ begins an IPv6 address, as in [::1]:6379; {QUOTING}") from None


def _hosts(parts: SplitResult) -> Sequence[str]:
    return parts.netloc.rpartition("@")[2].split(",")


def _host(text: str, default_port: int) -> tuple[str, int]:
    """Host and port. What is no port may be a piece of a password, and is not shown."""
    try:
        one = urlsplit(f"//{text}")
        host, port = one.hostname, one.port
    except ValueError:
        raise ValueError(f"port: it must be a number from 1 to 65535, as in HOST:{default_port}; {QUOTING}") from None
    if not host:
        raise ValueError(f"host: missing; write HOST:{default_port}; {QUOTING}")
    if port == 0:
        raise ValueError(f"port: it must be a number from 1 to 65535, as in HOST:{default_port}")
    return unquote(host), port or default_port


def _service(parts: SplitResult) -> tuple[str, int]:
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError(
            f"service: missing; write {parts.scheme}://HOST:{SENTINEL_PORT}/SERVICE, "
            "with the name from `sentinel monitor` in sentinel.conf"
        )
    if service.isdecimal() and not database:
        raise ValueError(
            f"service: {service} looks like a database; write /SERVICE/{service}, "
            "with the name from `sentinel monitor` in sentinel.conf"
        )
    return unquote(service), _database(database, f"{parts.scheme}://HOST:{SENTINEL_PORT}/SERVICE/0")


def _database(text: str, example: str) -> int:
    if text and not (text.isascii() and text.isdecimal()):
        raise ValueError(f"database: it must be a number, as in {example}; {QUOTING}")
    return int(text or 0)


def _options(parts: SplitResult, known: Sequence[str] | None = None) -> dict[str, str]:
    """The options by name. `known`: all that may be given; None if redis-py reads the URL, and refuses others."""
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in options:
            raise ValueError(f"{name}: it is given twice; give it once")
        if not value:
            raise ValueError(f"{name}: its value is missing; write {name}=VALUE, or leave it out")
        if known is not None and name not in known:
            raise ValueError(unknown_option(name, parts.scheme, known))
        options[name] = value
    return options


def unknown_option(name: str, scheme: str, known: Sequence[str]) -> str:
    """Return the message for an unknown option, with the name that may be meant."""
    hint = did_you_mean(name, known) or f"it has {', '.join(known)}"
    return f"{name[:80]}: {scheme}:// has no such option; {hint}"


def _credentials(username: str, password: str) -> dict[str, str]:
    """Those that are given, as redis-py takes them."""
    return {name: value for name, value in (("username", username), ("password", password)) if value}


def _tls(scheme: str, options: dict[str, str]) -> dict[str, Any] | None:
    """The options of TLS as redis-py and kombu take them, with their defaults; None without TLS."""
    _check_tls(scheme, options)
    if not scheme.startswith("rediss"):
        return None
    checks = YES_OR_NO.get(options.get("ssl_check_hostname", "true").lower())
    if checks is None:
        raise ValueError("ssl_check_hostname: it must be true or false")
    return {"ssl_cert_reqs": "required", **options, "ssl_check_hostname": checks}


def _check_tls(scheme: str, options: dict[str, str]) -> None:
    for name in TLS_OPTIONS:
        if name in options and not scheme.startswith("rediss"):
            way_out = "a URL that begins with rediss://, or rediss+sentinel://"
            raise ValueError(f"{name}: {scheme}:// is without TLS; this needs {way_out}")
    for name in TLS_FILES:
        if name in options and not Path(options[name]).is_file():
            raise ValueError(f"{name}: there is no file {options[name]!r}")
    if options.get("ssl_cert_reqs", "none") not in CERT_REQS:
        raise ValueError(f"ssl_cert_reqs: it must be one of {', '.join(CERT_REQS)}")
