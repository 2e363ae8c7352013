"""Who may call the API: keys of tenants, kept in Redis without their secrets.

A token is `lrs_`, the key's id, `_` and a secret of 256 random bits. Redis holds the secret's SHA-256: a secret that
nobody chose needs no slow hash. The id finds the record; only the secret is compared, in a time that does not hang on
where it differs.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from lrcore.errors import LrcoreError
from lrcore.jobs.ids import ALPHABET
from lrcore.jobs.job import rfc3339
from lrcore.store.connection import Redis
from lrcore.store.scripts import PREFIX, ScriptRunner

TOKEN = re.compile(r"lrs_([0-9a-z]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
MOST_KEYS = 1000  # of a tenant
UNKNOWN = hashlib.sha256(b"no key").hexdigest()  # what the secret is compared with if there is no such key


class Role(StrEnum):
    """What a key may do; each may also do what those before it may."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"

    def may(self, wanted: Role) -> bool:
        """Whether this role covers another one."""
        return RANKS[self] >= RANKS[wanted]


RANKS = {role: rank for rank, role in enumerate(Role)}


class KeyNotFound(LrcoreError):
    """There is no such key."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"there is no key {key_id[:80]!r}")


class TooManyKeys(LrcoreError):
    """The tenant has as many keys as it may have."""

    def __init__(self) -> None:
        super().__init__(f"there are {MOST_KEYS} good keys already; revoke one first")


class Key(BaseModel, frozen=True):
    """A key, without its secret."""

    id: str
    tenant: str
    role: Role = Field(description="read; submit: read and make, change, delete; admin: submit and keys, audit")
    name: str = Field(description="what it is for")
    created_at: str = Field(description="RFC 3339, UTC")
    expires_at: str | None
    revoked_at: str | None
    good_until: float = Field(exclude=True, description="seconds since 1970; 0 if it is revoked")

    @property
    def good(self) -> bool:
        """Whether it is neither revoked nor too old."""
        return time.time() < self.good_until


Record = dict[Any, Any]  # of a key, as Redis has it


def new_key(tenant: str, role: Role, name: str = "", days: float | None = None) -> tuple[Record, str]:
    """A key that no store has yet, and its token."""
    key_id = "".join(secrets.choice(ALPHABET) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    now = round(time.time() * 1000)
    record: Record = {
        "id": key_id,
        "tenant": tenant,
        "role": str(role),
        "name": name,
        "created_at": now,
        "digest": _digest(secret),
    }
    if days is not None:
        record["expires_at"] = now + round(days * 86_400_000)
    return record, f"lrs_{key_id}_{secret}"


class KeyStore:
    """Keys in Redis. Safe to share between threads. Every method raises redis.RedisError if Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = ScriptRunner(redis)

    def create(self, tenant: str, role: Role, name: str = "", days: float | None = None) -> tuple[Key, str]:
        """Create a key and its token, which cannot be shown again.

        Args:
            days: how long it is good for; for ever if None.

        Raises:
            TooManyKeys: and all are good; else the oldest that is not is forgotten.
        """
        self._make_room(tenant)
        record, token = new_key(tenant, role, name, days)
        with self._redis.pipeline() as pipe:
            pipe.hset(self._key(record["id"]), mapping=record)
            pipe.zadd(f"{PREFIX}keys", {record["id"]: record["created_at"]})
            pipe.execute()
        return self.get(record["id"]), token

    def add_first(self, record: Record) -> bool:
        """Add a key if the store has none, not even a revoked one. Returns whether it is there, also when repeated."""
        fields = (part for field in record.items() for part in field)
        return bool(self._scripts.run("add_first_key", record["id"], record["created_at"], *fields))

    def get(self, key_id: str) -> Key:
        """A key. Raises KeyNotFound."""
        record = self._redis.hgetall(self._key(key_id))
        if not record:
            raise KeyNotFound(key_id)
        return _view(record)  # type: ignore[arg-type]  # not a coroutine

    def all(self, tenant: str | None = None) -> list[Key]:
        """Keys, oldest first, revoked ones included; of one tenant if given."""
        ids: list[str] = self._redis.zrange(f"{PREFIX}keys", 0, -1)  # type: ignore[assignment]
        with self._redis.pipeline(transaction=False) as pipe:
            for key_id in ids:
                pipe.hgetall(self._key(key_id))
            found = [_view(record) for record in pipe.execute() if record]
        return [key for key in found if tenant in (None, key.tenant)]

    def _make_room(self, tenant: str) -> None:
        keys = self.all(tenant)
        if len(keys) < MOST_KEYS:
            return
        if not (useless := [key.id for key in keys if not key.good]):
            raise TooManyKeys
        with self._redis.pipeline() as pipe:
            pipe.delete(self._key(useless[0]))
            pipe.zrem(f"{PREFIX}keys", useless[0])
            pipe.execute()

    def revoke(self, key_id: str) -> Key:
        """Make a key useless, at once for whoever asks Redis. Raises KeyNotFound."""
        self.get(key_id)
        self._redis.hsetnx(self._key(key_id), "revoked_at", str(round(time.time() * 1000)))
        return self.get(key_id)

    def check(self, token: str) -> Key | None:
        """The key that a token is of, if it is good."""
        match = TOKEN.fullmatch(token)
        key_id, secret = match.groups() if match else ("", token)
        record: dict[str, str] = self._redis.hgetall(self._key(key_id))  # type: ignore[assignment]
        same = hmac.compare_digest(_digest(secret), record.get("digest", UNKNOWN))
        if not (match and record and same):
            return None
        key = _view(record)
        return key if key.good else None

    def _key(self, key_id: str) -> str:
        return f"{PREFIX}key:{key_id}"


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _view(record: dict[str, str]) -> Key:
    def at(field: str) -> int | None:
        return int(record[field]) if field in record else None

    expires = at("expires_at")
    until = 0.0 if "revoked_at" in record else float("inf") if expires is None else expires / 1000
    return Key(
        id=record["id"],
        tenant=record["tenant"],
        role=Role(record["role"]),
        name=record["name"],
        created_at=rfc3339(at("created_at")) or "",
        expires_at=rfc3339(expires),
        revoked_at=rfc3339(at("revoked_at")),
        good_until=until,
    )
