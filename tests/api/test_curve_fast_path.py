"""The short way for curves: what it leaves to the application."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from lrserve.api.middleware.curve_fast_path import CurveFastPath

MULTIPLIED = {"type": "MultiplicativeLR", "lr_lambda": "1 - 1 / (epoch + 10)"}


def left_to_the_application(body: dict[str, Any]) -> bool:
    """Whether a request goes on past the short way, which has no thread for it."""
    text = json.dumps(body).encode()
    passed = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        passed.append(await receive())

    async def receive() -> Message:
        return {"type": "http.request", "body": text}

    async def send(message: Message) -> None:
        pass

    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/v1/curves", "query_string": b"", "headers": headers}
    asyncio.run(CurveFastPath(app)(scope, receive, send))
    return bool(passed)


@pytest.mark.parametrize("around", [False, True])
def test_a_single_rate_that_needs_all_before_it_is_no_small_curve(around: bool) -> None:
    schedule = {"type": "Scale", "schedule": MULTIPLIED, "factor": 2.0} if around else MULTIPLIED
    asked = {"steps": 1, "base_lr": 0.1, "schedule": schedule}

    assert not left_to_the_application(asked)
    assert left_to_the_application(asked | {"start": 9_000_000})
