"""Who calls: a key in `Authorization: Bearer`, the tenant whose it is, and what it may do."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from cachetools import TTLCache
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lrcore.access.audit import AuditLog, Entry
from lrcore.access.keys import Key, KeyStore, Role
from lrcore.access.limits import LimitStore
from lrcore.jobs.ids import NOBODY
from lrcore.store.connection import RedisError

from ..problems import problem
from .rates import Rate, Rates

log = logging.getLogger("lrserve.api")

FRESH_SECONDS = 5.0  # until a revoked key is refused by a process that has just seen it
KNOWN_SECONDS = 600.0  # how long a key is believed while Redis does not answer: curves need no Redis
KEYS = 10_000
READY = "/readyz"  # open as well, but says more to whoever has a key
OPEN = ("/", "/healthz", READY, "/openapi.json")
COMPUTED = ("/v1/curves", "/v1/schedules/")  # POSTs that make nothing
ADMIN = ("/v1/keys", "/v1/audit")


@dataclass(frozen=True)
class Caller:
    """Who makes a request.

    Attributes:
        key: id of the key; "" where none is asked for.
        known: False on an open path where keys are asked for, without a good one.
        limits: of the tenant, by the names of lrcore.access.limits.
    """

    tenant: str = NOBODY
    role: Role = Role.ADMIN
    key: str = ""
    known: bool = True
    limits: Mapping[str, float] = field(default_factory=dict)


Known = tuple[Key, Caller]
ANYBODY = Caller()
STRANGER = Caller(role=Role.READ, known=False)


class Authentication:
    """Lets nobody in without a good key, and tells the application whose it is.

    Args:
        keys: None where everybody may do everything, as the default tenant.
        open_paths: served without a key, beside those that always are.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyStore | None,
        limits: LimitStore,
        rates: Rates,
        audit: AuditLog,
        open_paths: Sequence[str] = (),
    ) -> None:
        self._open = open_paths
        self.app, self._keys, self._limits, self._rates, self._audit = app, keys, limits, rates, audit
        self._fresh: TTLCache[bytes, Known] = TTLCache(KEYS, FRESH_SECONDS)
        self._known: TTLCache[bytes, Known] = TTLCache(KEYS, KNOWN_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its caller in `state`, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        caller: Caller | Response = ANYBODY
        if self._keys is not None:
            is_open = _is_open(scope["path"]) or scope["path"] in self._open
            asks = not is_open or scope["path"] == READY
            caller = await self._caller(self._keys, scope) if asks else STRANGER
            if is_open:  # no key is needed, and no tenant's limit stops a probe
                caller = STRANGER if isinstance(caller, Response) else replace(caller, limits={})
        if isinstance(caller, Response):
            return await caller(scope, receive, send)
        scope = dict(scope, state=dict(scope.get("state") or {}, caller=caller))
        if per_minute := caller.limits.get("requests_per_minute"):
            rate = await self._rates.hit(caller.tenant, int(per_minute))
            if rate and not rate.allowed:
                return await _too_many(rate)(scope, receive, send)
            send = _with(rate.headers(), send) if rate else send
        if not (caller.key and _changes(scope["method"], scope["path"])):
            return await self.app(scope, receive, send)
        await self.app(scope, receive, self._audited(scope, caller, send))

    async def _caller(self, keys: KeyStore, scope: Scope) -> Caller | Response:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        if scheme.lower() != b"bearer":
            return _unauthorized("a key is needed: Authorization: Bearer lrs_...")
        try:
            known = await self._key(keys, token.strip())
        except RedisError as error:
            log.warning("keys cannot be checked: %s", error)
            detail = "Keys cannot be checked: the job store does not answer."
            title = "The job store does not answer"
            return problem(503, "store-unavailable", title, detail, headers={"Retry-After": "5"})
        if known is None or not known[0].good:
            return _unauthorized("this key is not, or no longer, good")
        key, caller = known
        role = wanted(scope["method"], scope["path"])
        if not key.role.may(role):
            return problem(403, "forbidden", "Not allowed", f"the key's role is {key.role}; this needs {role}")
        return caller

    async def _key(self, keys: KeyStore, token: bytes) -> Known | None:
        """The key of a token, and who that is. Raises RedisError."""
        name = hashlib.sha256(token).digest()  # a memory dump has no tokens from here
        with suppress(KeyError):  # a TTLCache takes its time for each question
            return self._fresh[name]
        try:
            found = await run_in_threadpool(self._look_up, keys, token.decode("ascii", "replace"))
        except RedisError:
            if (known := self._known.get(name)) is not None:
                return known
            raise
        if found is None:
            self._known.pop(name, None)
        else:
            self._fresh[name] = self._known[name] = found
        return found

    def _look_up(self, keys: KeyStore, token: str) -> Known | None:
        key = keys.check(token)
        return None if key is None else (key, Caller(key.tenant, key.role, key.id, limits=self._limits.of(key.tenant)))

    def _audited(self, scope: Scope, caller: Caller, send: Send) -> Send:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] < 400:
                location = next((v.decode("latin-1") for k, v in message["headers"] if k.lower() == b"location"), "")
                client = (scope.get("client") or ("",))[0]
                entry = Entry(caller.tenant, caller.key, scope["method"], scope["path"], location, client)
                await self._write(entry)  # before the answer: entries stand in the order of what one caller does
            await send(message)

        return sent

    async def _write(self, entry: Entry) -> None:
        try:
            await run_in_threadpool(self._audit.add, entry)
        except RedisError as error:
            log.error("audit entry not stored: %s: %s", json.dumps(asdict(entry)), error)


def wanted(method: str, path: str) -> Role:
    """What a request needs."""
    if path.startswith(ADMIN):
        return Role.ADMIN
    return Role.SUBMIT if _changes(method, path) else Role.READ


def _changes(method: str, path: str) -> bool:
    return method not in ("GET", "HEAD", "OPTIONS") and not path.startswith(COMPUTED)


def _is_open(path: str) -> bool:
    return path in OPEN or path == "/docs" or path.startswith(("/docs/", "/web/"))


def _with(headers: list[tuple[bytes, bytes]], send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = dict(message, headers=[*message["headers"], *headers])
        await send(message)

    return sent


def _too_many(rate: Rate) -> Response:
    detail = f"more than {rate.most} requests in a minute"
    headers = {name.decode(): value.decode() for name, value in rate.headers()} | {"Retry-After": str(rate.reset)}
    return problem(429, "too-many-requests", "Too many requests", detail, headers=headers)


def _unauthorized(detail: str) -> Response:
    headers: dict[str, Any] = {"WWW-Authenticate": 'Bearer realm="lrserve"'}
    return problem(401, "unauthorized", "Not authorized", detail, headers=headers)
