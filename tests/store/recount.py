"""What limits count, once as the store has it and once from the records themselves."""

from __future__ import annotations

from typing import Any

from redis import Redis

from lrcore.jobs.ids import NOBODY
from lrcore.store import client as stores

PREFIX = "lrserve:"


def _own(tenant: str, name: str) -> str:
    return PREFIX + (name if tenant == NOBODY else f"of:{tenant}:{name}")


def counted(redis: Redis, tenant: str = NOBODY) -> dict[str, Any]:
    """The store's own counts of a tenant."""
    return {
        "stored": int(redis.get(_own(tenant, "stored")) or 0),  # type: ignore[arg-type]
        "records": int(redis.get(_own(tenant, "record_bytes")) or 0),  # type: ignore[arg-type]
        "busy": redis.smembers(_own(tenant, "busy")),
    }


def records(redis: Redis, tenant: str) -> dict[str, dict[str, str]]:
    """Every record of a tenant, shards of experiments included, by id."""
    found: Any = (redis.hgetall(key) for key in redis.scan_iter(f"{PREFIX}job:*"))
    return {each["id"]: each for each in found if each.get("tenant", NOBODY) == tenant}


def recounted(redis: Redis, tenant: str = NOBODY) -> dict[str, Any]:
    """The same from the records."""
    mine = records(redis, tenant)
    return {
        "stored": sum(int(each.get("stored", 0)) + int(each.get("checkpoint", 0)) for each in mine.values()),
        "records": sum(len(each["spec"].encode()) + stores.RECORD_BYTES for each in mine.values() if "spec" in each),
        "busy": {name for name, each in mine.items() if each["state"] == "running" and "runs" not in each},
    }


def waiting(redis: Redis, tenant: str = NOBODY) -> int:
    """Jobs that have not ended and that no worker has."""
    mine = records(redis, tenant)
    held = {each["parent"] for each in mine.values() if "parent" in each and each["state"] == "running"}
    alive = ("queued", "paused", "running")
    return sum(
        each["state"] in alive and (each["state"] != "running" or ("runs" in each and name not in held))
        for name, each in mine.items()
        if "parent" not in each
    )
