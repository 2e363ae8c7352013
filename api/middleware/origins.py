"""What keeps web pages of others away from a service that asks for no keys.

A browser reaches loopback addresses for any page. Two checks keep it from doing a page's work:

- The Host that a request names must be one of this service. Otherwise a page of a name that its owner resolves to
  127.0.0.1 (DNS rebinding) would count as the service's own.
- A request that may change something must not come from another origin. A page needs no permission (CORS) to send a
  POST without a body, only to read the answer.

Where keys are asked for, neither is needed: a page has no key, and no cookie stands for one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from ..problems import TITLES, problem, titled
from ..settings import ApiSettings, is_loopback

HOST = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+?)\.?(:[0-9]*)?")
SAFE = ("GET", "HEAD", "OPTIONS")
LONGEST_NAME = 255  # characters of a Host that come back in a message


class AllowedHosts:
    """Refuses requests whose Host is neither this machine's loopback nor one of `names`.

    Args:
        names: as in `ApiSettings.allowed_hosts`.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self.app = app
        self._names = frozenset(name for name in names if not name.startswith("*."))
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 400 or 421."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = [value for name, value in scope["headers"] if name == b"host"]
        match = HOST.fullmatch(given[0]) if len(given) == 1 else None
        if match is None:
            answer = titled(400, "a request needs one Host header, with a name or an address")
            return await answer(scope, receive, send)
        host = match[1].decode("latin-1").lower()
        if self._permits(host):
            return await self.app(scope, receive, send)
        detail = (
            f"This service does not answer to the Host {host[:LONGEST_NAME]!r}. "
            "If it should, its operator adds the name to LRSERVE_ALLOWED_HOSTS."
        )
        await titled(421, detail)(scope, receive, send)

    def _permits(self, host: str) -> bool:
        # localhost and the names below it are reserved, RFC 6761: no name server can lead them elsewhere
        own = is_loopback(host.strip("[]")) or host.endswith(".localhost")
        return own or host in self._names or host.endswith(self._suffixes)


class OwnOrigin:
    """Refuses requests that may change something and that a page of another origin has sent.

    By Sec-Fetch-Site, which pages cannot set; from browsers without it, by comparing Origin with Host, as
    http.CrossOriginProtection of Go does. What sends neither is no browser.

    Args:
        origins: others whose pages may change something; `*` is none of them.
    """

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self.app, self._origins = app, frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403."""
        if scope["type"] != "http" or scope["method"] in SAFE or not self._is_foreign(dict(scope["headers"])):
            return await self.app(scope, receive, send)
        detail = (
            "A web page of another origin may not change anything here while LRSERVE_AUTH is false. "
            "If this one should, its operator adds the origin to LRSERVE_CORS_ORIGINS."
        )
        await problem(403, "foreign-origin", TITLES[403], detail)(scope, receive, send)

    def _is_foreign(self, headers: dict[bytes, bytes]) -> bool:
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if origin in self._origins:
            return False
        if site is not None:
            return site not in (b"same-origin", b"none")
        return origin is not None and origin.partition(b"://")[2] != headers.get(b"host")


def install(app: Starlette, settings: ApiSettings, host: str) -> None:
    """Put the checks that the settings ask for around everything that `app` has so far.

    Args:
        host: address or name that the service was told to listen on.
    """
    if not settings.auth:
        app.add_middleware(OwnOrigin, origins=settings.cors_origins)
    if "*" in settings.allowed_hosts or (settings.auth and not settings.allowed_hosts):
        return
    own = f"[{host}]" if ":" in host else host.lower()
    app.add_middleware(AllowedHosts, names=(own, *settings.allowed_hosts))
