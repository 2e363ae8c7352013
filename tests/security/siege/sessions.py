"""Attacks of several requests: storms over one job, unread event streams, half-open connections, strange HTTP."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.security.siege.attacks import Attacker, attack
from tests.security.siege.jobs import FOLDER, exhibits, small
from tests.security.siege.wire import PART, Answer, Request, connected, get, post

ID = re.compile(rb'"id":"([^"]+)"')
KEPT = 4096  # bytes of an answer, in which the job's id stands
SECONDS = 3.0  # that a job may take of the one worker: honest tenants wait as long


def known(attacker: Attacker, answer: Answer, kind: str = "jobs") -> str | None:
    """Remember the job that an answer shows. Returns its id."""
    found = ID.search(answer.start)
    if answer.status not in (200, 202) or not found:
        return None
    job_id = found[1].decode()
    attacker.world.known.ids[kind].append(job_id)
    return job_id


async def exhibit(attacker: Attacker, epochs: int) -> None:
    """Make jobs for others to look at."""
    attacker.attack = "exhibits"
    for kind, spec in exhibits(epochs).items():
        found = await attacker.send(post(f"/v1/{kind}", spec), KEPT)
        attacker.world.known.exhibits[kind] = known(attacker, found, kind) or "nothing"


async def cancel(attacker: Attacker, job_id: str) -> None:
    await attacker.send(post(f"/v1/jobs/{job_id}/cancel", None))


@attack("pause, resume, cancel, retry, clone, all at once", weight=4)
async def storm(attacker: Attacker) -> None:
    async with attacker.worker:
        spec = small(epochs=50, max_seconds=SECONDS, priority=attacker.rng.randrange(9))
        made = [known(attacker, await attacker.send(post("/v1/jobs", spec), KEPT))]
        if made[0] is None:
            return
        paths = ["pause", "resume", "cancel", "retry", "clone", "pause", "resume"]
        requests = [
            post(f"/v1/jobs/{made[0]}/{attacker.rng.choice(paths)}", {"seed": attacker.rng.randrange(9)})
            for _ in range(25)
        ]
        requests += [
            Request("PATCH", f"/v1/jobs/{made[0]}", b'{"priority":5}'),
            Request("DELETE", f"/v1/jobs/{made[0]}"),
        ]
        for answer in await asyncio.gather(*(attacker.send(request, KEPT) for request in requests)):
            made.append(known(attacker, answer))
        for job_id in {each for each in made if each}:
            await cancel(attacker, job_id)


@attack("an image folder that is none, for the worker")
async def no_images(attacker: Attacker) -> None:
    async with attacker.worker:
        dataset = {"type": "image-folder", "folder": FOLDER, "image_size": 1024, "classes": 2, "samples": 10**8}
        job_id = known(
            attacker, await attacker.send(post("/v1/jobs", small(dataset=dataset, max_seconds=SECONDS)), KEPT)
        )
        if job_id:
            await asyncio.sleep(SECONDS)
            await cancel(attacker, job_id)


@attack("the largest model, for the worker", weight=0.5, long=True)
async def largest_model(attacker: Attacker) -> None:
    bounds = attacker.world.bounds
    async with attacker.worker:
        model = {"type": "mlp", "hidden": [bounds.width] * bounds.hidden}
        dataset = {"type": "fake", "samples": 2, "test_samples": 2, "image_size": 12}
        spec = small(model=model, dataset=dataset, max_seconds=SECONDS)
        job_id = known(attacker, await attacker.send(post("/v1/jobs", spec), KEPT))
        if job_id:
            await asyncio.sleep(SECONDS)
            await cancel(attacker, job_id)


@attack("old jobs cancelled and deleted", weight=3)
async def tidy(attacker: Attacker) -> None:
    """Keep what the service has of the attacker's within bounds, a page at a time."""
    page = await attacker.send(get(f"/v1/jobs?limit={attacker.rng.choice((20, 100))}"), 2**26)
    exhibits = attacker.world.known.exhibits.values()
    for found in re.findall(rb'"self":"/v1/(?:jobs|experiments)/([^"]+)"', page.start)[10:]:
        job_id = found.decode()
        if job_id not in exhibits:
            await cancel(attacker, job_id)
            await attacker.send(Request("DELETE", f"/v1/jobs/{job_id}"))


@asynccontextmanager
async def crowd(attacker: Attacker, raw: bytes, count: int) -> AsyncIterator[list[asyncio.StreamReader]]:
    """Open connections that send the same bytes and read nothing. Those that the server refuses are left out."""
    begun, opened = time.monotonic(), []
    try:
        for _ in range(count):
            with suppress(OSError):
                reader, writer = await connected(attacker.port, deaf=True)
                opened.append((reader, writer))
                writer.write(raw)
        yield [reader for reader, _ in opened]
    finally:
        for _, writer in opened:
            writer.transport.abort()
        attacker.note(begun, f"{count} held")


@attack("25 event streams, unread", weight=4)
async def streams(attacker: Attacker) -> None:
    kind = attacker.rng.choice(("jobs", "jobs", "experiments"))
    job_id = attacker.world.known.exhibits[kind]
    after = attacker.rng.choice(((), (("Last-Event-ID", "0-1"),), (("Last-Event-ID", "18446744073709551615-0"),)))
    async with crowd(attacker, attacker.raw(get(f"/v1/{kind}/{job_id}/events", *after)), 25):
        await asyncio.sleep(attacker.rng.uniform(2, 10))


@attack("30 long polls", weight=2)
async def polls(attacker: Attacker) -> None:
    raw = attacker.raw(get(f"/v1/jobs/{attacker.world.job()}", ("Prefer", "wait=60")))
    async with crowd(attacker, raw, 30):
        await asyncio.sleep(attacker.rng.uniform(1, 10))


@attack("200 half-open connections", weight=2)
async def half_open(attacker: Attacker) -> None:
    head = attacker.rng.choice((b"", b"GET /healthz HTTP/1.1\r\nX-A: ", b"POST /v1/curves HTTP/1.1\r\nHost: a\r\n"))
    async with crowd(attacker, head, 200):
        await asyncio.sleep(attacker.rng.uniform(2, 8))


@attack("bodies that trickle", weight=2)
async def slow_bodies(attacker: Attacker) -> None:
    head = (("Content-Length", str(attacker.world.bounds.body)), ("Content-Type", "application/json"))
    path = attacker.rng.choice(("/v1/curves", "/v1/jobs", "/v1/experiments"))
    raw, begun, opened = attacker.raw(Request("POST", path, b"", head)), time.monotonic(), []
    try:
        with suppress(OSError):
            for _ in range(20):
                opened.append(await connected(attacker.port))
                opened[-1][1].write(raw)
        while opened and time.monotonic() < begun + 8:
            for _, writer in opened:
                writer.write(b" ")
            await asyncio.sleep(0.2)
    finally:
        for _, writer in opened:
            writer.transport.abort()
        attacker.note(begun, "20 held")


@attack("a body of chunks of one byte")
async def chunks(attacker: Attacker) -> None:
    body = b"1\r\n \r\n" * 100_000 + b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    headers = (("Transfer-Encoding", "chunked"), ("Content-Type", "application/json"))
    path = attacker.rng.choice(("/v1/curves", "/v1/jobs", "/healthz"))
    await attacker.send_raw(attacker.raw(Request("POST", path, b"", headers)) + body)


@attack("an upgrade with a body")
async def upgrade(attacker: Attacker) -> None:
    to = attacker.rng.choice(("websocket", "h2c", "TLS/1.3, HTTP/1.1", "x" * 10_000))
    headers = (("Connection", "Upgrade, close"), ("Upgrade", to), ("Content-Type", "application/json"))
    body = b"[" + b"0," * attacker.rng.choice((10, 500_000)) + b"0]"
    await attacker.send(Request(attacker.rng.choice(("GET", "POST")), "/v1/curves", body, headers), may_reset=True)


@attack("a flood of headers")
async def header_flood(attacker: Attacker) -> None:
    count, size = attacker.rng.choice(((100, 600), (5000, 5), (20, 100_000), (1, 60_000)))
    headers = tuple((f"X-{i}", "a" * size) for i in range(count))
    await attacker.send(Request("GET", "/v1/jobs", b"", headers), may_reset=True)


@attack("foreign names and origins")
async def foreign(attacker: Attacker) -> None:
    rng = attacker.rng
    host = rng.choice(("evil.example", "evil.example:1", "", "[::1", "127.0.0.1@evil.example", "a" * 10_000))
    origin = rng.choice(("https://evil.example", "null", "file://", "http://127.0.0.1.evil.example"))
    method, path = rng.choice((("GET", "/v1/jobs"), ("OPTIONS", "/v1/jobs"), ("GET", "/"), ("POST", "/v1/curves")))
    asked = (("Access-Control-Request-Method", "DELETE"),) if method == "OPTIONS" else ()
    await attacker.send(Request(method, path, b"", (("Host", host), ("Origin", origin), *asked)))


@attack("a hundred requests in one go")
async def pipelined(attacker: Attacker) -> None:
    keep = (("Connection", "keep-alive"),)
    one = attacker.raw(get("/v1/curves/StepLR?step_size=5&base_lr=0.1&steps=100000", *keep))
    raw, begun, answers, end = one * 99 + attacker.raw(get("/v1/jobs")), time.monotonic(), 0, b""
    with suppress(ConnectionError):
        reader, writer = await connected(attacker.port)
        try:
            writer.write(raw)
            while part := await reader.read(PART):
                answers += (end + part).count(b"HTTP/1.1 ")  # one that lies in both is longer than what is kept
                end = part[-8:]
        finally:
            writer.transport.abort()
    attacker.recorder.answered(attacker.attack, begun, Answer(200 if answers == 100 else "cut"), raw, may_reset=False)


@attack("a second request hidden in the first", weight=0.5)
async def hidden(attacker: Attacker) -> None:
    both = attacker.rng.choice(
        (
            (("Content-Length", "5"), ("Transfer-Encoding", "chunked")),
            (("Transfer-Encoding", "chunked, identity"),),
            (("Transfer-Encoding", "xchunked"), ("Content-Length", "0")),
            (("Content-Length", "-1"),),
            (("Content-Length", "9" * 30),),
        )
    )
    raw = attacker.raw(Request("POST", "/v1/curves", b"", both)) + b"0\r\n\r\n" + attacker.raw(get("/v1/keys"))
    await attacker.send_raw(raw, may_reset=True)
