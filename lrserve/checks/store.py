"""Redis and what is in it: whether it keeps what it is given, what this user may do, who works, who may call."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterator
from typing import Any

from lrcore import __version__
from lrcore.access.keys import KeyStore
from lrcore.service.logs import masked
from lrcore.service.settings import Settings
from lrcore.store.connection import AuthenticationError, Redis, RedisError, ResponseError, connect
from lrcore.store.format import StoreTooNew
from lrcore.store.memory import FULL
from lrcore.store.operator import OperatorStore
from lrcore.store.scripts import PREFIX, source
from lrcore.store.service_stats import ServiceStats
from lrserve.api.settings import ApiSettings
from lrserve.checks import Finding, ok, problem, size, warning
from lrserve.embedded import NoRedis, find_server, version
from lrserve.supervisor import REDIS_URL

OLDEST = (6, 2)
UPGRADE = "upgrade it to Redis 6.2 or later, or to Valkey"
SKEW, TOO_MUCH = 1.0, 60.0  # seconds between two clocks


def check(settings: ApiSettings, exposed: bool) -> Iterator[Finding]:
    """Everything, as far as it can be asked. `exposed`: the API listens on more than this machine."""
    url = _url(settings)
    if url is None:
        yield _not_yet(settings)
        return
    redis, shown = connect(url), masked(url)
    try:
        start = time.perf_counter()
        redis.ping()
        took = time.perf_counter() - start
    except AuthenticationError as error:
        yield _not_let_in(redis, shown, str(error))
        return
    except ResponseError as error:
        yield _not_well(shown, str(error))
        return
    except RedisError as error:
        yield _away(settings, f"{shown} does not answer: {error}")
        return
    yield ok("redis", f"{shown} answers after {took * 1e3:.1f} ms")
    try:
        yield from _server(info := redis.info())
        yield from _replicas(info, settings.redis_wait_replicas)
        if _release(info) < OLDEST:
            return  # it has not the commands with which the rest is asked
        yield _clock(redis)
        yield _rights(redis)
        yield from _replay(redis)
        yield from _service(OperatorStore(redis).service_stats(), settings)
        yield _keys(redis, settings, exposed)
    except StoreTooNew as error:
        yield problem("redis format", str(error), "upgrade this lrserve, or restore the backup from before the upgrade")
    except RedisError as error:
        yield problem(
            "redis", f"it refuses what lrserve asks: {error}", "give the user the rights of docs/deploy/redis.acl"
        )
    finally:
        redis.close()


def _url(settings: Settings) -> str | None:
    """Where the Redis is that LRSERVE_REDIS_URL names, else that of `lrserve up`; None if neither is known."""
    if "redis_url" in settings.model_fields_set:
        return settings.redis_url
    try:
        return (settings.home_folder / REDIS_URL).read_text()
    except OSError:
        return None


def _not_yet(settings: Settings) -> Finding:
    try:
        server = find_server()
        number = ".".join(map(str, version(server)))
    except NoRedis as error:
        return problem("redis", str(error).partition("\n")[0], str(error).partition("\n")[2])
    return warning(
        "redis",
        f"no lrserve has run in {settings.home_folder}; `lrserve up` would start {server}, version {number}",
        "start it, or set LRSERVE_REDIS_URL, and run this again",
    )


def _not_let_in(redis: Redis, shown: str, error: str) -> Finding:
    given = redis.connection_pool.connection_kwargs
    if given.get("password"):
        return problem("redis", f"{shown} refuses the user or the password: {error}", "correct LRSERVE_REDIS_URL")
    fix = "put it into LRSERVE_REDIS_URL: redis://:PASSWORD@HOST:PORT/0, or redis://USER:PASSWORD@HOST:PORT/0"
    return problem("redis", f"{shown} asks for a password, and none is given", fix)


def _not_well(shown: str, error: str) -> Finding:
    if "HELLO" in error:  # the first command of a connection, which Redis has had since 6.0
        return problem("redis version", f"{shown} is older than Redis 6", UPGRADE)
    return problem(
        "redis", f"{shown} answers, but not well: {error}", "see to it that it is ready, then run this again"
    )


def _away(settings: Settings, found: str) -> Finding:
    if "redis_url" in settings.model_fields_set:
        plain = "; rediss:// is for a Redis with TLS" if settings.redis_url.startswith("rediss:") else ""
        return problem("redis", found, f"start it, open the way to it, or correct LRSERVE_REDIS_URL{plain}")
    fix = "start it, or set LRSERVE_REDIS_URL, and run this again"
    return warning("redis", f"the `lrserve up` of {settings.home_folder} does not run", fix)


def _release(info: dict[str, Any]) -> tuple[int, ...]:
    return tuple(map(int, str(info["redis_version"]).split(".")[:2]))


def _server(info: dict[str, Any]) -> Iterator[Finding]:
    name = info.get("server_name", "redis").capitalize()
    number = str(info.get("valkey_version") or info["redis_version"])
    if _release(info) < OLDEST:
        yield problem("redis version", f"{name} {number} is too old", UPGRADE)
    else:
        yield ok("redis version", f"{name} {number}")
    if info.get("role") not in (None, "master"):
        yield problem("redis role", "it is a replica, which takes no writes", "name its primary in LRSERVE_REDIS_URL")
    yield _persistence(info)
    yield _eviction(info)
    yield _memory(info)


def _replicas(info: dict[str, Any], wanted: int) -> Iterator[Finding]:
    there = int(info.get("connected_slaves", 0))
    if there < wanted:
        yield problem(
            "redis replicas",
            f"{there} connected, and LRSERVE_REDIS_WAIT_REPLICAS is {wanted}: every submit is answered 503",
            "start the replicas, or lower LRSERVE_REDIS_WAIT_REPLICAS",
        )
    elif there:
        yield ok("redis replicas", f"{there} connected; a submit waits for {wanted or 'none'}")


def _persistence(info: dict[str, Any]) -> Finding:
    if not info["aof_enabled"]:
        return problem(
            "redis persistence",
            "the append-only file is off: what came since the last snapshot, if any, is lost with the process",
            "appendonly yes in redis.conf, or now: redis-cli CONFIG SET appendonly yes",
        )
    if info.get("aof_last_write_status", "ok") != "ok":
        return problem("redis persistence", "the append-only file cannot be written", "make room on Redis' disk")
    return ok("redis persistence", "append-only file")


def _eviction(info: dict[str, Any]) -> Finding:
    policy, bounded = info["maxmemory_policy"], bool(info["maxmemory"])
    if policy == "noeviction":
        return ok("redis eviction", policy)
    fix = "maxmemory-policy noeviction in redis.conf, or now: redis-cli CONFIG SET maxmemory-policy noeviction"
    if bounded:
        return problem("redis eviction", f"{policy}: jobs are thrown away when memory runs short", fix)
    return warning("redis eviction", f"{policy}: without effect until a maxmemory is set", fix)


def _memory(info: dict[str, Any]) -> Finding:
    used = info["used_memory"] - info.get("mem_not_counted_for_evict", 0)
    most = info["maxmemory"] or info.get("total_system_memory", 0)
    kind = "maxmemory" if info["maxmemory"] else "the machine's memory, which is its only bound"
    found = f"{size(used)} of {size(most)}, {kind}"
    if most and used > FULL * most:
        return problem("redis memory", f"{found}: no job is accepted", "give it more, or delete ended jobs")
    if most and used > 0.7 * most:
        return warning("redis memory", found, "give it more, or keep jobs for less long: LRSERVE_RETENTION_DAYS")
    return ok("redis memory", found)


def _clock(redis: Redis) -> Finding:
    before = time.time()
    seconds, micro = redis.time()
    skew = seconds + micro / 1e6 - (before + time.time()) / 2
    found = f"Redis' clock is {abs(skew):.3f} s {'ahead of' if skew > 0 else 'behind'} this machine's"
    fix = "let both follow a time server (chrony, systemd-timesyncd)"
    if abs(skew) > TOO_MUCH:
        return problem("clock", f"{found}: times of jobs, logs and traces do not fit together", fix)
    if abs(skew) > SKEW:
        return warning("clock", found, fix)
    return ok("clock", found)


def _rights(redis: Redis) -> Finding:
    refused: list[str] = redis.eval(source("doctor/worker_rights"), 0, PREFIX, f"doctor-{secrets.token_hex(8)}")
    if refused:
        return problem(
            "redis rights",
            f"this user may not do what API and workers do: {', '.join(dict.fromkeys(refused))}",
            "give it the rights of docs/deploy/redis.acl",
        )
    if redis.eval(source("doctor/api_rights"), 0, PREFIX):
        return ok("redis rights", "those of a worker; an API needs a user with more")
    return ok("redis rights", "those of an API and a worker")


def _replay(redis: Redis) -> Iterator[Finding]:
    """Whether Redis can replay all of its append-only file at a restart. Only an operator may ask."""
    try:
        users: list[str] = redis.acl_list()  # type: ignore[assignment]  # not a coroutine
    except ResponseError:
        return
    [rights] = [rule.split()[2:] for rule in users if rule.startswith("user default ")]
    if {"~*", "+@all"} <= set(rights) and not any(right.startswith("-") for right in rights):
        yield ok("redis replay", "the default user has the rights to replay the append-only file")
        return
    yield problem(
        "redis replay",
        "the default user has too few rights: Redis 7 and later replay the append-only file with them, and lose "
        "transactions and scripts at a restart",
        "put `user default off ~* &* +@all` into the ACL file before Redis restarts",
    )


def _service(service_stats: ServiceStats, settings: Settings) -> Iterator[Finding]:
    workers = service_stats.workers
    living = service_stats.queues.get("default", (0, 0))[1]
    unread = {"unknown"} if living > len(workers) else set()  # what a newer worker reports may not be readable here
    if not living:
        yield warning("workers", "none lives: jobs wait", "start one: lrserve worker, or lrserve up")
    else:
        kinds = sorted({"+".join(each.hardware) or "unknown" for each in workers.values()} | unread)
        yield ok("workers", f"{living}, of {', '.join(kinds)}")
    versions = sorted({each.version for each in workers.values()} | unread)
    if living and versions != [__version__]:
        fix = "upgrade them all; until then jobs of a newer API may fail on older workers"
        yield warning("worker versions", f"{', '.join(versions)}; here it is {__version__}", fix)
    for name, (waiting, there) in sorted(service_stats.queues.items()):
        if waiting and not there and living:
            hardware, *needed = name.split(",")
            found = f"{waiting} jobs wait for {name}, which no living worker has"
            fix = "start one with " + " and ".join(
                ([f"LRSERVE_HARDWARE={hardware}"] if hardware != "default" else [])
                + ([f"the plug-ins {', '.join(needed)}"] if needed else [])
            )
            yield warning("workers", found, f"{fix}, or cancel them")
    versions_of: dict[str, set[str]] = {}
    for plugin in {plugin for each in workers.values() for plugin in each.plugins}:
        versions_of.setdefault(plugin.partition("==")[0], set()).add(plugin)
    for several in (sorted(each) for each in versions_of.values() if len(each) > 1):
        fix = "install one version everywhere: a worker takes only jobs that were submitted with its own"
        yield warning("plug-ins", f"workers have different versions: {', '.join(several)}", fix)
    others = sorted({each.host for each in workers.values()} - {socket.gethostname(), ""})
    if others and settings.artifact_url.startswith("file://"):
        found = f"workers run on {', '.join(others[:5])}, too, and the artifact root is a folder"
        yield warning("shared folders", found, "see to it that all mount the same; or use object storage")


def _keys(redis: Redis, settings: ApiSettings, exposed: bool) -> Finding:
    if not exposed and "auth" not in settings.model_fields_set:
        return ok("keys", "the API listens on this machine alone: everybody on it may do everything")
    if not settings.auth and not exposed:
        return ok("keys", "LRSERVE_AUTH is false: everybody on this machine may do everything")
    if not settings.auth:
        return problem(
            "keys",
            "LRSERVE_AUTH is false and the API listens on more than this machine: whoever reaches it may do everything",
            "unset LRSERVE_AUTH, and make keys: lrserve keys create TENANT",
        )
    good = [key for key in KeyStore(redis).all() if key.good]
    if not good:
        fix = "make one: lrserve keys create TENANT; an API that starts on a store without keys prints the first"
        return warning("keys", "none is good: the API refuses everybody", fix)
    return ok("keys", f"{len(good)} are good")
