"""What counting, timing and naming a request costs the short way of a curve, which has no time to lose.

The whole application is called as uvicorn calls it, with and without its telemetry, in turns; of each side the least
processor time a request counts, since that is the one which nothing else disturbed.

    python -m benchmarks.telemetry
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from lrserve.api.app import create_app
from lrserve.api.middleware.telemetry import Telemetry
from lrserve.api.settings import ApiSettings

ROUNDS, CALLS = 300, 100
BODY = b'{"schedule": {"type": "CosineAnnealingLR", "T_max": 1000, "eta_min": 0.0001}, "base_lr": %.9f, "steps": 1000}'
UVICORN = {"the same": 95e-6, "different": 270e-6}  # seconds


async def main() -> None:
    measured = create_app(ApiSettings(redis_url="redis://127.0.0.1:9/0", auth=False)).build_middleware_stack()
    plain = without(measured)
    for name in ("the same", "different"):
        least = {"plain": 1.0, "measured": 1.0}
        n = 0
        for _ in range(ROUNDS):
            for side, app in (("plain", plain), ("measured", measured)):
                bodies = [BODY % (0.1 if name == "the same" else 0.1 + (n := n + 1) * 1e-7) for _ in range(CALLS)]
                least[side] = min(least[side], await seconds(app, bodies))
        more = least["measured"] - least["plain"]
        print(
            f"requests that are {name:10} without {least['plain'] * 1e6:6.1f} µs, "
            f"with {least['measured'] * 1e6:6.1f} µs: "
            f"{more * 1e6:.1f} µs more, {more / least['plain']:.1%}",
            flush=True,
        )


def without(app: ASGIApp) -> ASGIApp:
    """The application's layers without Telemetry, which is the outermost but for Starlette's own."""
    outer: Any = app
    while not isinstance(outer, Telemetry):
        outer = outer.app
    inner: ASGIApp = outer.app
    return inner


async def seconds(app: ASGIApp, bodies: list[bytes]) -> float:
    """Processor time of a request."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 200

    start = time.process_time()
    for body in bodies:

        async def received(body: bytes = body) -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await app(scope(body), received, sent)
    return (time.process_time() - start) / len(bodies)


def scope(body: bytes) -> Scope:
    headers = [(b"host", b"x"), (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/curves",
        "raw_path": b"/v1/curves",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "root_path": "",
        "http_version": "1.1",
    }


if __name__ == "__main__":
    asyncio.run(main())
